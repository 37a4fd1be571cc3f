//! Bodies in CBOR (RFC 8949) as upstream reads and writes it: text is byte strings, bytes say that they are base64 in JSON, and
//! every body starts with the tag that says that it is CBOR.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use crate::{SyntaxError, syntax::quote};

pub use decode::cbor_to_json;
pub use encode::{cbor_body, cbor_frame, cbor_list, json_to_cbor, json_to_item};

/// The tag "this is CBOR", before every body.
const SELF_DESCRIBED: &[u8] = &[0xd9, 0xd9, 0xf7];

/// Whether `body` says that it is CBOR.
pub fn is_cbor(body: &[u8]) -> bool {
    body.starts_with(SELF_DESCRIBED)
}

/// Why a body cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// There is nothing.
    #[error("EOF")]
    Empty,
    /// It ends inside of something.
    #[error("unexpected EOF")]
    Truncated,
    /// It goes on behind its end.
    #[error("cbor: {0} bytes of extraneous data starting at index {1}")]
    Extra(usize, usize),
    /// The end of something that has not begun.
    #[error("cbor: unexpected \"break\" code")]
    Break,
    /// The first byte of an item says nothing.
    #[error("cbor: invalid additional information {0} for type {1}")]
    Information(u8, &'static str),
    /// A string in pieces has pieces of another type.
    #[error("cbor: wrong element type {0} for indefinite-length {1}")]
    Piece(&'static str, &'static str),
    /// Things stand too deep in each other.
    #[error("cbor: exceeded max nested level {}", crate::MAX_DEPTH)]
    Depth,
    /// Text that is not UTF-8.
    #[error("cbor: invalid UTF-8 string")]
    Utf8,
    /// A member comes twice; and which member of its map it is.
    #[error("cbor: found duplicate map key {key} at map element index {1}", key = quote(.0))]
    Duplicate(String, usize),
    /// A value that JSON cannot hold.
    #[error("cbor: {0}")]
    Value(String),
    /// What should become CBOR is not JSON.
    #[error(transparent)]
    Json(#[from] SyntaxError),
}

/// The major types of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Major {
    Positive,
    Negative,
    Bytes,
    Text,
    Array,
    Map,
    Tag,
    Simple,
}

impl Major {
    const ALL: [Self; 8] = [
        Self::Positive,
        Self::Negative,
        Self::Bytes,
        Self::Text,
        Self::Array,
        Self::Map,
        Self::Tag,
        Self::Simple,
    ];

    /// As the library that upstream uses calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Positive => "positive integer",
            Self::Negative => "negative integer",
            Self::Bytes => "byte string",
            Self::Text => "UTF-8 text string",
            Self::Array => "array",
            Self::Map => "map",
            Self::Tag => "tag",
            Self::Simple => "primitives",
        }
    }
}
