//! Keys for pods, and the requests that prove that one has them.

use crate::volumes::pem;
use base64::{Engine, prelude::BASE64_STANDARD};
use p521::{
    ecdsa::{Signature, SigningKey, signature::Signer},
    elliptic_curve::rand_core::OsRng,
    pkcs8::{EncodePrivateKey, EncodePublicKey},
};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, PKCS_RSA_SHA256,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

/// ecdsa-with-SHA512, as an algorithm of a signature.
const ECDSA_WITH_SHA512: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04,
];

/// Tags of DER.
const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// A key, PEM, and a request in DER that names nobody and is signed with it.
pub(super) struct Made {
    pub key: String,
    pub request: Vec<u8>,
}

/// A new key of a kind, as a pod's volume names it.
pub(super) fn make(kind: &str) -> Result<Made, String> {
    let broken = |error: rcgen::Error| error.to_string();
    let key = match kind {
        "ECDSAP256" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken)?,
        "ECDSAP384" => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(broken)?,
        "ED25519" => KeyPair::generate_for(&PKCS_ED25519).map_err(broken)?,
        "RSA3072" => rsa_key(3072)?,
        "RSA4096" => rsa_key(4096)?,
        "ECDSAP521" => return p521_key(),
        other => return Err(format!("unknown key type {other:?}")),
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(broken)?;
    Ok(Made {
        key: key.serialize_pem(),
        request: request.der().to_vec(),
    })
}

fn rsa_key(bits: usize) -> Result<KeyPair, String> {
    let key = rsa::RsaPrivateKey::new(&mut OsRng, bits).map_err(|error| error.to_string())?;
    let der = key.to_pkcs8_der().map_err(|error| error.to_string())?;
    let der = PrivatePkcs8KeyDer::from(der.as_bytes());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_RSA_SHA256).map_err(|error| error.to_string())
}

/// What signs elsewhere knows no P-521, so the request is put together here.
fn p521_key() -> Result<Made, String> {
    let secret = p521::SecretKey::random(&mut OsRng);
    let key = secret.to_pkcs8_der().map_err(|error| error.to_string())?;
    let public = secret.public_key().to_public_key_der();
    let public = public.map_err(|error| error.to_string())?;
    // Version 0, no name, the key, no attributes.
    let asked = der(
        SEQUENCE,
        &[&[2, 1, 0], &[SEQUENCE, 0], public.as_bytes(), &[0xa0, 0]],
    );
    let signer = SigningKey::from_bytes(&secret.to_bytes()).map_err(|error| error.to_string())?;
    let signature: Signature = signer.sign(&asked);
    let signature = der(BIT_STRING, &[&[0], signature.to_der().as_bytes()]);
    Ok(Made {
        key: pem::block("PRIVATE KEY", &BASE64_STANDARD.encode(key.as_bytes())),
        request: der(SEQUENCE, &[&asked, ECDSA_WITH_SHA512, &signature]),
    })
}

/// A value of DER, of what is in it.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let bytes = length.to_be_bytes();
    let bytes: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match bytes.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            out.extend(long);
        }
    }
    parts.iter().for_each(|part| out.extend(*part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use p521::{
        ecdsa::{VerifyingKey, signature::Verifier},
        pkcs8::DecodePrivateKey,
    };
    use rustls::pki_types::pem::PemObject;
    use x509_parser::prelude::{FromDer, X509CertificationRequest};

    #[test]
    fn keys_of_pods_are_of_the_kind_that_is_asked_for() {
        for (kind, algorithm) in [
            ("ECDSAP256", "1.2.840.10045.4.3.2"),
            ("ECDSAP384", "1.2.840.10045.4.3.3"),
            ("ECDSAP521", "1.2.840.10045.4.3.4"),
            ("ED25519", "1.3.101.112"),
            ("RSA3072", "1.2.840.113549.1.1.11"),
        ] {
            let made = make(kind).unwrap();
            let (rest, request) = X509CertificationRequest::from_der(&made.request).unwrap();
            assert!(rest.is_empty(), "{kind}");
            assert!(made.key.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{kind}");
            assert_eq!(
                request.signature_algorithm.algorithm.to_id_string(),
                algorithm,
                "{kind}"
            );
            assert_eq!(
                request.certification_request_info.subject.iter().count(),
                0,
                "{kind}"
            );
            if kind != "ECDSAP521" {
                request.verify_signature().unwrap();
                continue;
            }
            let der = PrivatePkcs8KeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
            let key = p521::SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).unwrap();
            let signer = SigningKey::from_bytes(&key.to_bytes()).unwrap();
            let signature = Signature::from_der(&request.signature_value.data).unwrap();
            let signed = request.certification_request_info.raw;
            VerifyingKey::from(&signer).verify(signed, &signature).unwrap();
            let public = key.public_key().to_public_key_der().unwrap();
            assert_eq!(
                request.certification_request_info.subject_pki.raw,
                public.as_bytes()
            );
        }
        assert_eq!(make("DSA").err().unwrap(), "unknown key type \"DSA\"");
    }
}
