//! Frames: their heads, and how they are written.

use crate::reason::Reason;

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame before its content.
pub const HEAD: usize = 9;
/// The largest content of a frame unless the other side takes more.
pub const LARGEST: usize = 16_384;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 32;

pub const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;
pub const MAX_HEADER_LIST_SIZE: u16 = 6;

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    /// The one at the beginning of these bytes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, s, t, u, v] = *bytes.first_chunk::<HEAD>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s & 0x7f, t, u, v]),
        })
    }

    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Writes the head of a frame.
pub fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [s, t, u, v] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, s, t, u, v]);
}

/// Writes a frame.
pub fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, content: &[u8]) {
    head(out, content.len(), kind, flags, stream);
    out.extend_from_slice(content);
}

/// Writes a block of headers, in as many frames as it needs; `block` writes it.
pub fn headers(out: &mut Vec<u8>, stream: u32, last: bool, largest: usize, block: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let ends = if last { END_STREAM } else { 0 };
    head(out, 0, HEADERS, END_HEADERS | ends, stream);
    block(out);
    let length = out.len() - start - HEAD;
    if length <= largest {
        out[start..start + 3].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
        return;
    }
    let block = out.split_off(start + HEAD);
    out.truncate(start);
    let (mut kind, mut flags, mut rest) = (HEADERS, ends, &block[..]);
    while !rest.is_empty() {
        let (some, after) = rest.split_at(rest.len().min(largest));
        let end = if after.is_empty() { END_HEADERS } else { 0 };
        frame(out, kind, flags | end, stream, some);
        (kind, flags, rest) = (CONTINUATION, 0, after);
    }
}

/// Writes the end of a stream before its time.
pub fn reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    frame(out, RST_STREAM, 0, stream, &(reason as u32).to_be_bytes());
}

/// Writes that so many bytes more may come.
pub fn window(out: &mut Vec<u8>, stream: u32, more: usize) {
    frame(out, WINDOW_UPDATE, 0, stream, &(more as u32).to_be_bytes());
}

/// Writes that no more streams are taken.
pub fn go_away(out: &mut Vec<u8>, last: u32, reason: Reason, why: &str) {
    head(out, 8 + why.len(), GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&(reason as u32).to_be_bytes());
    out.extend_from_slice(why.as_bytes());
}
