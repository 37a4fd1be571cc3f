//! A PKI through the years.

use super::{Authority, Leaf, Purpose, Rotation, client_config, client_verifier, server_config};
use jiff::{SignedDuration, Timestamp};
use rustls::{
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + day * 86_400).unwrap()
}

fn server(authority: &Authority, now: Timestamp) -> Leaf {
    let purpose = Purpose::server("api", vec!["localhost".to_owned()]);
    authority.leaf("api", &purpose, now).unwrap()
}

fn client(authority: &Authority, now: Timestamp) -> Leaf {
    authority
        .leaf("admin", &Purpose::client("admin", &[]), now)
        .unwrap()
}

/// Whether a server's leaf is taken by who trusts these certificates.
fn serves(leaf: &Leaf, trusted: &str, now: Timestamp) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(trusted.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let (chain, _) = leaf.der().unwrap();
    let (name, now) = (ServerName::try_from("localhost").unwrap(), time(now));
    let verified = verifier
        .unwrap()
        .verify_server_cert(&chain[0], &[], &name, &[], now);
    verified.is_ok()
}

fn time(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(now.as_duration().unsigned_abs())
}

/// The same for a client's.
fn enters(leaf: &Leaf, trusted: &str, now: Timestamp) -> bool {
    let (chain, _) = leaf.der().unwrap();
    let verifier = client_verifier(trusted).unwrap();
    verifier.verify_client_cert(&chain[0], &[], time(now)).is_ok()
}

#[test]
fn a_ca_is_replaced_and_everybody_is_trusted_all_the_while() {
    let dir = tempfile::tempdir().unwrap();
    let open = |day| Authority::open(dir.path(), at(day)).unwrap();
    let first = open(0);
    let (served, entered, before) = (
        server(&first, at(0)),
        client(&first, at(0)),
        first.trusted().to_owned(),
    );
    first
        .begin_rotation(at(10), SignedDuration::from_hours(24))
        .unwrap();
    let announced = open(10);
    assert_eq!(announced.rotation(), Rotation::Announced(at(11)));
    assert_eq!(
        announced.certificate(),
        first.certificate(),
        "it does not sign yet"
    );
    assert_eq!(server(&announced, at(10)).certificate, served.certificate);
    let both = announced.trusted().to_owned();
    assert!(serves(&served, &both, at(10)) && enters(&entered, &both, at(10)));
    // Begun again, it goes on as it is.
    announced
        .begin_rotation(at(10), SignedDuration::from_hours(240))
        .unwrap();
    let second = open(11);
    assert!(matches!(second.rotation(), Rotation::Retiring(_)));
    assert_ne!(second.certificate(), first.certificate());
    let fresh = server(&second, at(11));
    assert_ne!(fresh.certificate, served.certificate);
    for (leaf, trusted, good) in [
        (&fresh, second.trusted(), true),
        (&served, second.trusted(), true),
        (&fresh, both.as_str(), true),
        (&fresh, before.as_str(), false),
    ] {
        assert_eq!(serves(leaf, trusted, at(11)), good);
    }
    assert!(
        enters(&entered, second.trusted(), at(11))
            && enters(&client(&second, at(11)), second.trusted(), at(11))
    );
    second.finish_rotation().unwrap();
    let alone = open(12);
    assert_eq!(
        (alone.rotation(), alone.trusted()),
        (Rotation::Steady, second.certificate())
    );
    assert!(!enters(&entered, alone.trusted(), at(12)));
    assert!(
        server_config(Arc::new(Nothing), alone.trusted()).is_ok()
            && client_config(alone.trusted(), None).is_ok()
    );
}

#[derive(Debug)]
struct Nothing;

impl rustls::server::ResolvesServerCert for Nothing {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }
}

#[test]
fn the_old_ca_is_forgotten_when_nothing_that_it_signed_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let open = |day| Authority::open(dir.path(), at(day)).unwrap();
    open(0).begin_rotation(at(0), SignedDuration::ZERO).unwrap();
    assert!(matches!(open(1).rotation(), Rotation::Retiring(_)));
    assert!(matches!(open(300).rotation(), Rotation::Retiring(_)));
    assert_eq!(open(368).rotation(), Rotation::Steady);
}

#[test]
fn a_cluster_that_slept_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let open = |day| Authority::open(dir.path(), at(day)).unwrap();
    let (old, old_client) = (server(&open(0), at(0)), client(&open(0), at(0)));
    let day = 395;
    let woken = open(day);
    assert!(!serves(&old, woken.trusted(), at(day)) && !enters(&old_client, woken.trusted(), at(day)));
    let (new, new_client) = (server(&woken, at(day)), client(&woken, at(day)));
    assert!(serves(&new, woken.trusted(), at(day)) && enters(&new_client, woken.trusted(), at(day)));
    // A CA near its end is replaced by itself; one that ended is not waited for.
    let late = 3650 - 100;
    assert!(matches!(open(late).rotation(), Rotation::Announced(_)));
    assert!(matches!(open(late + 1).rotation(), Rotation::Retiring(_)));
    let dir = tempfile::tempdir().unwrap();
    let open = |day| Authority::open(dir.path(), at(day)).unwrap();
    let gone = open(0).certificate().to_owned();
    let again = open(4000);
    assert!(again.certificate() != gone && again.rotation() == Rotation::Steady);
    assert!(serves(&server(&again, at(4000)), again.trusted(), at(4000)));
}

#[test]
fn a_replacement_that_was_cut_short_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let open = |day| Authority::open(dir.path(), at(day)).unwrap();
    open(0)
        .begin_rotation(at(0), SignedDuration::from_hours(24))
        .unwrap();
    let path = |name: &str| dir.path().join(name);
    // As the process leaves it that ends between the two files.
    std::fs::copy(path("ca.crt"), path("ca-old.crt")).unwrap();
    std::fs::rename(path("ca-next.key"), path("ca.key")).unwrap();
    let whole = open(0);
    assert!(matches!(whole.rotation(), Rotation::Retiring(_)));
    assert!(serves(&server(&whole, at(0)), whole.trusted(), at(0)));
    private(dir.path());
}

/// No file is anybody else's.
fn private(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{:?}",
            entry.path()
        );
    }
}
