//! Clients whose `:authority` is no authority, which the HTTP library would refuse.
//!
//! etcd's clients before 3.5.2 send the endpoint as it was given to them, which may be a URL (`http://127.0.0.1:2379`),
//! or `#initially=[…]`. What they mean does not matter here, so it is made harmless on its way in: the characters that
//! cannot be are replaced, and the length stays, so that both sides go on having the same table of headers. A connection
//! whose first request is fine is not looked at any further.

use bytes::{Buf, BytesMut};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame before its content.
const FRAME: usize = 9;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;
/// The place of `:authority` in the table that every connection begins with.
const AUTHORITY: usize = 1;
/// The largest frame that a client sends unasked.
const LARGEST: usize = 16_384;
/// Bytes that are read at a time.
const READ: usize = 16 << 10;

/// HPACK's Huffman code of what may stand in an address: how many bits, the first code, and the characters in order.
const HUFFMAN: &[(u32, u32, &[u8])] = &[
    (5, 0x0, b"012aceiost"),
    (6, 0x14, b" %-./3456789=A_bdfghlmnpru"),
    (7, 0x5c, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, 0xf8, b"&*,;XZ"),
    (10, 0x3f8, b"!\"()?"),
    (11, 0x7fa, b"'+|"),
    (12, 0xffa, b"#>"),
    (13, 0x1ff8, b"\0$@[]~"),
    (14, 0x3ffc, b"^}"),
    (15, 0x7ffc, b"<`{"),
];

enum Phase {
    /// It may be HTTP/2.
    Preface,
    /// Frames; of the one that is under way so many bytes are to come. Whether a request was mended.
    Frames(usize, bool),
    /// Nothing needs to be looked at.
    Through,
}

/// A connection whose requests are mended.
pub struct Mended<S> {
    stream: S,
    phase: Phase,
    read: BytesMut,
    out: BytesMut,
}

impl<S> Mended<S> {
    /// What reads from `stream`.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            phase: Phase::Preface,
            read: BytesMut::new(),
            out: BytesMut::new(),
        }
    }

    /// Passes on what can be.
    fn pass(&mut self) {
        loop {
            match &mut self.phase {
                Phase::Through => return self.out.extend_from_slice(&self.read.split()),
                Phase::Preface => {
                    let known = self.read.len().min(PREFACE.len());
                    if self.read[..known] != PREFACE[..known] {
                        self.phase = Phase::Through;
                    } else if known == PREFACE.len() {
                        self.out.extend_from_slice(&self.read.split_to(known));
                        self.phase = Phase::Frames(0, false);
                    } else {
                        return;
                    }
                }
                Phase::Frames(left @ 1.., _) => {
                    let some = self.read.split_to(self.read.len().min(*left));
                    *left -= some.len();
                    self.out.extend_from_slice(&some);
                    if *left > 0 {
                        return;
                    }
                }
                Phase::Frames(0, mended) => {
                    let mended = *mended;
                    if !self.frame(mended) {
                        return;
                    }
                }
            }
        }
    }

    /// Looks at the next frame. False: it is not whole yet.
    fn frame(&mut self, mended: bool) -> bool {
        let Some(head) = self.read.get(..FRAME) else {
            return false;
        };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        if kind != HEADERS || flags & END_HEADERS == 0 || length > LARGEST {
            self.phase = Phase::Frames(FRAME + length, mended);
            return true;
        }
        if self.read.len() < FRAME + length {
            return false;
        }
        let frame = self.read.split_to(FRAME + length);
        match mend(&frame) {
            Some(better) => {
                self.out.extend_from_slice(&better);
                self.phase = Phase::Frames(0, true);
            }
            None => {
                self.out.extend_from_slice(&frame);
                if !mended {
                    self.phase = Phase::Through;
                }
            }
        }
        true
    }
}

/// A frame of headers, if its authority had to be mended.
fn mend(frame: &[u8]) -> Option<Vec<u8>> {
    let flags = frame[4];
    let mut at = FRAME + usize::from(flags & PADDED != 0) + if flags & PRIORITY != 0 { 5 } else { 0 };
    while let Some(first) = frame.get(at).copied() {
        let bits = match first {
            0x80.. => 7,
            0x40.. => 6,
            0x20.. => 5,
            _ => 4,
        };
        let name = number(frame, &mut at, bits)?;
        if first >= 0x80 || (0x20..0x40).contains(&first) {
            continue;
        }
        if name == 0 {
            text(frame, &mut at)?;
        }
        let start = at;
        let value = text(frame, &mut at)?;
        if name == AUTHORITY {
            return replaced(frame, start..at, &decoded(value)?);
        }
    }
    None
}

fn replaced(frame: &[u8], place: std::ops::Range<usize>, authority: &[u8]) -> Option<Vec<u8>> {
    if http::uri::Authority::try_from(authority).is_ok() || authority.len() >= 127 {
        return None;
    }
    let mut better = frame[..place.start].to_vec();
    better.push(authority.len() as u8);
    better.extend(harmless(authority));
    better.extend_from_slice(&frame[place.end..]);
    let length = (better.len() - FRAME) as u32;
    better[..3].copy_from_slice(&length.to_be_bytes()[1..]);
    (length as usize <= LARGEST).then_some(better)
}

/// As many characters that are an authority.
fn harmless(authority: &[u8]) -> Vec<u8> {
    let port = authority.iter().rposition(|byte| !byte.is_ascii_digit());
    let port = port.filter(|at| authority[*at] == b':' && at + 1 < authority.len());
    let bytes = authority.iter().enumerate().map(|(at, byte)| match byte {
        b'.' => b'.',
        byte if byte.is_ascii_alphanumeric() => *byte,
        b':' if Some(at) == port => b':',
        _ => b'-',
    });
    bytes.collect()
}

/// A number of HPACK that begins in the lowest `bits` of a byte.
fn number(bytes: &[u8], at: &mut usize, bits: u32) -> Option<usize> {
    let most = (1 << bits) - 1;
    let mut number = usize::from(*bytes.get(*at)?) & most;
    *at += 1;
    if number < most {
        return Some(number);
    }
    for shift in (0..28).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number += usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// A text of HPACK: whether it is Huffman's code, and its bytes.
fn text<'a>(bytes: &'a [u8], at: &mut usize) -> Option<(bool, &'a [u8])> {
    let huffman = *bytes.get(*at)? >= 0x80;
    let length = number(bytes, at, 7)?;
    let text = bytes.get(*at..at.checked_add(length)?)?;
    *at += length;
    Some((huffman, text))
}

fn decoded((huffman, bytes): (bool, &[u8])) -> Option<Vec<u8>> {
    if !huffman {
        return Some(bytes.to_vec());
    }
    let (mut out, mut code, mut length) = (Vec::new(), 0, 0);
    for at in 0..bytes.len() * 8 {
        code = code << 1 | u32::from(bytes[at / 8] >> (7 - at % 8) & 1);
        length += 1;
        let row = HUFFMAN.iter().find(|row| row.0 == length);
        let found = row.and_then(|(_, first, texts)| texts.get(code.checked_sub(*first)? as usize));
        if let Some(byte) = found {
            out.push(*byte);
            (code, length) = (0, 0);
        } else if length > 15 {
            return None;
        }
    }
    Some(out)
}

impl<S: AsyncRead + Unpin> AsyncRead for Mended<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.out.is_empty() {
            if matches!(this.phase, Phase::Through) && this.read.is_empty() {
                return Pin::new(&mut this.stream).poll_read(cx, buf);
            }
            let mut space = [0; READ];
            let mut some = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut some))?;
            if some.filled().is_empty() {
                // It ends, within a frame perhaps.
                this.phase = Phase::Through;
                if this.read.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            this.read.extend_from_slice(some.filled());
            this.pass();
        }
        let count = this.out.len().min(buf.remaining());
        buf.put_slice(&this.out[..count]);
        this.out.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mended<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    fn encoded(authority: &[u8]) -> Vec<u8> {
        let (mut bits, mut out) = (String::new(), Vec::new());
        for byte in authority {
            let found = HUFFMAN.iter().find_map(|(length, first, texts)| {
                let at = texts.iter().position(|known| known == byte)? as u32;
                Some(format!("{:0width$b}", first + at, width = *length as usize))
            });
            bits += &found.unwrap();
        }
        while bits.len() % 8 != 0 {
            bits.push('1');
        }
        for byte in bits.as_bytes().chunks(8) {
            out.push(u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap());
        }
        out
    }

    /// A request: `:method POST`, `:scheme http`, `:path /`, then the authority, as Go's library sends it.
    fn request(authority: &[u8], huffman: bool) -> Vec<u8> {
        let value = if huffman {
            encoded(authority)
        } else {
            authority.to_vec()
        };
        let mut block = vec![0x83, 0x86, 0x84, 0x41, value.len() as u8 | u8::from(huffman) << 7];
        block.extend(value);
        let mut frame = vec![0, 0, block.len() as u8, HEADERS, END_HEADERS, 0, 0, 0, 1];
        frame.extend(block);
        frame
    }

    async fn through(sent: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        // As small pieces as there can be.
        let (mut client, server) = tokio::io::duplex(1);
        let sending = async {
            tokio::io::AsyncWriteExt::write_all(&mut client, sent)
                .await
                .unwrap();
            drop(client);
        };
        let mut mended = Mended::new(server);
        let (_, read) = tokio::join!(sending, mended.read_to_end(&mut out));
        read.unwrap();
        out
    }

    #[tokio::test]
    async fn an_authority_that_is_a_url_becomes_one_of_the_same_length() {
        let data = [0, 0, 3, 0, 1, 0, 0, 0, 1, 7, 8, 9];
        for (sent, made) in [
            ("http://127.0.0.1:2379", "http---127.0.0.1:2379"),
            ("#initially=[127.0.0.1:2379]", "-initially--127.0.0.1-2379-"),
            ("unix:///run/etcd", "unix----run-etcd"),
        ] {
            for huffman in [true, false] {
                let bytes = [PREFACE, &request(sent.as_bytes(), huffman), &data].concat();
                let better = [PREFACE, &request(made.as_bytes(), false), &data].concat();
                assert_eq!(through(&bytes).await, better, "{sent}");
            }
        }
    }

    #[tokio::test]
    async fn all_else_passes_as_it_is() {
        let fine = [PREFACE, &request(b"127.0.0.1:2379", true), b"whatever follows"].concat();
        assert_eq!(through(&fine).await, fine);
        let plain = b"GET /health HTTP/1.1\r\n\r\n";
        assert_eq!(through(plain).await, plain);
        let cut = [PREFACE, &request(b"http://a:1", true)[..12]].concat();
        assert_eq!(through(&cut).await, cut);
    }
}
