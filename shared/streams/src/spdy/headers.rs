//! Header blocks: names and values with their lengths, compressed with one zlib stream a connection and direction.

use super::dictionary::DICTIONARY;
use crate::Error;
use bytes::{Buf, BufMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::collections::BTreeSet;

/// Names in lower case, and values; a name with several values has them parted by NUL.
pub type Headers = Vec<(String, String)>;

/// Most bytes of a block when it is decompressed.
const LIMIT: usize = 64 << 10;

/// Compresses what one end sends.
pub(super) struct Packer(Compress);

impl Packer {
    pub(super) fn new() -> Self {
        Self(Compress::new(Compression::default(), true))
    }

    pub(super) fn pack(&mut self, headers: &Headers, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut block = Vec::new();
        let text = |text: &str, block: &mut Vec<u8>| {
            block.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
            block.put_slice(text.as_bytes());
        };
        block.put_u32(u32::try_from(headers.len()).unwrap_or(u32::MAX));
        for (name, value) in headers {
            text(name, &mut block);
            text(value, &mut block);
        }
        if self.0.total_in() == 0 {
            self.0.set_dictionary(&DICTIONARY).map_err(broken)?;
        }
        let start = self.0.total_in();
        loop {
            out.reserve(256);
            let done = usize::try_from(self.0.total_in() - start).unwrap_or_default();
            let flush = FlushCompress::Sync;
            self.0
                .compress_vec(&block[done.min(block.len())..], out, flush)
                .map_err(broken)?;
            let taken = usize::try_from(self.0.total_in() - start).unwrap_or_default();
            if taken >= block.len() && out.len() < out.capacity() {
                return Ok(());
            }
        }
    }
}

/// Decompresses what the other end sends.
pub(super) struct Unpacker(Decompress);

impl Unpacker {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    pub(super) fn unpack(&mut self, mut packed: &[u8]) -> Result<Headers, Error> {
        let mut block = Vec::with_capacity(1024);
        loop {
            let (taken, made) = (self.0.total_in(), block.len());
            let result = self.0.decompress_vec(packed, &mut block, FlushDecompress::Sync);
            let taken = usize::try_from(self.0.total_in() - taken).unwrap_or_default();
            packed = packed.get(taken..).unwrap_or_default();
            match result {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&DICTIONARY).map_err(broken)?;
                    continue;
                }
                Err(error) => return Err(broken(error)),
                Ok(Status::StreamEnd) => return Err(broken("the compression ended")),
                Ok(_) => {}
            }
            if block.len() > LIMIT {
                return Err(broken("the headers are too large"));
            }
            if block.len() == block.capacity() {
                block.reserve(block.capacity());
            } else if packed.is_empty() {
                return parse(&block);
            } else if taken == 0 && block.len() == made {
                return Err(broken("the compression is broken"));
            }
        }
    }
}

fn broken(why: impl std::fmt::Display) -> Error {
    Error::Protocol(format!("SPDY headers: {why}"))
}

fn parse(mut block: &[u8]) -> Result<Headers, Error> {
    let count = number(&mut block)?;
    let (mut headers, mut names) = (Headers::new(), BTreeSet::new());
    for _ in 0..count {
        let name = text(&mut block)?.to_ascii_lowercase();
        let value = text(&mut block)?;
        if name.is_empty() || !names.insert(name.clone()) {
            return Err(broken(format!("the name {name:?} is empty or comes twice")));
        }
        headers.push((name, value));
    }
    if block.is_empty() {
        Ok(headers)
    } else {
        Err(broken("there is more than was counted"))
    }
}

fn number(block: &mut &[u8]) -> Result<usize, Error> {
    let number = block.try_get_u32().map_err(broken)?;
    usize::try_from(number).map_err(broken)
}

fn text(block: &mut &[u8]) -> Result<String, Error> {
    let length = number(block)?;
    let (text, rest) = block
        .split_at_checked(length)
        .ok_or_else(|| broken("they end too early"))?;
    *block = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spdy::dictionary::CHECKSUM;

    #[test]
    fn the_dictionary_is_the_published_one() {
        assert_eq!(DICTIONARY.len(), 1423);
        assert_eq!(
            Compress::new(Compression::default(), true)
                .set_dictionary(&DICTIONARY)
                .unwrap(),
            CHECKSUM
        );
    }

    #[test]
    fn blocks_follow_each_other_in_one_stream() {
        let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
        for round in 0..300 {
            let headers: Headers = (0..round)
                .map(|i| (format!("name-{i}"), format!("{round}\0{}", "x".repeat(i))))
                .collect();
            let mut packed = Vec::new();
            packer.pack(&headers, &mut packed).unwrap();
            assert_eq!(unpacker.unpack(&packed).unwrap(), headers);
        }
    }

    #[test]
    fn broken_blocks_are_refused() {
        assert!(Unpacker::new().unpack(b"").is_err());
        assert!(Unpacker::new().unpack(b"garbage").is_err());
        for block in [
            &[0u8, 0, 0, 1][..],
            &[255, 255, 255, 255],
            &[0, 0, 0, 1, 0, 0, 0, 9, b'x'],
            &[0, 0, 0, 0, 7],
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(parse(block).is_err(), "{block:?}");
        }
        let mut bomb = Vec::new();
        let value = "x".repeat(LIMIT);
        Packer::new()
            .pack(&vec![("a".to_owned(), value)], &mut bomb)
            .unwrap();
        assert!(Unpacker::new().unpack(&bomb).is_err());
    }
}
