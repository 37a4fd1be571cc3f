//! The record of node ports in the store: a `RangeAllocation` under upstream's key, a bit a port.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// The key, as upstream's.
pub(super) const KEY: &str = "/registry/ranges/servicenodeports";

/// How many of `size` ports are kept for those who wish for one.
pub(super) fn kept(size: u64) -> u64 {
    match size {
        size if size <= 16 => 0,
        size => (size / 32).clamp(16, 128),
    }
}

/// A set of small numbers, lowest bit first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u8>);

impl Bits {
    pub(super) fn has(&self, at: usize) -> bool {
        self.0.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
    }

    pub(super) fn set(&mut self, at: usize, on: bool) {
        if self.0.len() <= at / 8 {
            self.0.resize(at / 8 + 1, 0);
        }
        let bit = 1 << (at % 8);
        if on {
            self.0[at / 8] |= bit;
        } else {
            self.0[at / 8] &= !bit;
        }
    }
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Record {
    kind: String,
    api_version: String,
    metadata: Metadata,
    range: String,
    /// A number's bytes, the highest first, as upstream writes it.
    data: String,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    creation_timestamp: Option<String>,
}

/// The record's text.
pub(super) fn encode(bits: &Bits, range: &str) -> Vec<u8> {
    let bytes: Vec<u8> = bits
        .0
        .iter()
        .rev()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    let record = Record {
        kind: "RangeAllocation".to_owned(),
        api_version: "v1".to_owned(),
        metadata: Metadata::default(),
        range: range.to_owned(),
        data: STANDARD.encode(bytes),
    };
    serde_json::to_vec(&record).unwrap_or_default()
}

/// The bits of a record of the same range; `None`: it is of another, or in a form that is not read.
pub(super) fn decode(text: &[u8], range: &str) -> Option<Bits> {
    let record: Record = serde_json::from_slice(text).ok()?;
    let mut bytes = STANDARD.decode(record.data).ok()?;
    bytes.reverse();
    (record.range == range).then_some(Bits(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_as_upstream_writes_it() {
        let mut bits = Bits::default();
        for at in [0, 9, 100] {
            bits.set(at, true);
        }
        bits.set(100, false);
        let text = encode(&bits, "30000-32767");
        assert_eq!(
            String::from_utf8_lossy(&text),
            r#"{"kind":"RangeAllocation","apiVersion":"v1","metadata":{"creationTimestamp":null},"range":"30000-32767","data":"AgE="}"#
        );
        let read = decode(&text, "30000-32767").unwrap();
        assert!(read.has(0) && read.has(9) && !read.has(1) && !read.has(100) && !read.has(5000));
        assert_eq!(decode(&text, "30000-30001"), None);
        assert_eq!((kept(2768), kept(16), kept(100)), (86, 0, 16));
    }
}
