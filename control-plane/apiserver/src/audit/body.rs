//! Bodies as events hold them: JSON on one line, without what the policy does not want.

use crate::splice;
use api::scan;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, header};
use std::io::Read;

/// JSON without white space between its parts.
pub(super) fn compact(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let (mut inside, mut escaped) = (false, false);
    for &byte in json {
        if inside {
            inside = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            inside = byte == b'"';
        }
        out.push(byte);
    }
    out
}

/// An object, a list or a table without managed fields.
pub(super) fn unmanaged(json: &[u8]) -> Vec<u8> {
    const FIELDS: &str = "metadata.managedFields";
    let mut json = splice::set(json, FIELDS, None).unwrap_or_else(|_| json.to_vec());
    for (list, path) in [("items", FIELDS), ("rows", "object.metadata.managedFields")] {
        let Ok(Some(range)) = scan::find(&json, list) else {
            continue;
        };
        let Ok(elements) = scan::elements(&json, range.start) else {
            continue;
        };
        let made: Vec<Vec<u8>> = elements
            .into_iter()
            .map(|at| splice::set(&json[at.clone()], path, None).unwrap_or_else(|_| json[at].to_vec()))
            .collect();
        if !made.is_empty() {
            let inner = made.join(&b","[..]);
            json = [&json[..range.start], b"[", &inner, b"]", &json[range.end..]].concat();
        }
    }
    json
}

/// The body of an answer as JSON; none if it is of no kind that has such a form.
pub(super) fn readable(headers: &HeaderMap, body: &Bytes) -> Option<Vec<u8>> {
    let unpacked = match headers.get(header::CONTENT_ENCODING) {
        None => body.to_vec(),
        Some(_) => {
            let mut out = Vec::new();
            GzDecoder::new(body.as_ref()).read_to_end(&mut out).ok()?;
            out
        }
    };
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    match kind.split(';').next().unwrap_or_default() {
        "application/json" => Some(unpacked),
        "application/yaml" => schema::yaml_to_json(&unpacked).ok(),
        "application/vnd.kubernetes.protobuf" => schema::protobuf_to_json(&unpacked).ok(),
        "application/cbor" => schema::cbor_to_json(&unpacked).ok(),
        _ => None,
    }
}
