//! What becomes of certificate signing requests.

use super::{
    Signer, Signers, Step, View,
    request::Text,
    signer::{Authority, end_of},
    step,
};
use api::Object;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use component::Random;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use std::time::Duration;
use x509_parser::prelude::*;

const NOW: &str = "2030-01-01T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A request of a subject with names, PEM.
fn request(name: &str, group: &str, names: &[&str]) -> String {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, group);
    for name in names {
        params
            .subject_alt_names
            .push(SanType::DnsName((*name).try_into().unwrap()));
    }
    let key = KeyPair::generate().unwrap();
    params.serialize_request(&key).unwrap().pem().unwrap()
}

fn signing_request(pem: &str, signer: &str, usages: &str, user: &str, status: &str) -> (Object, View) {
    let text = format!(
        r#"{{"kind":"CertificateSigningRequest","metadata":{{"name":"r","uid":"u","creationTimestamp":"{NOW}"}},"spec":{{"request":"{}","signerName":"kubernetes.io/{signer}","usages":[{usages}],"username":"{user}"}},"status":{{{status}}}}}"#,
        BASE64.encode(pem)
    );
    let object = Object::parse(text.into(), 1, &[]).unwrap();
    let view = object.view().unwrap();
    (object, view)
}

/// A CA that is good until the year begins: its certificate and key.
fn authority(until: &str) -> (rcgen::Certificate, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = rcgen::date_time_ymd(2029, 1, 1);
    params.not_after = rcgen::date_time_ymd(until.parse().unwrap(), 1, 1);
    (params.self_signed(&key).unwrap(), key.serialize_pem())
}

/// One that signs for all, in files.
fn signers() -> Signers {
    let dir = tempfile::tempdir().unwrap();
    let (ca, key) = authority("2039");
    Signers::one(signer(dir.path(), &ca.pem(), &key))
}

fn signer(dir: &std::path::Path, certificate: &str, key: &str) -> Signer {
    let paths = ["ca.crt", "ca.key"].map(|name| dir.join(name));
    for (path, text) in paths.iter().zip([certificate, key]) {
        std::fs::write(path, text).unwrap();
    }
    Signer::open(&paths[0], &paths[1]).unwrap()
}

fn next(pem: &str, signer: &str, usages: &str, user: &str, status: &str) -> Step {
    let (object, view) = signing_request(pem, signer, usages, user, status);
    step(&object, &view, &signers(), now())
}

const CLIENT: &str = r#""digital signature","key encipherment","client auth""#;
const SERVER: &str = r#""digital signature","server auth""#;
const APPROVED: &str =
    r#""conditions":[{"type":"Approved","status":"True","lastUpdateTime":"2030-01-01T00:00:00Z"}]"#;

#[test]
fn a_kubelet_may_ask_for_its_own_certificate() {
    let pem = request("system:node:n1", "system:nodes", &[]);
    let signer = "kube-apiserver-client-kubelet";
    let asks = |user: &str| match next(&pem, signer, CLIENT, user, "") {
        Step::Ask(ways) => ways.into_iter().map(|(way, _)| way).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(asks("system:node:n1"), ["selfnodeclient", "nodeclient"]);
    assert_eq!(asks("system:bootstrap:abc"), ["nodeclient"]);
    for (pem, usages, signer) in [
        (request("jane", "system:nodes", &[]), CLIENT, signer),
        (request("system:node:n1", "admins", &[]), CLIENT, signer),
        (
            request("system:node:n1", "system:nodes", &["a.example"]),
            CLIENT,
            signer,
        ),
        (pem.clone(), SERVER, signer),
        (pem.clone(), CLIENT, "kube-apiserver-client"),
    ] {
        let step = next(&pem, signer, usages, "system:node:n1", "");
        assert!(matches!(step, Step::Wait(_)), "{step:?}");
    }
}

#[test]
fn what_is_approved_is_signed_if_the_signer_gives_it() {
    let year = SignedDuration::from_hours(365 * 24);
    let jane = request("jane", "devs", &[]);
    let kubelet = request("system:node:n1", "system:nodes", &["n1"]);
    for (pem, signer, usages, wanted) in [
        (&jane, "kube-apiserver-client", CLIENT, Step::Sign(year)),
        (&jane, "legacy-unknown", SERVER, Step::Sign(year)),
        (&kubelet, "kubelet-serving", SERVER, Step::Sign(year)),
        (
            &jane,
            "kubelet-serving",
            SERVER,
            Step::Fail("subject organization is not system:nodes".to_owned()),
        ),
        (
            &jane,
            "kube-apiserver-client",
            r#""digital signature""#,
            Step::Fail("missing required usage for client certificate: client auth".to_owned()),
        ),
    ] {
        assert_eq!(next(pem, signer, usages, "jane", APPROVED), wanted);
    }
    let other = next(&jane, "somebody-else", CLIENT, "jane", APPROVED);
    assert!(matches!(other, Step::Wait(_)), "{other:?}");
}

#[test]
fn old_requests_are_deleted() {
    let (object, view) = signing_request(
        &request("jane", "devs", &[]),
        "legacy-unknown",
        CLIENT,
        "jane",
        "",
    );
    let after = |view: &View, hours| {
        step(
            &object,
            view,
            &Signers::default(),
            now() + SignedDuration::from_hours(hours),
        )
    };
    assert!(matches!(after(&view, 23), Step::Wait(_)));
    assert_eq!(after(&view, 24), Step::Delete);
    let denied =
        r#""conditions":[{"type":"Denied","status":"True","lastUpdateTime":"2030-01-01T00:00:00Z"}]"#;
    let (_, view) = signing_request("", "legacy-unknown", CLIENT, "jane", denied);
    assert!(matches!(after(&view, 0), Step::Wait(_)));
    assert_eq!(after(&view, 1), Step::Delete);
}

#[test]
fn a_signed_certificate_says_what_was_asked_for() {
    let (ca, key) = authority("2039");
    let signer = Authority::new(&ca.pem(), &key).unwrap();
    let text =
        Text::new(request("system:node:n1", "system:nodes", &["n1", "n1.example"]).as_bytes()).unwrap();
    let usages: Vec<String> = ["digital signature", "key encipherment", "server auth"]
        .map(str::to_owned)
        .into();
    let life = SignedDuration::from_hours(1);
    let random = Random::seeded(1);
    let pem = signer
        .sign(&text.request().unwrap(), &usages, life, now(), &random)
        .unwrap();
    assert_eq!(end_of(pem.as_bytes()), Some(now().as_second() + 3600));
    let (_, block) = parse_x509_pem(pem.as_bytes()).unwrap();
    let certificate = block.parse_x509().unwrap();
    let (_, issuer) = X509Certificate::from_der(ca.der()).unwrap();
    certificate.verify_signature(Some(issuer.public_key())).unwrap();
    assert_eq!(
        certificate.subject().to_string(),
        "CN=system:node:n1, O=system:nodes"
    );
    assert_eq!(certificate.issuer(), issuer.subject());
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 2);
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(
        usage.value.digital_signature() && usage.value.key_encipherment() && !usage.value.key_cert_sign()
    );
    assert!(
        certificate
            .extended_key_usage()
            .unwrap()
            .unwrap()
            .value
            .server_auth
    );
    assert!(!certificate.is_ca());
    let late = SignedDuration::from_hours(24 * 365 * 20);
    let pem = signer
        .sign(&text.request().unwrap(), &usages, late, now(), &random)
        .unwrap();
    let ends = issuer.validity().not_after.timestamp();
    assert_eq!(end_of(pem.as_bytes()), Some(ends), "not longer than the CA");
    assert!(Authority::new(&ca.pem(), &KeyPair::generate().unwrap().serialize_pem()).is_err());
}

#[test]
fn a_wished_life_is_within_bounds() {
    let signers = Signers {
        longest: SignedDuration::from_hours(24),
        ..Signers::default()
    };
    for (wished, hours, minutes) in [
        (None, 24, 0),
        (Some(1), 0, 10),
        (Some(7200), 2, 0),
        (Some(1 << 30), 24, 0),
    ] {
        let life = SignedDuration::from_hours(hours) + SignedDuration::from_mins(minutes);
        assert_eq!(signers.life(wished), life);
    }
}

#[test]
fn each_signer_has_its_own_ca_and_none_signs_for_others() {
    let one = signers().client;
    let only = Signers {
        client: one,
        ..Signers::default()
    };
    let jane = request("jane", "devs", &[]);
    for (signer, signs) in [("kube-apiserver-client", true), ("legacy-unknown", false)] {
        let (object, view) = signing_request(&jane, signer, CLIENT, "jane", APPROVED);
        let next = step(&object, &view, &only, now());
        assert_eq!(matches!(next, Step::Sign(_)), signs, "{next:?}");
    }
}

#[test]
fn a_ca_that_changes_on_disk_is_taken_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (old, old_key) = authority("2039");
    let (new, new_key) = authority("2039");
    let signer = signer(dir.path(), &old.pem(), &old_key);
    let text = Text::new(request("jane", "devs", &[]).as_bytes()).unwrap();
    let signed_by = |ca: &rcgen::Certificate| {
        let (life, random) = (SignedDuration::from_hours(1), Random::seeded(1));
        let pem = signer
            .authority()
            .sign(
                &text.request().unwrap(),
                &["client auth".to_owned()],
                life,
                now(),
                &random,
            )
            .unwrap();
        let (_, block) = parse_x509_pem(pem.as_bytes()).unwrap();
        let (_, issuer) = X509Certificate::from_der(ca.der()).unwrap();
        block
            .parse_x509()
            .unwrap()
            .verify_signature(Some(issuer.public_key()))
            .is_ok()
    };
    std::fs::write(dir.path().join("ca.crt"), new.pem()).unwrap();
    assert!(signed_by(&old), "the key is the old one's");
    std::fs::write(dir.path().join("ca.key"), new_key).unwrap();
    assert!(signed_by(&new));
    std::fs::write(dir.path().join("ca.key"), "garbage").unwrap();
    assert!(signed_by(&new));
}

/// What is approved and yet not signed: each with what is said of it.
#[test]
fn bad_requests_fail() {
    let kubelet = |name: &str, group: &str, names: &[&str]| request(name, group, names);
    let good = kubelet("system:node:n1", "system:nodes", &[]);
    let mut forged = Pem::iter_from_buffer(good.as_bytes())
        .next()
        .unwrap()
        .unwrap()
        .contents;
    let last = forged.len() - 5;
    forged[last] ^= 1;
    let forged = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        BASE64.encode(forged)
    );
    let (client, kubelet_client, serving) = (
        "kube-apiserver-client",
        "kube-apiserver-client-kubelet",
        "kubelet-serving",
    );
    let cases = [
        (
            String::new(),
            client,
            CLIENT,
            "PEM block type must be CERTIFICATE REQUEST",
        ),
        (
            "garbage".to_owned(),
            client,
            CLIENT,
            "PEM block type must be CERTIFICATE REQUEST",
        ),
        (
            good.replace("CERTIFICATE REQUEST", "PRIVATE KEY"),
            client,
            CLIENT,
            "PEM block type must be CERTIFICATE REQUEST",
        ),
        (good.replacen("MI", "AA", 1), client, CLIENT, "Parsing Error"),
        (forged, client, CLIENT, "signature verification error"),
        (
            good.clone(),
            client,
            SERVER,
            "invalid usage for client certificate: server auth",
        ),
        (
            good.clone(),
            client,
            r#""cert sign","client auth""#,
            "invalid usage for client certificate: cert sign",
        ),
        (
            kubelet("jane", "system:nodes", &[]),
            kubelet_client,
            CLIENT,
            "subject common name does not begin with system:node: ",
        ),
        (
            kubelet("system:node:n1", "system:masters", &[]),
            kubelet_client,
            CLIENT,
            "subject organization is not system:nodes",
        ),
        (
            kubelet("system:node:n1", "system:nodes", &["a.example"]),
            kubelet_client,
            CLIENT,
            "DNS subjectAltNames are not allowed",
        ),
        (good.clone(), kubelet_client, SERVER, "usages did not match"),
        (
            good.clone(),
            serving,
            SERVER,
            "DNS or IP subjectAltName is required",
        ),
        (
            kubelet("system:node:n1", "system:nodes", &["n1"]),
            serving,
            CLIENT,
            "usages did not match",
        ),
        (
            kubelet("jane", "system:nodes", &["n1"]),
            serving,
            SERVER,
            "subject common name does not begin with system:node: ",
        ),
    ];
    for (pem, signer, usages, why) in cases {
        match next(&pem, signer, usages, "jane", APPROVED) {
            Step::Fail(said) => assert!(said.contains(why.trim_end()), "{said}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn a_ca_that_ended_signs_nothing() {
    let (ca, key) = authority("2030");
    let ended = Authority::new(&ca.pem(), &key).unwrap();
    let text = Text::new(request("jane", "devs", &[]).as_bytes()).unwrap();
    let (life, random) = (SignedDuration::from_hours(1), Random::seeded(1));
    let refused = ended.sign(&text.request().unwrap(), &[], life, now(), &random);
    assert!(
        refused
            .unwrap_err()
            .starts_with("refusing to sign a certificate that expired in the past")
    );
    let (ca, key) = authority("2039");
    let authority = Authority::new(&ca.pem(), &key).unwrap();
    let long = SignedDuration::from_hours(24);
    let pem = authority
        .sign(&text.request().unwrap(), &[], long, now(), &random)
        .unwrap();
    assert_eq!(
        end_of(pem.as_bytes()),
        Some(now().as_second() + 24 * 3600 - 300),
        "the past counts"
    );
    let unknown = authority.sign(
        &text.request().unwrap(),
        &["flying".to_owned()],
        long,
        now(),
        &random,
    );
    assert!(unknown.unwrap_err().contains("unrecognized usage values"));
}

/// `O=system:masters, CN=jane` in strings of two bytes a character: others may read what is not read here.
const WIDE: &str = "-----BEGIN CERTIFICATE REQUEST-----\nMIH2MIGcAgEAMDoxJTAjBgNVBAoeHABzAHkAcwB0AGUAbQA6AG0AYQBzAHQAZQBy\nAHMxETAPBgNVBAMeCABqAGEAbgBlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\nYVChRjvssY7lcUxen3hLA6vmv/+TC75VGKSbc+S6oT9RkFoMsEcZUBnjsVOVqkvc\nEhft61kfTsI3AgDR2rjC9aAAMAoGCCqGSM49BAMCA0kAMEYCIQCGQQOhmPhWJ7ex\nRH0aYeDYdAoUceHNMGGDFCc8tSOWnQIhAN8JqmZY66S09cBDAwK+f9pisnskMEDf\nqrK4rMyobmWu\n-----END CERTIFICATE REQUEST-----\n";

#[test]
fn a_subject_that_cannot_be_read_is_not_signed() {
    let (signer, status) = ("kube-apiserver-client", APPROVED);
    let said = next(WIDE, signer, CLIENT, "jane", status);
    assert!(
        matches!(&said, Step::Fail(why) if why.starts_with("subject: ")),
        "{said:?}"
    );
}

#[test]
fn requests_for_pods_are_deleted_after_half_an_hour() {
    use reconcile::{Controller, LastOutcome};
    let text = r#"{"kind":"PodCertificateRequest","metadata":{"name":"r","namespace":"n","uid":"u","creationTimestamp":"2030-01-01T00:00:00Z"}}"#;
    let request = std::sync::Arc::new(Object::parse(text.into(), 1, &[]).unwrap());
    let plan = |now: &str| {
        let now = now.parse().unwrap();
        super::PodCertificateRequestCleaner.reconcile(&request, &LastOutcome::default(), now)
    };
    let early = plan("2030-01-01T00:10:00Z");
    assert_eq!(
        (early.writes.len(), early.requeue_after),
        (0, Some(Duration::from_secs(1200)))
    );
    let late = plan("2030-01-01T00:30:00Z");
    assert!(
        matches!(&late.writes[0].write, client::Write::Delete(options) if options.uid.as_deref() == Some("u"))
    );
}
