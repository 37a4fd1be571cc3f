//! Certificates that are not good, and authorities that change.

use super::{outside, server, told};
use crate::security::stories::bad_input::counted;
use crate::security::{RequestHeader, stories::Guarded};
use component::pki::{Authority, Purpose};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{path::Path, time::Duration};

type Chain = Vec<CertificateDer<'static>>;

fn made(authority: &Authority, name: &str, purpose: &Purpose, now: Timestamp) -> Chain {
    authority.leaf(name, purpose, now).unwrap().der().unwrap().0
}

fn authority(folder: &Path, name: &str, now: Timestamp) -> Authority {
    let folder = folder.join(name);
    std::fs::create_dir(&folder).unwrap();
    Authority::named(&folder, "ca", name, now).unwrap()
}

#[tokio::test]
async fn certificates_that_are_not_good_are_refused() {
    let env = outside();
    let now = env.clock.wall();
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (
        authority(folder.path(), "ca", now),
        authority(folder.path(), "other", now),
    );
    let proxies = authority(folder.path(), "proxies", now);
    let elsewhere = tempfile::tempdir().unwrap();
    let same_name = authority(elsewhere.path(), "ca", now);
    let year = SignedDuration::from_hours(24 * 400);
    let (before, after) = (now.checked_sub(year).unwrap(), now.checked_add(year).unwrap());
    let ann = Purpose::client("ann", &["system:masters"]);
    let root = CertificateDer::pem_slice_iter(ours.certificate().as_bytes())
        .next()
        .unwrap()
        .unwrap();
    let good = made(&ours, "ann", &ann, now);
    let mut cut: Vec<u8> = good[0].to_vec();
    cut.truncate(cut.len() - 9);
    let mut flipped: Vec<u8> = good[0].to_vec();
    let last = flipped.len() - 20;
    flipped[last] ^= 1;
    let proxy = Purpose::client("proxy", &["system:masters"]);
    let says = [("x-remote-user", "root"), ("x-remote-group", "system:masters")];
    let guarded = server(&env, |settings| {
        settings.trust.client_ca = ours.certificate().to_owned();
    })
    .await;
    assert_eq!(told(&guarded, &[], &good).await, "ann");
    let cases = [
        (
            "without a name",
            &[][..],
            made(&ours, "a", &Purpose::client("", &["system:masters"]), now),
            "anonymous",
        ),
        ("of another authority", &[], made(&other, "a", &ann, now), "401"),
        (
            "of an authority of the same name",
            &[],
            made(&same_name, "a", &ann, now),
            "401",
        ),
        (
            "of another authority, which it shows",
            &[],
            [made(&other, "b", &ann, now), vec![root.clone()]].concat(),
            "401",
        ),
        ("expired", &[], made(&ours, "c", &ann, before), "401"),
        ("not valid yet", &[], made(&ours, "d", &ann, after), "401"),
        (
            "of a server",
            &[],
            made(&ours, "e", &Purpose::server("ann", vec!["a".to_owned()]), now),
            "401",
        ),
        ("of the authority itself", &[], vec![root], "401"),
        (
            "no certificate",
            &[],
            vec![CertificateDer::from(vec![1, 2, 3])],
            "401",
        ),
        ("empty", &[], vec![CertificateDer::from(vec![])], "401"),
        ("cut off", &[], vec![CertificateDer::from(cut)], "401"),
        (
            "with one bit changed",
            &[],
            vec![CertificateDer::from(flipped)],
            "401",
        ),
        ("of a client that speaks for another", &says, good.clone(), "ann"),
    ];
    counted("certificates", cases.len());
    for (what, headers, chain, wanted) in cases {
        assert_eq!(told(&guarded, headers, &chain).await, wanted, "{what}");
    }
    let guarded = server(&env, |settings| {
        settings.trust.client_ca = ours.certificate().to_owned();
        settings.trust.request_header = Some(RequestHeader::usual(proxies.certificate(), "proxy"));
    })
    .await;
    let other_name = Purpose::client("stranger", &["system:masters"]);
    let cases = [
        (
            "a proxy for a user",
            &says[..],
            made(&proxies, "p", &proxy, now),
            "root",
        ),
        (
            "a proxy for a user beyond ASCII",
            &[("x-remote-user", "jürgen")],
            made(&proxies, "p", &proxy, now),
            "jürgen",
        ),
        ("a proxy for nobody", &[], made(&proxies, "p", &proxy, now), "401"),
        (
            "a proxy that is not in the list",
            &says,
            made(&proxies, "q", &other_name, now),
            "401",
        ),
        (
            "a proxy of the clients' authority",
            &says,
            made(&ours, "p", &proxy, now),
            "proxy",
        ),
        (
            "a proxy of another authority",
            &says,
            made(&other, "p", &proxy, now),
            "401",
        ),
        (
            "a proxy that expired",
            &says,
            made(&proxies, "r", &proxy, before),
            "401",
        ),
        ("a proxy without certificate", &says, vec![], "anonymous"),
        (
            "a user without a name",
            &[("x-remote-user", "")],
            made(&proxies, "p", &proxy, now),
            "401",
        ),
        (
            "without a name, where proxies are",
            &[],
            made(&ours, "f", &Purpose::client("", &[]), now),
            "401",
        ),
    ];
    counted("front proxies", cases.len());
    for (what, headers, chain, wanted) in cases {
        assert_eq!(told(&guarded, headers, &chain).await, wanted, "{what}");
    }
}

/// Waits for the next look at files.
async fn look(guarded: &Guarded) {
    guarded.env.clock.sleep(Duration::from_secs(61)).await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_of_authorities_is_read_again() {
    let env = component::Env::simulated(5);
    let now = env.clock.wall();
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (
        authority(folder.path(), "old", now),
        authority(folder.path(), "new", now),
    );
    let file = folder.path().join("clients.crt");
    std::fs::write(&file, old.certificate()).unwrap();
    let guarded = server(&env, |settings| {
        settings.trust.client_ca = old.certificate().to_owned();
        settings.authentication.files.client_ca = Some(file.clone());
    })
    .await;
    let ann = made(&old, "ann", &Purpose::client("ann", &[]), now);
    let bob = made(&new, "bob", &Purpose::client("bob", &[]), now);
    assert_eq!(
        [told(&guarded, &[], &ann).await, told(&guarded, &[], &bob).await],
        ["ann", "401"]
    );
    std::fs::write(&file, [old.certificate(), new.certificate()].concat()).unwrap();
    look(&guarded).await;
    assert_eq!(
        [told(&guarded, &[], &ann).await, told(&guarded, &[], &bob).await],
        ["ann", "bob"]
    );
    std::fs::write(&file, new.certificate()).unwrap();
    look(&guarded).await;
    // The connection of ann is the same as before.
    assert_eq!(
        [told(&guarded, &[], &ann).await, told(&guarded, &[], &bob).await],
        ["401", "bob"]
    );
    for broken in [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(&file, broken).unwrap();
        look(&guarded).await;
        assert_eq!(
            [told(&guarded, &[], &ann).await, told(&guarded, &[], &bob).await],
            ["401", "bob"],
            "{broken:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_ends_while_its_connection_is_open_is_refused_from_then_on() {
    let env = component::Env::simulated(5);
    let now = env.clock.wall();
    let folder = tempfile::tempdir().unwrap();
    let ours = authority(folder.path(), "ca", now);
    let guarded = server(&env, |settings| {
        settings.trust.client_ca = ours.certificate().to_owned();
    })
    .await;
    // It lives for a year, of which ten minutes are left.
    let begin = now - SignedDuration::from_hours(24 * 365) + SignedDuration::from_mins(10);
    let ann = made(&ours, "ann", &Purpose::client("ann", &[]), begin);
    let minutes = |minutes: u64| env.clock.sleep(Duration::from_secs(minutes * 60));
    assert_eq!(told(&guarded, &[], &ann).await, "ann");
    minutes(9).await;
    assert_eq!(told(&guarded, &[], &ann).await, "ann");
    minutes(2).await;
    // The chain is that of the same connection.
    assert_eq!(told(&guarded, &[], &ann).await, "401");
}

/// Names are bytes: what only looks alike is another.
#[tokio::test]
async fn names_that_look_alike_are_others() {
    let env = outside();
    let now = env.clock.wall();
    let folder = tempfile::tempdir().unwrap();
    let ours = authority(folder.path(), "ca", now);
    let guarded = server(&env, |settings| {
        settings.trust.client_ca = ours.certificate().to_owned();
    })
    .await;
    let composed = "j\u{fc}rgen";
    let subject = format!("User:{composed}");
    let binding = crate::security::stories::binding(
        "ClusterRoleBinding",
        "juergen",
        "ClusterRole/cluster-admin",
        &subject,
    );
    let to = crate::security::stories::CLUSTER_ROLE_BINDINGS;
    guarded.create(&to, "", &binding).await;
    let user = crate::security::User::new;
    assert!(guarded.asks(&user(composed, &[]), "delete core/nodes /n1"));
    for (what, name) in [
        ("decomposed", "ju\u{308}rgen"),
        ("in large letters", "J\u{fc}rgen"),
        ("with a space", "j\u{fc}rgen "),
        ("with no width", "j\u{fc}r\u{200b}gen"),
        ("with a zero", "j\u{fc}rgen\0"),
        ("from right to left", "\u{202e}j\u{fc}rgen"),
        ("wide", "\u{ff4a}\u{fc}rgen"),
    ] {
        let chain = made(&ours, "other", &Purpose::client(name, &[]), now);
        assert_eq!(told(&guarded, &[], &chain).await, name, "{what}");
        assert!(!guarded.asks(&user(name, &[]), "delete core/nodes /n1"), "{what}");
        std::fs::remove_file(folder.path().join("ca/other.crt")).unwrap();
    }
    for group in [
        "system:Masters",
        "system:masters ",
        "system:\u{ff4d}asters",
        "system:masters\0",
    ] {
        assert!(
            !guarded.asks(&user("eve", &[group]), "delete core/nodes /n1"),
            "{group}"
        );
    }
}
