//! What a checkpoint and a dump say of the whole store besides its keys.

use crate::{
    Revision,
    record::{u32_at, u64_at},
};
use bytes::Bytes;

/// What is stored besides keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    /// Revisions that a crash may have taken: after the first, up to the second.
    pub lost: Vec<(Revision, Revision)>,
    /// The leases with their TTL in milliseconds.
    pub leases: Vec<(i64, u64)>,
    /// The table beside the key space.
    pub meta: Vec<(Bytes, Bytes)>,
}

impl Summary {
    /// Reads it; before there was the table, it was not in it.
    pub fn read(input: &mut Input<'_>, with_table: bool) -> Option<Self> {
        Some(Self {
            lost: input.list(|input| Some((input.u64()?, input.u64()?)))?,
            leases: input.list(|input| Some((input.u64()? as i64, input.u64()?)))?,
            meta: match with_table {
                true => input.list(Input::entry)?,
                false => Vec::new(),
            },
        })
    }

    /// Appends its bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let u32 = |number: usize, out: &mut Vec<u8>| out.extend_from_slice(&(number as u32).to_le_bytes());
        u32(self.lost.len(), out);
        for (after, last) in &self.lost {
            out.extend_from_slice(&after.to_le_bytes());
            out.extend_from_slice(&last.to_le_bytes());
        }
        u32(self.leases.len(), out);
        for (id, ttl) in &self.leases {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&ttl.to_le_bytes());
        }
        u32(self.meta.len(), out);
        for (key, value) in &self.meta {
            u32(key.len(), out);
            u32(value.len(), out);
            out.extend_from_slice(key);
            out.extend_from_slice(value);
        }
    }
}

/// Bytes that are read from the front.
pub(crate) struct Input<'a> {
    pub bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(part)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|part| u32_at(part, 0))
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take(8).map(|part| u64_at(part, 0))
    }

    fn entry(&mut self) -> Option<(Bytes, Bytes)> {
        let (key, value) = (self.u32()? as usize, self.u32()? as usize);
        let mut part = |length| self.take(length).map(Bytes::copy_from_slice);
        Some((part(key)?, part(value)?))
    }

    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u32()?;
        (0..count).map(|_| item(self)).collect()
    }
}
