//! Rules for trust anchors.

use api::field::Error;
use std::collections::BTreeMap;
use x509_parser::prelude::{FromDer, Pem, X509Certificate};

/// The longest text of a bundle.
const LONGEST: usize = 1024 * 1024;

/// Rules for a bundle: certificates of CAs, each once, and nothing else.
pub(super) fn bundle(path: &str, text: &str, errors: &mut Vec<Error>) {
    if text.len() > LONGEST {
        errors.push(Error::too_long(path, LONGEST));
        return;
    }
    let before = errors.len();
    let mut places: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (index, block) in blocks(text).enumerate() {
        match anchor(&block) {
            Some(why) => errors.push(refused(path, format!("entry {index} {why}"))),
            None => places.entry(block.contents).or_default().push(index),
        }
    }
    if errors.len() > before {
        return;
    }
    if places.is_empty() {
        errors.push(refused(
            path,
            "at least one trust anchor must be provided".to_owned(),
        ));
    }
    for indices in places.values().filter(|indices| indices.len() > 1) {
        let indices: Vec<String> = indices.iter().map(usize::to_string).collect();
        let why = format!("duplicate trust anchor (indices [{}])", indices.join(" "));
        errors.push(refused(path, why));
    }
}

fn refused(path: &str, why: String) -> Error {
    Error::invalid(path, "<value omitted>", why)
}

/// The PEM blocks of a text; what stands between them is not looked at.
pub(super) fn blocks(text: &str) -> impl Iterator<Item = Pem> {
    Pem::iter_from_buffer(text.as_bytes()).filter_map(Result::ok)
}

/// Why a block is no trust anchor.
fn anchor(block: &Pem) -> Option<String> {
    if block.label != "CERTIFICATE" {
        return Some(format!("has bad block type: {}", block.label));
    }
    let Ok(([], certificate)) = X509Certificate::from_der(&block.contents) else {
        return Some("does not parse as X.509".to_owned());
    };
    (!certificate.is_ca()).then(|| "does not have the CA bit set".to_owned())
}
