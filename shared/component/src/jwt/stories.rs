//! Every kind of key that OpenSSL makes signs and verifies.

use super::{Algorithm, Key, PublicKey, Token};
use serde::{Deserialize, Serialize};
use std::process::Command;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Claims {
    sub: String,
}

fn openssl(args: &str, input: &str) -> String {
    use std::io::Write;
    let mut child = Command::new("openssl")
        .args(args.split(' '))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "openssl {args}");
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn keys_of_every_kind_sign_and_verify() {
    let claims = Claims {
        sub: "robot".to_owned(),
    };
    let mut tokens = Vec::new();
    for (args, algorithm) in [
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
            Algorithm::RS256,
        ),
        ("genrsa -traditional 2048", Algorithm::RS256),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
            Algorithm::ES256,
        ),
        ("ecparam -name prime256v1 -genkey", Algorithm::ES256),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
            Algorithm::ES384,
        ),
        ("ecparam -name secp384r1 -genkey", Algorithm::ES384),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521",
            Algorithm::ES512,
        ),
        ("ecparam -name secp521r1 -genkey", Algorithm::ES512),
    ] {
        let pem = openssl(args, "");
        let key = Key::from_pem(&pem).unwrap_or_else(|why| panic!("{args}: {why}"));
        let token = key.sign(&claims).unwrap();
        assert_eq!(key.verify::<Claims>(&token).as_ref(), Some(&claims), "{args}");
        let public = openssl("pkey -pubout", &pem);
        let certificate = openssl("req -x509 -new -subj /CN=sa -days 1 -key /dev/stdin", &pem);
        let forms = [pem.clone(), public, certificate];
        for form in &forms {
            let read = PublicKey::read_all(form).unwrap_or_else(|why| panic!("{args}: {why}\n{form}"));
            assert_eq!(read, [key.public().clone()], "{args}");
        }
        let again = PublicKey::from_jwk(&key.public().jwk()).unwrap();
        assert_eq!(&again, key.public(), "{args}");
        let parsed = Token::parse(&token).unwrap();
        assert_eq!((parsed.algorithm(), parsed.key_id()), (Some(algorithm), key.id()));
        tokens.push((key, token));
    }
    for (at, (key, _)) in tokens.iter().enumerate() {
        for (of, (_, token)) in tokens.iter().enumerate() {
            let signed = Token::parse(token).unwrap().is_signed_by(key.public());
            assert_eq!(signed, at == of, "{at} {of}");
        }
    }
    let both = format!(
        "{}{}",
        openssl("pkey -pubout", &openssl("genrsa 2048", "")),
        "\n# two\n"
    );
    assert_eq!(PublicKey::read_all(&both).unwrap().len(), 1);
}

#[test]
fn files_without_keys_are_refused() {
    for (pem, why) in [
        ("", "data does not contain any valid RSA or ECDSA public keys"),
        (
            "-----BEGIN NONSENSE-----\nAAAA\n-----END NONSENSE-----\n",
            "data does not contain any valid",
        ),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", ""),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "unknown private key",
        ),
        (
            "-----BEGIN PUBLIC KEY-----\n!!!\n-----END PUBLIC KEY-----\n",
            "PEM",
        ),
    ] {
        let told = PublicKey::read_all(pem).unwrap_err();
        assert!(told.starts_with(why), "{pem}: {told}");
    }
    let weak = openssl("genrsa 1024", "");
    assert!(Key::from_pem(&weak).is_err());
    assert!(Key::from_pem("").is_err());
    let ed = openssl("genpkey -algorithm ed25519", "");
    assert!(PublicKey::read_all(&openssl("pkey -pubout", &ed)).is_err());
}
