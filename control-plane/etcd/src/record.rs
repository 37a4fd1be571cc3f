//! The format on disk, version 2 (1 had neither `Meta` nor `Passed`). All numbers are little-endian.
//!
//! A segment (`log-N.seg`, `live-N.seg`) is a header and records:
//!
//! ```text
//! header  0  8  "FKSTORE" and a zero
//!         8  4  format version
//!        12  4  salt: a random number of this store, the start value of every checksum
//!        16  4  segment number
//!        20  4  checksum (CRC-32) of bytes 0..20 and 24..32
//!        24  8  index of the first record (log segments)
//! record  0  4  checksum of the bytes from 4 on
//!         4  4  length of the whole record
//!         8  1  kind
//!         9  1  1 when the entry goes on with the next record, else 0
//!        10  2  0x5246
//!        12  4  length of the key
//!        16  3  term
//!        19  5  version of the key, in a put; 0 if an older release wrote it, which did not count
//!        24  8  index; the records of one entry have the same, the next entry has the next
//!        32  8  index up to which the log was durable when this record was written
//!        40  8  revision
//!        48  8  detail, by kind
//!        56  8  lease
//!        64     key, then value
//! ```
//!
//! The durable index tells a torn tail (which is cut off) from damage to what was once acknowledged (which is refused).

use crc32fast::Hasher;

/// The format that is written, and the newest that can be read.
pub const FORMAT: u32 = 2;
/// Bytes before the first record of a segment.
pub const SEGMENT_HEADER: usize = 32;
/// Bytes of a record before its key.
pub const RECORD_HEADER: usize = 64;

const MAGIC: &[u8; 8] = b"FKSTORE\0";
const MARK: u16 = 0x5246;
/// Bits of the term; a version has the others of its eight bytes.
const TERM_BITS: u32 = 24;
const MAX_VERSION: u64 = (1 << (64 - TERM_BITS)) - 1;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The key was written; detail: its create revision.
    Put = 1,
    /// The key was removed.
    Delete = 2,
    /// A lease was granted; detail: its TTL in milliseconds.
    Grant = 3,
    /// A lease ended.
    Revoke = 4,
    /// What is older than the revision is forgotten.
    Compact = 5,
    /// Revisions up to this one may be used before they are logged.
    Reserve = 6,
    /// A crash may have lost the revisions after detail and before the revision.
    Lost = 7,
    /// An entry of the table beside the key space became the value (detail 1) or was removed (detail 0).
    Meta = 8,
    /// The entries from index detail up to this one changed nothing.
    Passed = 9,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Put,
            2 => Self::Delete,
            3 => Self::Grant,
            4 => Self::Revoke,
            5 => Self::Compact,
            6 => Self::Reserve,
            7 => Self::Lost,
            8 => Self::Meta,
            9 => Self::Passed,
            _ => return None,
        })
    }
}

/// A record, its key and value borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it says.
    pub kind: Kind,
    /// Whether the entry goes on with the next record.
    pub more: bool,
    /// The term of the entry, less than 2^24.
    pub term: u64,
    /// How often the key was written since it was created, less than 2^40; 0: not known.
    pub version: u64,
    /// The index of the entry.
    pub index: u64,
    /// The log was durable up to this index when the record was written.
    pub durable: u64,
    /// The revision.
    pub revision: u64,
    /// By kind, see [`Kind`].
    pub detail: u64,
    /// The lease of a put; the lease that was granted or ended.
    pub lease: i64,
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// They end before it does.
    Short,
    /// They are something else.
    NoRecord,
    /// The checksum is wrong.
    Checksum,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Short => "the record is cut off",
            Self::NoRecord => "there is no record",
            Self::Checksum => "the checksum is wrong",
        })
    }
}

impl<'a> Record<'a> {
    /// How long a record of such a key and value is.
    pub fn length(key: &[u8], value: &[u8]) -> usize {
        RECORD_HEADER + key.len() + value.len()
    }

    /// Appends the record to `out`.
    pub fn encode(&self, salt: u32, out: &mut Vec<u8>) {
        let start = out.len();
        let length = Self::length(self.key, self.value);
        out.reserve(length);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(length as u32).to_le_bytes());
        out.extend_from_slice(&[self.kind as u8, u8::from(self.more)]);
        out.extend_from_slice(&MARK.to_le_bytes());
        out.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        for number in [
            self.term | self.version.min(MAX_VERSION) << TERM_BITS,
            self.index,
            self.durable,
            self.revision,
            self.detail,
            self.lease as u64,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.value);
        let sum = checksum(salt, &[&out[start + 4..]]);
        out[start..start + 4].copy_from_slice(&sum.to_le_bytes());
    }

    /// The record at the start of `bytes`, and its length.
    pub fn decode(salt: u32, bytes: &'a [u8]) -> Result<(Self, usize), Damage> {
        let header = bytes.get(..RECORD_HEADER).ok_or(Damage::Short)?;
        let (length, key_length) = (u32_at(header, 4) as usize, u32_at(header, 12) as usize);
        let mark = u16::from_le_bytes([header[10], header[11]]);
        let kind = Kind::of(header[8])
            .filter(|_| mark == MARK && header[9] <= 1)
            .ok_or(Damage::NoRecord)?;
        if length < RECORD_HEADER || key_length > length - RECORD_HEADER {
            return Err(Damage::NoRecord);
        }
        let whole = bytes.get(..length).ok_or(Damage::Short)?;
        if checksum(salt, &[&whole[4..]]) != u32_at(header, 0) {
            return Err(Damage::Checksum);
        }
        let (key, value) = whole[RECORD_HEADER..].split_at(key_length);
        let record = Record {
            kind,
            more: header[9] == 1,
            term: u64_at(header, 16) & ((1 << TERM_BITS) - 1),
            version: u64_at(header, 16) >> TERM_BITS,
            index: u64_at(header, 24),
            durable: u64_at(header, 32),
            revision: u64_at(header, 40),
            detail: u64_at(header, 48),
            lease: u64_at(header, 56) as i64,
            key,
            value,
        };
        Ok((record, length))
    }
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The format it was written in.
    pub format: u32,
    /// The store's salt.
    pub salt: u32,
    /// The segment's number.
    pub segment: u32,
    /// The index of its first record.
    pub first_index: u64,
}

impl SegmentHeader {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER);
        out.extend_from_slice(MAGIC);
        for number in [self.format, self.salt, self.segment, 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.first_index.to_le_bytes());
        let sum = checksum(self.salt, &[&out[..20], &out[24..]]);
        out[20..24].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// The header at the start of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let header = bytes.get(..SEGMENT_HEADER).ok_or(Damage::Short)?;
        if &header[..8] != MAGIC {
            return Err(Damage::NoRecord);
        }
        let salt = u32_at(header, 12);
        if checksum(salt, &[&header[..20], &header[24..]]) != u32_at(header, 20) {
            return Err(Damage::Checksum);
        }
        let (format, segment) = (u32_at(header, 8), u32_at(header, 16));
        Ok(Self {
            format,
            salt,
            segment,
            first_index: u64_at(header, 24),
        })
    }
}

pub(crate) fn checksum(salt: u32, parts: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new_with_initial(salt);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_it_was_written_and_any_flipped_bit_is_seen() {
        let record = Record {
            kind: Kind::Put,
            more: false,
            term: 1,
            version: 4,
            index: 2,
            durable: 1,
            revision: 7,
            detail: 5,
            lease: -3,
            key: b"/registry/pods/default/web",
            value: b"{}",
        };
        let mut bytes = Vec::new();
        record.encode(99, &mut bytes);
        assert_eq!(Record::decode(99, &bytes), Ok((record, bytes.len())));
        assert_eq!(Record::decode(98, &bytes), Err(Damage::Checksum));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(99, &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        let header = SegmentHeader {
            format: FORMAT,
            salt: 5,
            segment: 3,
            first_index: 40,
        };
        let bytes = header.encode();
        assert_eq!(bytes.len(), SEGMENT_HEADER);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        assert_eq!(SegmentHeader::decode(&bytes[..31]), Err(Damage::Short));
    }
}
