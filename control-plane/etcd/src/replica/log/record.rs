//! The log's format on disk, version 1. All numbers are little-endian.
//!
//! A segment (`raft-N.log`) is a header and records. It is as long as it will become from the beginning, and may hold
//! anything after its last record: zeros, or what it held under another number.
//!
//! ```text
//! header  0  8  "FKRAFT" and two zeros
//!         8  4  format version
//!        12  4  salt: the start value of every checksum, another one for each segment
//!        16  8  the member whose log it is
//!        24  8  its cluster
//!        32  8  segment number
//!        40  8  number of the first record
//!        48  4  checksum (CRC-32) of bytes 0..48
//! record  0  4  checksum of the bytes from 4 on
//!         4  4  length of the content
//!         8  8  number of the record: one more than that of the record before
//!        16  8  all records before this number were durable when this one was written
//!        24  1  kind
//!        25     content
//! ```
//!
//! What was durable tells a torn tail, which is cut off, from damage to what was once acknowledged, which is refused.

use crate::{
    record::{checksum, u32_at, u64_at},
    replica::{
        pack::{Pack, Unpack},
        wire,
    },
};
use bytes::Bytes;
use raft::{Entry, HardState};

pub const FORMAT: u32 = 1;
pub const HEADER: usize = 52;
const RECORD: usize = 25;
const ENTRY: u8 = 1;
const MAGIC: &[u8; 8] = b"FKRAFT\0\0";

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub format: u32,
    pub salt: u32,
    pub member: u64,
    pub cluster: u64,
    pub segment: u64,
    pub first: u64,
}

impl Header {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.format.to_le_bytes());
        out.extend(self.salt.to_le_bytes());
        for number in [self.member, self.cluster, self.segment, self.first] {
            out.extend(number.to_le_bytes());
        }
        let sum = checksum(0, &[&out]);
        out.extend(sum.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        let whole = &bytes[..8] == MAGIC && checksum(0, &[&bytes[..48]]) == u32_at(bytes, 48);
        whole.then(|| Self {
            format: u32_at(bytes, 8),
            salt: u32_at(bytes, 12),
            member: u64_at(bytes, 16),
            cluster: u64_at(bytes, 24),
            segment: u64_at(bytes, 32),
            first: u64_at(bytes, 40),
        })
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An entry; what the log has from its index on is cut off before.
    Entry(Entry),
    /// The hard state.
    Hard(HardState),
    /// The log is empty and goes on after this index and term: a snapshot stands for what was before.
    Reset(u64, u64),
    /// The log ended at this index and term when the segment was begun.
    Tip(u64, u64),
    /// A snapshot of this index and term is about to take the place of the store.
    Installing(u64, u64),
}

impl Record {
    fn kind(&self) -> u8 {
        match self {
            Self::Entry(_) => ENTRY,
            Self::Hard(_) => 2,
            Self::Reset(..) => 3,
            Self::Tip(..) => 4,
            Self::Installing(..) => 5,
        }
    }

    fn content(&self, out: &mut Pack) {
        match self {
            Self::Entry(entry) => wire::write_entry(out, entry),
            Self::Hard(hard) => wire::write_hard(out, hard),
            Self::Reset(index, term) | Self::Tip(index, term) | Self::Installing(index, term) => {
                out.number(*index);
                out.number(*term);
            }
        }
    }

    /// Appends the record.
    pub fn encode(&self, salt: u32, number: u64, durable: u64, out: &mut Vec<u8>) {
        frame(self.kind(), (salt, number, durable), out, |pack| {
            self.content(pack)
        });
    }

    fn decode(kind: u8, content: Bytes) -> Option<Self> {
        let mut from = Unpack(content);
        let record = match kind {
            ENTRY => Self::Entry(wire::read_entry(&mut from).ok()?),
            2 => Self::Hard(wire::read_hard(&mut from).ok()?),
            3 => Self::Reset(from.number().ok()?, from.number().ok()?),
            4 => Self::Tip(from.number().ok()?, from.number().ok()?),
            5 => Self::Installing(from.number().ok()?, from.number().ok()?),
            _ => return None,
        };
        from.end().ok()?;
        Some(record)
    }
}

/// Appends the record of an entry.
pub fn encode_entry(entry: &Entry, salt: u32, number: u64, durable: u64, out: &mut Vec<u8>) {
    frame(ENTRY, (salt, number, durable), out, |pack| {
        wire::write_entry(pack, entry);
    });
}

/// Appends a record of a kind; its salt, its number and up to where all is durable are given, and who writes its content.
fn frame(
    kind: u8,
    (salt, number, durable): (u32, u64, u64),
    out: &mut Vec<u8>,
    content: impl FnOnce(&mut Pack),
) {
    let start = out.len();
    out.extend([0; 8]);
    out.extend(number.to_le_bytes());
    out.extend(durable.to_le_bytes());
    out.push(kind);
    let mut pack = Pack(std::mem::take(out));
    content(&mut pack);
    *out = pack.0;
    let length = (out.len() - start - RECORD) as u32;
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(salt, &[&out[start + 4..]]);
    out[start..start + 4].copy_from_slice(&sum.to_le_bytes());
}

/// A record that was read.
#[derive(Debug)]
pub struct Read {
    pub number: u64,
    pub length: usize,
    pub record: Record,
}

/// The record at an offset, if there is one.
pub fn read(salt: u32, bytes: &Bytes, offset: usize) -> Option<Read> {
    let rest = bytes.get(offset..)?;
    let head = rest.get(..RECORD)?;
    let length = RECORD.checked_add(u32_at(head, 4) as usize)?;
    let whole = rest.get(..length)?;
    // Zeros are the usual end.
    if head[24] == 0 || checksum(salt, &[&whole[4..]]) != u32_at(head, 0) {
        return None;
    }
    let content = bytes.slice(offset + RECORD..offset + length);
    Some(Read {
        number: u64_at(head, 8),
        length,
        record: Record::decode(head[24], content)?,
    })
}

/// Whether bytes look like a record after number `lost` that says that `lost` was durable.
pub fn may_be_later(bytes: &[u8], lost: u64) -> bool {
    bytes.len() >= RECORD && (1..=5).contains(&bytes[24]) && {
        let (number, durable) = (u64_at(bytes, 8), u64_at(bytes, 16));
        number > lost && number - lost < 1 << 32 && durable > lost && durable <= number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_it_was_written_and_any_flipped_bit_is_seen() {
        let entry = Entry {
            term: 2,
            index: 9,
            payload: raft::Payload::Data(Bytes::from_static(b"data")),
        };
        let record = Record::Entry(entry);
        let mut out = Vec::new();
        record.encode(7, 5, 3, &mut out);
        let read_as = |bytes: Vec<u8>| read(7, &bytes.into(), 0);
        let found = read_as(out.clone()).unwrap();
        assert_eq!((found.number, found.length), (5, out.len()));
        assert!(may_be_later(&out, 2) && !may_be_later(&out, 3));
        assert_eq!(found.record, record);
        for bit in 0..out.len() * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read_as(flipped).is_none(), "bit {bit}");
        }
    }
}
