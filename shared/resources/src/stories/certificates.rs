use super::*;

const REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISk1IRUNBUUF3RHpFTk1Bc0dBMVVFQXd3RWFtRnVaVEJaTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSApBMElBQlBjN01zKzhLNzBUMFA3ZE5hMUk1TzllNjdwVnlkZzhzcUtRc2JpWmJTekMzQ2liOG0rZUxpK1pBSlhrCjVqZncweWxLRWxtODNENVdsYnR3ckdSaGk5MmdBREFLQmdncWhrak9QUVFEQWdOSUFEQkZBaUVBNDFIZHdER1oKSGxPT2NaMnJiWGNRdkJBUHdIc1RkYjRURkQrWnFRVjhDYVlDSUhWZmlGblVCZkVHZmZEcEVKZ0RZbHc1QWdHQwp0cUhxTjZrY0hlcEJEWUJhCi0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=";

fn body() -> String {
    format!(
        r#"{{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{{"name":"jane"}},"spec":{{"request":"{REQUEST}","signerName":"kubernetes.io/kube-apiserver-client","expirationSeconds":86400,"usages":["client auth"],"username":"root","groups":["system:masters"]}}}}"#
    )
}

fn with(stored: &str, status: &str) -> String {
    stored.replace(r#""status":{}"#, &format!(r#""status":{{{status}}}"#))
}

const APPROVED: &str = r#""conditions":[{"message":"ok","reason":"Mine","status":"True","type":"Approved"}]"#;

#[test]
fn a_certificate_request_says_who_asks() {
    let stored = create(&body());
    assert!(
        stored.contains(r#""username":"jane""#) && !stored.contains("masters"),
        "{stored}"
    );
    assert_eq!(
        line(&stored),
        "jane|60s|kubernetes.io/kube-apiserver-client|jane|24h|Pending"
    );
    assert_eq!(
        update(&stored.replace("client auth", "server auth"), &stored).unwrap(),
        stored
    );
}

#[test]
fn a_request_is_approved_and_signed_by_those_who_may() {
    let stored = create(&body());
    let small = Small::usual;
    let approved = with(&stored, APPROVED);
    let sneaked = run(&approved, Some(&stored), Op::Status, &small()).unwrap_err();
    assert_eq!(
        sneaked.message,
        r#"CertificateSigningRequest.certificates.k8s.io "jane" is invalid: status.conditions: Forbidden: updates may not add a condition of type "Approved""#
    );
    let approved = run(&approved, Some(&stored), Op::Subresource("approval"), &small()).unwrap();
    assert!(
        approved.contains(
            r#""lastTransitionTime":"2026-01-02T03:04:05Z","lastUpdateTime":"2026-01-02T03:04:05Z""#
        ),
        "{approved}"
    );
    assert!(line(&approved).ends_with("|Approved"));
    let both = approved.replace(
        r#""type":"Approved"}"#,
        r#""type":"Approved"},{"status":"True","type":"Denied"}"#,
    );
    let both = run(&both, Some(&approved), Op::Subresource("approval"), &small()).unwrap_err();
    assert!(
        both.message
            .ends_with(r#"Invalid value: "Denied": Approved and Denied conditions are mutually exclusive"#),
        "{}",
        both.message
    );
    let taken = with(&stored, "");
    let taken = run(&taken, Some(&approved), Op::Subresource("approval"), &small()).unwrap_err();
    assert!(
        taken
            .message
            .ends_with(r#"updates may not remove a condition of type "Approved""#)
    );
    let junk = approved.replace(r#""status":{"#, r#""status":{"certificate":"bm9uZQ==","#);
    let junk = run(&junk, Some(&approved), Op::Status, &small()).unwrap_err();
    assert!(junk.message.ends_with(r#"status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block"#), "{}", junk.message);
}

#[test]
fn a_request_that_cannot_be_signed_is_refused() {
    let cases = [
        (
            body().replace(REQUEST, "bm9uZQ=="),
            r#"spec.request: Invalid value: "bm9uZQ==": PEM block type must be CERTIFICATE REQUEST"#,
        ),
        (
            body().replace("kubernetes.io/kube-apiserver-client", "mine"),
            r#"spec.signerName: Invalid value: "mine": must be a fully qualified domain and path of the form 'example.com/signer-name'"#,
        ),
        (
            body().replace("86400", "60"),
            "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 600 seconds (10 minutes)",
        ),
        (
            body().replace(r#"["client auth"]"#, "[]"),
            "spec.usages: Required value: usages must be provided",
        ),
    ];
    for (body, words) in cases {
        assert_eq!(
            refused(&body),
            format!(r#"CertificateSigningRequest.certificates.k8s.io "jane" is invalid: {words}"#)
        );
    }
}
