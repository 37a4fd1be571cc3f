//! Bodies in upstream's protobuf form, which typed clients send and accept for the built-in kinds.

mod decode;
mod encode;
mod table;
#[cfg(test)]
mod tests;
mod wire;

use serde_json::{Map, Value};

use crate::{document, type_meta};
use encode::Encoder;
use table::Message;
pub(crate) use wire::{put_bytes, put_varint};

/// The first bytes of every body.
const PREFIX: &[u8] = b"k8s\0";

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// It is something else.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    /// It does not say what it is.
    #[error("Object '{0}' is missing in the protobuf envelope")]
    Missing(&'static str),
    /// The kind has no protobuf form here.
    #[error("no kind \"{1}\" is registered for version \"{0}\" in protobuf form")]
    Kind(String, String),
    /// It ends inside of something.
    #[error("proto: unexpected EOF")]
    Truncated,
    /// A number is longer than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// The number of a field or the type of its value is not valid.
    #[error("proto: illegal tag {0}")]
    Tag(u64),
    /// A field holds a value of another type.
    #[error("proto: wrong wireType for field {0}")]
    WireType(String),
    /// JSON that is not what its kind says.
    #[error("{0}")]
    Json(String),
    /// The value of a field is not one that JSON could hold.
    #[error("proto: field {0}: {1}")]
    Value(String, String),
    /// Messages stand too deep in each other.
    #[error("proto: exceeded max depth")]
    Depth,
    /// Contents that are compressed.
    #[error("content encoding \"{0}\" is not supported")]
    Encoding(String),
}

/// Whether `body` says that it is protobuf.
pub fn is_protobuf(body: &[u8]) -> bool {
    body.starts_with(PREFIX)
}

/// The object of a protobuf body as JSON, as upstream would write it: a zero stands only where it says something.
///
/// # Errors
/// Bytes that are not an object of a built-in kind.
pub fn protobuf_to_json(body: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    to_json(body, table::of_kind)
}

/// The same of a body from a store, where objects of versions are that are served no more.
///
/// # Errors
/// As [`protobuf_to_json`].
pub fn stored_protobuf_to_json(body: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    to_json(body, table::of_stored)
}

fn to_json(
    body: &[u8],
    of_kind: fn(&str, &str) -> Option<table::MessageRef>,
) -> Result<Vec<u8>, ProtobufError> {
    let envelope = Envelope::read(body.strip_prefix(PREFIX).ok_or(ProtobufError::Prefix)?)?;
    let mut object = Map::new();
    if envelope.content_type == "application/json" {
        let wrong = |error: crate::SyntaxError| ProtobufError::Value("raw".to_owned(), error.0);
        return document::read(envelope.raw)
            .map(|value| document::write(&value))
            .map_err(wrong);
    }
    let message = of_kind(&envelope.api_version, &envelope.kind);
    let (api_version, kind) = (envelope.api_version, envelope.kind);
    let message = message.ok_or_else(|| ProtobufError::Kind(api_version.clone(), kind.clone()))?;
    decode::message(message, envelope.raw, &mut object, 0)?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(document::write(&Value::Object(object)))
}

/// Whether the kind has a protobuf form.
pub fn has_protobuf(api_version: &str, kind: &str) -> bool {
    table::of_kind(api_version, kind).is_some()
}

/// The object `json` as a protobuf body. What its kind does not name is left out.
///
/// # Errors
/// Text that is no JSON, or an object of a kind without a protobuf form or not in the form of its kind.
pub fn json_to_protobuf(json: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    let meta = type_meta(json).map_err(ProtobufError::Json)?;
    enveloped(&meta.api_version, &meta.kind, |message, out| {
        Encoder::new(json, out)?.message(message)
    })
}

/// The object `json` of that kind as a message: what a body holds, or the item of a list.
///
/// # Errors
/// As [`json_to_protobuf`].
pub fn json_to_message(api_version: &str, kind: &str, json: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    let mut out = Vec::new();
    Encoder::new(json, &mut out)?.message(of_kind(api_version, kind)?)?;
    Ok(out)
}

/// The body of an object of that kind, whose message is `message`.
///
/// # Errors
/// A kind without a protobuf form.
pub fn protobuf_body(api_version: &str, kind: &str, message: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    enveloped(api_version, kind, |_, out| {
        out.extend_from_slice(message);
        Ok(())
    })
}

/// What stands before the items of a list of that kind in its body, and after them: `metadata` is JSON, and the messages of the
/// items, which [`put_protobuf_item`] writes, have these sizes.
///
/// # Errors
/// As [`json_to_protobuf`].
pub fn protobuf_list(
    api_version: &str,
    kind: &str,
    metadata: &[u8],
    sizes: impl Iterator<Item = usize>,
) -> Result<(Vec<u8>, Vec<u8>), ProtobufError> {
    let list = of_kind(api_version, kind)?;
    if list.member("items").is_none_or(|items| items.number != ITEMS) {
        return Err(ProtobufError::Json("items of what is no list".to_owned()));
    }
    let mut own = Vec::new();
    Encoder::new(&[br#"{"metadata":"#, metadata, b"}"].concat(), &mut own)?.message(list)?;
    let mut head = head(api_version, kind);
    put_varint(&mut head, u64::from(RAW) << 3 | 2);
    let length: usize = sizes.map(wire::size_of_bytes).sum();
    put_varint(&mut head, (own.len() + length) as u64);
    head.extend_from_slice(&own);
    let mut tail = Vec::new();
    end(&mut tail);
    Ok((head, tail))
}

/// Appends an item of a list, whose message is `message`.
pub fn put_protobuf_item(out: &mut Vec<u8>, message: &[u8]) {
    put_bytes(out, ITEMS, message);
}

/// A frame of a watch: its length in four bytes, and the event of type `kind` that holds `object`, a protobuf body.
pub fn protobuf_frame(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.reserve(object.len() + 32);
    put_bytes(&mut out, 1, kind.as_bytes());
    let start = wire::start(&mut out, 2);
    put_bytes(&mut out, 1, object);
    wire::finish(&mut out, start);
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

/// The number of the items of all lists.
const ITEMS: u32 = 2;
/// The number of the object in what stands around it.
const RAW: u32 = 2;

fn of_kind(api_version: &str, kind: &str) -> Result<&'static Message, ProtobufError> {
    table::of_kind(api_version, kind)
        .map(table::MessageRef::get)
        .ok_or_else(|| ProtobufError::Kind(api_version.to_owned(), kind.to_owned()))
}

/// A body of that kind with what `raw` writes.
fn enveloped(
    api_version: &str,
    kind: &str,
    raw: impl FnOnce(&'static Message, &mut Vec<u8>) -> Result<(), ProtobufError>,
) -> Result<Vec<u8>, ProtobufError> {
    let message = of_kind(api_version, kind)?;
    let mut out = head(api_version, kind);
    let start = wire::start(&mut out, RAW);
    raw(message, &mut out)?;
    wire::finish(&mut out, start);
    end(&mut out);
    Ok(out)
}

/// What stands before an object of that kind.
fn head(api_version: &str, kind: &str) -> Vec<u8> {
    let mut out = PREFIX.to_vec();
    let meta = wire::start(&mut out, 1);
    put_bytes(&mut out, 1, api_version.as_bytes());
    put_bytes(&mut out, 2, kind.as_bytes());
    wire::finish(&mut out, meta);
    out
}

/// What stands after an object: neither a content encoding nor a content type; upstream writes both, always.
fn end(out: &mut Vec<u8>) {
    put_bytes(out, 3, &[]);
    put_bytes(out, 4, &[]);
}

/// What stands around an object: upstream's `runtime.Unknown`.
#[derive(Default)]
struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
    content_type: String,
}

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut envelope = Self::default();
        for field in wire::Fields::new(bytes) {
            match field? {
                (1, value) => {
                    for field in wire::Fields::new(value.bytes("typeMeta")?) {
                        match field? {
                            (1, value) => envelope.api_version = value.text("apiVersion")?.to_owned(),
                            (2, value) => envelope.kind = value.text("kind")?.to_owned(),
                            _ => {}
                        }
                    }
                }
                (2, value) => envelope.raw = value.bytes("raw")?,
                (3, value) => match value.text("contentEncoding")? {
                    "" => {}
                    other => return Err(ProtobufError::Encoding(other.to_owned())),
                },
                (4, value) => value.text("contentType")?.clone_into(&mut envelope.content_type),
                _ => {}
            }
        }
        match (envelope.api_version.as_str(), envelope.kind.as_str()) {
            _ if !envelope.content_type.is_empty() => Ok(envelope),
            ("", _) => Err(ProtobufError::Missing("apiVersion")),
            (_, "") => Err(ProtobufError::Missing("Kind")),
            _ => Ok(envelope),
        }
    }
}
