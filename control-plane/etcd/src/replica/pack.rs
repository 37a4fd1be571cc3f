//! Numbers and byte strings, one after the other: how entries and messages are written.

use bytes::{Buf, BufMut, Bytes};

/// Bytes that were not written by [`Pack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are cut off or were not written by this release")]
pub struct Garbled;

/// Writes.
#[derive(Debug, Default)]
pub struct Pack(pub Vec<u8>);

impl Pack {
    /// A small number, such as what kind of thing follows.
    pub fn tag(&mut self, tag: u8) {
        self.0.put_u8(tag);
    }

    /// Yes or no.
    pub fn flag(&mut self, flag: bool) {
        self.0.put_u8(u8::from(flag));
    }

    /// A number, in as few bytes as it needs.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.put_u8(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.put_u8(number as u8);
    }

    /// A number that may be any: eight bytes.
    pub fn fixed(&mut self, number: u64) {
        self.0.put_u64_le(number);
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.put_slice(bytes);
    }

    /// Something that may be missing.
    pub fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// A list.
    pub fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        let items = items.into_iter();
        self.number(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }
}

/// Reads; byte strings share the memory of what is read.
#[derive(Debug)]
pub struct Unpack(pub Bytes);

impl Unpack {
    /// As [`Pack::tag`].
    pub fn tag(&mut self) -> Result<u8, Garbled> {
        self.0.try_get_u8().map_err(|_| Garbled)
    }

    /// As [`Pack::flag`].
    pub fn flag(&mut self) -> Result<bool, Garbled> {
        match self.tag()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Garbled),
        }
    }

    /// As [`Pack::number`].
    pub fn number(&mut self) -> Result<u64, Garbled> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.tag()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Garbled)
    }

    /// As [`Pack::fixed`].
    pub fn fixed(&mut self) -> Result<u64, Garbled> {
        self.0.try_get_u64_le().map_err(|_| Garbled)
    }

    /// As [`Pack::bytes`].
    pub fn bytes(&mut self) -> Result<Bytes, Garbled> {
        let length = usize::try_from(self.number()?).map_err(|_| Garbled)?;
        if length > self.0.len() {
            return Err(Garbled);
        }
        Ok(self.0.split_to(length))
    }

    /// A byte string that is text.
    pub fn text(&mut self) -> Result<String, Garbled> {
        String::from_utf8(self.bytes()?.into()).map_err(|_| Garbled)
    }

    /// As [`Pack::maybe`].
    pub fn maybe<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Garbled>,
    ) -> Result<Option<T>, Garbled> {
        match self.flag()? {
            true => read(self).map(Some),
            false => Ok(None),
        }
    }

    /// As [`Pack::list`].
    pub fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Garbled>,
    ) -> Result<Vec<T>, Garbled> {
        let count = usize::try_from(self.number()?).map_err(|_| Garbled)?;
        // Each has a byte at least, so that a wrong count takes no memory.
        let mut items = Vec::with_capacity(count.min(self.0.len()));
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// That nothing is left.
    pub fn end(self) -> Result<(), Garbled> {
        if self.0.is_empty() { Ok(()) } else { Err(Garbled) }
    }
}
