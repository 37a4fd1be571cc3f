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

/// A certificate request of a new key, and the key.
fn stub() -> (rcgen::KeyPair, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::default();
    let request = params.serialize_request(&key).unwrap();
    (key, base64(request.der()))
}

fn base64(bytes: &[u8]) -> String {
    serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec()))
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

/// The same with a key on P-521, by OpenSSL.
const P521: &str = "MIIBQzCBpQIBADAAMIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQB5QuCcjKfJ2OAwI8b2fci3ovm+JUrh3jHnsjhQFqv3qvP\
     h4lU68puwRzdE6yfGcZQmklgILN4MYug9kR1TFtSLmwBUgIuX0RI3hov0Bn2y6dm8VVUbnDrB/YSj37vABL7dgtVWyaxnT2M\
     QSmlgE1iGHo9vP4/c6ING+8PcYHSgMXrl6WgADAKBggqhkjOPQQDBAOBjAAwgYgCQgHWb0Vs3lClRRIJ2Lo83pNlStDCH1Sx\
     CFXWY3WUIuH8ZxHyhZUsXZ13A9YqWSrrDtWIdmQAeplt1YJWnM6jPnhF8AJCAPBtvOF0PcsRITAieMqAk0VOwNLHklFt5dB6\
     UAxsZb3r+vf8zmhlQTRkaFbJWur6YBsVLmG6jFFsCe3VOeZMv03G";

fn for_pod(request: &str) -> String {
    format!(
        r#"{{"apiVersion":"certificates.k8s.io/v1","kind":"PodCertificateRequest","metadata":{{"name":"r","namespace":"ns"}},"spec":{{"signerName":"example.com/s","podName":"web","podUID":"1","serviceAccountName":"default","serviceAccountUID":"2","nodeName":"n1","nodeUID":"3","stubPKCS10Request":"{request}"}}}}"#
    )
}

#[test]
fn a_pod_s_certificate_is_asked_for_by_who_has_the_key() {
    let (_, request) = stub();
    let good = for_pod(&request);
    assert!(create(&good).contains(r#""maxExpirationSeconds":86400"#));
    create(&for_pod(P521));
    let (_, other) = stub();
    let mut forged = request.clone().into_bytes();
    let place = forged.len() - 20;
    forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let cases = [
        (
            for_pod("AAAA"),
            "spec.stubPKCS10Request: Invalid value: must be a valid DER-serialized",
        ),
        (for_pod(&forged), "could not verify the signature of the request"),
        (
            for_pod(&P521.replace("68pu", "AAAA")),
            "could not verify the signature of the request",
        ),
        (for_pod(&base64(&[0; 10241])), "spec.stubPKCS10Request: Too long"),
        (good.replace("example.com/s", "nodomain"), "spec.signerName"),
        (
            good.replace(r#""podUID":"1""#, r#""podUID":"""#),
            r#"spec.podUID: Invalid value: "": must not be empty"#,
        ),
        (
            good.replace(r#""nodeUID":"3""#, &format!(r#""nodeUID":"{}""#, "u".repeat(129))),
            "spec.nodeUID: Too long",
        ),
        (
            good.replace(r#""podName":"web""#, r#""podName":"A b""#),
            "spec.podName",
        ),
        (
            good.replace(r#""podUID""#, r#""maxExpirationSeconds":60,"podUID""#),
            "must be in the range [3600, 7862400]",
        ),
        (
            good.replace("example.com/s", "kubernetes.io/s")
                .replace(r#""podUID""#, r#""maxExpirationSeconds":90000,"podUID""#),
            "must be in the range [3600, 86400]",
        ),
    ];
    for (body, why) in cases {
        let refused = run(&body, None, Op::Create, &Small::usual()).unwrap_err();
        assert!(
            refused.code == 422 && refused.message.contains(why),
            "{why}\n{}",
            refused.message
        );
    }
    let stored = create(&good);
    let changed = update(&stored.replace(&request, &other), &stored).unwrap_err();
    assert!(changed.contains("spec: Invalid value") && changed.contains("field is immutable"));
}

/// A status with the end that `kind` tells.
fn ended(stored: &str, kind: &str, more: &str) -> String {
    let condition = format!(
        r#""conditions":[{{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"","reason":"Mine","status":"True","type":"{kind}"}}]{more}"#
    );
    with(stored, &condition)
}

#[test]
fn a_pod_s_certificate_is_issued_as_it_was_asked_for() {
    let (key, request) = stub();
    let stored = create(&for_pod(&request));
    let issue = |key: &rcgen::KeyPair, hours: i64| {
        let mut params = rcgen::CertificateParams::default();
        params.not_before =
            rcgen::date_time_ymd(2026, 1, 2) + std::time::Duration::from_secs(3 * 3600 + 4 * 60);
        params.not_after = params.not_before + std::time::Duration::from_secs(hours.unsigned_abs() * 3600);
        params.self_signed(key).unwrap().pem()
    };
    let status = |pem: &str, begin: &str, end: &str, refresh: &str| {
        let pem = pem.replace('\n', "\\n");
        let more = format!(
            r#","beginRefreshAt":"{refresh}","certificateChain":"{pem}","notAfter":"{end}","notBefore":"{begin}""#
        );
        ended(&stored, "Issued", &more)
    };
    let (begin, end, refresh) = (
        "2026-01-02T03:04:00Z",
        "2026-01-02T13:04:00Z",
        "2026-01-02T08:00:00Z",
    );
    let pem = issue(&key, 10);
    let put = |body: &str| run(body, Some(&stored), Op::Status, &Small::usual());
    let issued = put(&status(&pem, begin, end, refresh)).unwrap();
    let stranger = rcgen::KeyPair::generate().unwrap();
    let cases = [
        (
            status("", begin, end, refresh),
            "must contain at least one certificate",
        ),
        (
            status(&pem.replace("CERTIFICATE", "JUNK"), begin, end, refresh),
            "must consist entirely of CERTIFICATE PEM blocks",
        ),
        (
            status(&issue(&stranger, 10), begin, end, refresh),
            "was not issued to the requested public key",
        ),
        (
            status(&pem, "2026-01-02T03:05:00Z", end, refresh),
            "must be set to the NotBefore time encoded",
        ),
        (
            status(&pem, begin, "2026-01-02T14:04:00Z", refresh),
            "must be set to the NotAfter time encoded",
        ),
        (
            status(&pem, begin, end, "2026-01-02T03:05:00Z"),
            "at least 10 minutes after status.notBefore",
        ),
        (
            status(&pem, begin, end, "2026-01-02T13:00:00Z"),
            "at least 10 minutes before status.notAfter",
        ),
        (
            status(&pem, "2026-01-02T02:04:00Z", end, refresh),
            "within 5 minutes of kube-apiserver's current time",
        ),
        (
            status(&issue(&key, 48), begin, "2026-01-04T03:04:00Z", refresh),
            "must be <= spec.maxExpirationSeconds (86400)",
        ),
        (ended(&stored, "Issued", ""), "issued certificate chain"),
        (
            ended(&stored, "Denied", r#","certificateChain":"x""#),
            "must be empty when denying or failing",
        ),
        (
            ended(&stored, "Lost", ""),
            r#"supported values: "Denied", "Failed", "Issued""#,
        ),
        (
            with(&stored, r#""certificateChain":"x""#),
            "status is immutable unless transitioning",
        ),
    ];
    for (body, why) in cases {
        let refused = put(&body).unwrap_err();
        assert!(
            refused.code == 422 && refused.message.contains(why),
            "{why}\n{}",
            refused.message
        );
    }
    let again = issued.replace(r#""reason":"Mine""#, r#""reason":"Other""#);
    let again = run(&again, Some(&issued), Op::Status, &Small::usual()).unwrap_err();
    assert!(
        again
            .message
            .contains("immutable after PodCertificateRequest is issued"),
        "{}",
        again.message
    );
    assert!(put(&ended(&stored, "Denied", "")).is_ok() && put(&ended(&stored, "Failed", "")).is_ok());
}

#[test]
fn a_bundle_is_certificates_of_cas_each_once() {
    let pem = |ca: bool| {
        let mut params = rcgen::CertificateParams::default();
        if ca {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        params
            .self_signed(&rcgen::KeyPair::generate().unwrap())
            .unwrap()
            .pem()
    };
    let bundle = |name: &str, signer: &str, text: &str| {
        let text = text.replace('\n', "\\n");
        format!(
            r#"{{"apiVersion":"certificates.k8s.io/v1","kind":"ClusterTrustBundle","metadata":{{"name":"{name}"}},"spec":{{"signerName":"{signer}","trustBundle":"{text}"}}}}"#
        )
    };
    let (one, two, leaf) = (pem(true), pem(true), pem(false));
    create(&bundle(
        "example.com:s:b",
        "example.com/s",
        &format!("{one}words between\n{two}"),
    ));
    for (body, why) in [
        (
            bundle("b", "", "none"),
            "at least one trust anchor must be provided",
        ),
        (
            bundle("b", "", &format!("{one}{two}{one}")),
            "duplicate trust anchor (indices [0 2])",
        ),
        (
            bundle("b", "", &format!("{one}{leaf}")),
            "entry 1 does not have the CA bit set",
        ),
        (
            bundle("b", "", &one.replace("CERTIFICATE", "JUNK")),
            "entry 0 has bad block type: JUNK",
        ),
        (
            bundle(
                "b",
                "",
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            ),
            "entry 0 does not parse as X.509",
        ),
        (
            bundle("b", "", &"x".repeat(1024 * 1024 + 1)),
            "spec.trustBundle: Too long",
        ),
        (bundle("a:b", "", &one), "without signer name must not have"),
        (
            bundle("b", "example.com/s", &one),
            "must be named with prefix example.com:s:",
        ),
    ] {
        let refused = run(&body, None, Op::Create, &Small::usual()).unwrap_err();
        assert!(
            refused.code == 422 && refused.message.contains(why),
            "{why}\n{}",
            refused.message
        );
    }
}
