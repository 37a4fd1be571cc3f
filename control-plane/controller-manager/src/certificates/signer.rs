//! Signs certificates: subject, key and names as they were asked for, all else as the signer wills
//! (upstream `pkg/controller/certificates/authority`).

use super::request::Request;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use component::Random;
use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use x509_parser::{
    certificate::X509Certificate, extensions::ParsedExtension, prelude::FromDer, time::ASN1Time,
};

/// The CA's certificate or key is no good.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// A file cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// The certificate.
    #[error("the CA's certificate: {0}")]
    Certificate(String),
    /// The key.
    #[error("the CA's key: {0}")]
    Key(String),
}

/// A CA that signs what is approved, in files that may change.
pub struct Signer {
    certificate: PathBuf,
    key: PathBuf,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    /// What the files said.
    text: [String; 2],
    authority: Arc<Authority>,
}

/// A CA as it is now.
pub(super) struct Authority {
    key: KeyPair,
    /// The algorithm by which the key signs, the CA's name and its key's identifier, as they stand in a certificate.
    algorithm: Vec<u8>,
    issuer: Vec<u8>,
    key_id: Option<Vec<u8>>,
    ends: i64,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

/// Usages of keys by the number of their bit.
const KEY_USAGES: [(&str, u8); 10] = [
    ("signing", 0),
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("decipher only", 8),
];

/// Extended usages by their object identifiers, encoded.
const EXTENDED_USAGES: [(&str, &[u8]); 13] = [
    ("any", &[0x55, 0x1d, 0x25, 0x00]),
    ("server auth", &[0x2b, 6, 1, 5, 5, 7, 3, 1]),
    ("client auth", &[0x2b, 6, 1, 5, 5, 7, 3, 2]),
    ("code signing", &[0x2b, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[0x2b, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[0x2b, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[0x2b, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[0x2b, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[0x2b, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[0x2b, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[0x2b, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 3]),
    ("netscape sgc", &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 4, 1]),
];

/// A certificate begins a little in the past, for clocks of other machines; unless its life is short, that counts.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
const SHORT: SignedDuration = SignedDuration::from_hours(8);

const SEQUENCE: u8 = 0x30;
const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;
const OBJECT: u8 = 6;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// One DER value.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let bytes = &bytes[bytes.iter().take_while(|b| **b == 0).count()..];
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(0));
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A time; from 2050 on years have four digits.
fn time(at: Timestamp) -> Vec<u8> {
    let text = at.strftime("%Y%m%d%H%M%SZ").to_string();
    if text.as_str() < "2050" {
        der(UTC_TIME, &text.as_bytes()[2..])
    } else {
        der(GENERALIZED_TIME, text.as_bytes())
    }
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical {
        der(BOOLEAN, &[0xff])
    } else {
        Vec::new()
    };
    let parts = [der(OBJECT, oid), critical, der(OCTET_STRING, value)];
    der(SEQUENCE, &parts.concat())
}

/// The bits of key usages; the last byte says how many bits of it are not used.
fn key_usage(bits: u16) -> Vec<u8> {
    let high = |bit: u8| bits & (1 << bit) != 0;
    let mut bytes = [0_u8; 2];
    let mut last = 0;
    for bit in (0..9).filter(|bit| high(*bit)) {
        bytes[usize::from(bit / 8)] |= 0x80 >> (bit % 8);
        last = bit;
    }
    let used = usize::from(last / 8) + 1;
    let mut content = vec![7 - last % 8];
    content.extend_from_slice(&bytes[..used]);
    der(BIT_STRING, &content)
}

impl Signer {
    /// Of the files of a certificate and its key, PEM.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, SignerError> {
        let text = [read(certificate)?, read(key)?];
        let authority = Arc::new(Authority::new(&text[0], &text[1])?);
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            loaded: Mutex::new(Loaded { text, authority }),
        })
    }

    /// The CA of the files; the one before, if they are no good now.
    pub(super) fn authority(&self) -> Arc<Authority> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match (read(&self.certificate), read(&self.key)) {
            (Ok(certificate), Ok(key)) => {
                let text = [certificate, key];
                if text != loaded.text {
                    match Authority::new(&text[0], &text[1]) {
                        Ok(authority) => {
                            tracing::info!(file = %self.certificate.display(), "another CA signs from now on");
                            loaded.authority = Arc::new(authority);
                            loaded.text = text;
                        }
                        // The two are not written at once: it will be looked at again.
                        Err(error) => tracing::warn!(%error, "the CA that signs stays as it was"),
                    }
                }
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "the CA that signs stays as it was");
            }
        }
        loaded.authority.clone()
    }
}

fn read(path: &Path) -> Result<String, SignerError> {
    fs::read_to_string(path).map_err(|error| SignerError::File(path.to_owned(), error))
}

impl Authority {
    /// Of a certificate and a key in PEM.
    pub fn new(certificate: &str, key: &str) -> Result<Self, SignerError> {
        let wrong = |e: String| SignerError::Certificate(e);
        let text =
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|e| wrong(e.to_string()))?;
        let (_, ca) = X509Certificate::from_der(&text).map_err(|e| wrong(e.to_string()))?;
        let key = KeyPair::from_pem(key).map_err(|e| SignerError::Key(e.to_string()))?;
        if ca.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            return Err(SignerError::Key("it is not that of the certificate".to_owned()));
        }
        let key_id = ca.extensions().iter().find_map(|e| match e.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        Ok(Self {
            algorithm: algorithm(&key)?,
            issuer: ca.subject().as_raw().to_vec(),
            key_id,
            ends: ca.validity().not_after.timestamp(),
            key,
        })
    }

    /// The certificate for a request, PEM. Its life ends with the CA's at the latest.
    pub fn sign(
        &self,
        request: &Request<'_>,
        usages: &[String],
        life: SignedDuration,
        now: Timestamp,
        random: &Random,
    ) -> Result<String, String> {
        let begin = now - BACKDATE;
        let ends = Timestamp::from_second(self.ends).unwrap_or(now);
        if now >= ends {
            return Err(format!(
                "refusing to sign a certificate that expired in the past: NotAfter={ends}"
            ));
        }
        let end = if life < SHORT {
            now + life
        } else {
            now + life - BACKDATE
        };
        let end = end.min(ends);
        let mut serial = [0_u8; 16];
        random.fill(&mut serial);
        // Positive, and never a zero in front.
        serial[0] = serial[0] & 0x7f | 0x40;
        let content = [
            der(0xa0, &der(INTEGER, &[2])),
            der(INTEGER, &serial),
            self.algorithm.clone(),
            self.issuer.clone(),
            der(SEQUENCE, &[time(begin), time(end)].concat()),
            request.subject().to_vec(),
            request.key().to_vec(),
            der(0xa3, &der(SEQUENCE, &self.extensions(request, usages)?)),
        ];
        let content = der(SEQUENCE, &content.concat());
        let signature = self.key.sign(&content).map_err(|e| e.to_string())?;
        let signature = der(BIT_STRING, &[&[0], signature.as_slice()].concat());
        let whole = der(SEQUENCE, &[content, self.algorithm.clone(), signature].concat());
        Ok(pem(&whole))
    }

    fn extensions(&self, request: &Request<'_>, usages: &[String]) -> Result<Vec<u8>, String> {
        let (mut bits, mut extended) = (0_u16, Vec::new());
        for usage in usages {
            if let Some((_, bit)) = KEY_USAGES.iter().find(|(name, _)| name == usage) {
                bits |= 1 << bit;
            } else if let Some((_, oid)) = EXTENDED_USAGES.iter().find(|(name, _)| name == usage) {
                if !extended.contains(oid) {
                    extended.push(*oid);
                }
            } else {
                return Err(format!("unrecognized usage values: [{usage:?}]"));
            }
        }
        let mut all = Vec::new();
        if bits != 0 {
            all.push(extension(&[0x55, 0x1d, 0x0f], true, &key_usage(bits)));
        }
        if !extended.is_empty() {
            let list: Vec<u8> = extended.iter().flat_map(|oid| der(OBJECT, oid)).collect();
            all.push(extension(&[0x55, 0x1d, 0x25], false, &der(SEQUENCE, &list)));
        }
        all.push(extension(&[0x55, 0x1d, 0x13], true, &der(SEQUENCE, &[])));
        if let Some(id) = &self.key_id {
            let id = der(SEQUENCE, &der(0x80, id));
            all.push(extension(&[0x55, 0x1d, 0x23], false, &id));
        }
        if let Some(names) = request.names_der() {
            all.push(extension(&[0x55, 0x1d, 0x11], false, names));
        }
        Ok(all.concat())
    }
}

/// The identifier of the algorithm by which a key signs.
fn algorithm(key: &KeyPair) -> Result<Vec<u8>, SignerError> {
    let ecdsa = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3];
    let kind = key.algorithm();
    let (oid, parameters): (Vec<u8>, &[u8]) = if *kind == rcgen::PKCS_ECDSA_P256_SHA256 {
        ([&ecdsa[..], &[2]].concat(), &[])
    } else if *kind == rcgen::PKCS_ECDSA_P384_SHA384 {
        ([&ecdsa[..], &[3]].concat(), &[])
    } else if *kind == rcgen::PKCS_ED25519 {
        (vec![0x2b, 0x65, 0x70], &[])
    } else if *kind == rcgen::PKCS_RSA_SHA256 {
        (vec![0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b], &[5, 0])
    } else {
        return Err(SignerError::Key(
            "keys of this kind cannot sign certificates here".to_owned(),
        ));
    };
    Ok(der(SEQUENCE, &[&der(OBJECT, &oid), parameters].concat()))
}

fn pem(content: &[u8]) -> String {
    let text = BASE64.encode(content);
    let mut out = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out + "-----END CERTIFICATE-----\n"
}

/// When a certificate ends.
pub(super) fn end_of(pem: &[u8]) -> Option<i64> {
    let text = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, certificate) = X509Certificate::from_der(&text).ok()?;
    let end: ASN1Time = certificate.validity().not_after;
    Some(end.timestamp())
}
