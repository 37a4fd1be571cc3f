//! Answers of HTTP/1.1, read as they come.

use anyhow::{Context as _, Result, ensure};

/// A part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Bytes of the body.
    Body(&'a [u8]),
    /// It is whole; its status.
    End(u16),
}

/// What comes next on the connection.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Head,
    /// So many bytes of a body whose length was told.
    Body(usize),
    ChunkHead,
    /// So many bytes of a chunk.
    Chunk(usize),
    /// The end of a chunk's line.
    ChunkEnd,
    /// The end of the last chunk.
    LastEnd,
}

/// Reads the answers of a connection.
#[derive(Debug)]
pub struct Reader {
    next: Next,
    status: u16,
    /// The beginning of a line or head whose rest is still to come.
    kept: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            next: Next::Head,
            status: 0,
            kept: Vec::new(),
        }
    }
}

impl Reader {
    /// Reads `bytes`, which follow those read before.
    pub fn read(&mut self, mut bytes: &[u8], tell: &mut impl FnMut(Answer<'_>)) -> Result<()> {
        while !bytes.is_empty() {
            bytes = match self.next {
                Next::Head => self.head(bytes, tell)?,
                Next::Body(left) => {
                    let (body, rest) = bytes.split_at(left.min(bytes.len()));
                    tell(Answer::Body(body));
                    self.next = Next::Body(left - body.len());
                    self.end_if(left == body.len(), tell);
                    rest
                }
                Next::Chunk(left) => {
                    let (body, rest) = bytes.split_at(left.min(bytes.len()));
                    tell(Answer::Body(body));
                    self.next = if left == body.len() {
                        Next::ChunkEnd
                    } else {
                        Next::Chunk(left - body.len())
                    };
                    rest
                }
                Next::ChunkHead | Next::ChunkEnd | Next::LastEnd => self.line(bytes, tell)?,
            };
        }
        Ok(())
    }

    fn end_if(&mut self, ended: bool, tell: &mut impl FnMut(Answer<'_>)) {
        if ended {
            self.next = Next::Head;
            tell(Answer::End(self.status));
        }
    }

    /// Takes what belongs to the text that ends with `end`: the text when it is whole, and what follows.
    fn until<'a>(&mut self, end: &[u8], bytes: &'a [u8]) -> (Option<Vec<u8>>, &'a [u8]) {
        let before = self.kept.len();
        let from = before.saturating_sub(end.len() - 1);
        self.kept.extend_from_slice(bytes);
        let found = self.kept[from..].windows(end.len()).position(|w| w == end);
        match found {
            Some(at) => {
                let text = self.kept[..from + at].to_vec();
                let taken = from + at + end.len() - before;
                self.kept.clear();
                (Some(text), &bytes[taken..])
            }
            None => (None, &[]),
        }
    }

    fn head<'a>(&mut self, bytes: &'a [u8], tell: &mut impl FnMut(Answer<'_>)) -> Result<&'a [u8]> {
        let (Some(head), rest) = self.until(b"\r\n\r\n", bytes) else {
            return Ok(&[]);
        };
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head.get(9..12).context("an answer without a status")?;
        self.status = status.parse().context("read a status")?;
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        if header("transfer-encoding:").is_some() {
            self.next = Next::ChunkHead;
        } else {
            let length = header("content-length:").map_or("0", str::trim);
            let length = length.parse().context("read a length")?;
            self.next = Next::Body(length);
            self.end_if(length == 0, tell);
        }
        Ok(rest)
    }

    fn line<'a>(&mut self, bytes: &'a [u8], tell: &mut impl FnMut(Answer<'_>)) -> Result<&'a [u8]> {
        let (Some(line), rest) = self.until(b"\r\n", bytes) else {
            return Ok(&[]);
        };
        if self.next == Next::ChunkHead {
            let size = usize::from_str_radix(std::str::from_utf8(&line)?.trim(), 16);
            let size = size.context("read the size of a chunk")?;
            self.next = if size == 0 {
                Next::LastEnd
            } else {
                Next::Chunk(size)
            };
            return Ok(rest);
        }
        ensure!(line.is_empty(), "a chunk that is longer than it says");
        let last = self.next == Next::LastEnd;
        self.next = Next::ChunkHead;
        self.end_if(last, tell);
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text` in pieces of `size` bytes: the bodies, with the status after each.
    fn told(text: &str, size: usize) -> String {
        let (mut reader, mut out) = (Reader::default(), String::new());
        for piece in text.as_bytes().chunks(size) {
            let mut tell = |answer: Answer<'_>| match answer {
                Answer::Body(body) => out.push_str(std::str::from_utf8(body).unwrap()),
                Answer::End(status) => out.push_str(&format!("[{status}]")),
            };
            reader.read(piece, &mut tell).unwrap();
        }
        out
    }

    #[test]
    fn answers_are_read_in_any_pieces() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 204 No Content\r\n\r\n\
            HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(told(text, size), "hello[200][204]abc0123456789[201]");
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let mut tell = |_: Answer<'_>| {};
        let mut reader = Reader::default();
        assert!(reader.read(b"hello\r\n\r\n", &mut tell).is_err());
        let mut reader = Reader::default();
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";
        assert!(reader.read(chunked, &mut tell).is_err());
    }
}
