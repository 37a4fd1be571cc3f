//! Blocks of headers as they are sent. The two fields that nearly every answer of gRPC has are put into the table of the
//! connection; all others go as they are.

use super::table::{KNOWN, USUAL};
use http::{HeaderMap, StatusCode};

/// The value of `content-type` that all answers of gRPC have.
pub const GRPC: &[u8] = b"application/grpc";
/// Codes that the tables know from the beginning, from number 8 on.
const CODES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
/// Numbers of names in the tables.
const STATUS: u8 = 8;
const CONTENT_TYPE: u8 = 31;

/// A field that goes into the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// `content-type: application/grpc`
    Kind,
    /// `grpc-status: 0`
    Well,
}

/// Writes the blocks of a connection, in their order.
#[derive(Default)]
pub struct Encoder {
    /// What is in the table, the oldest first.
    kept: Vec<Kept>,
    /// The client wants a smaller table: none is used.
    plain: bool,
    /// It is yet to be told.
    untold: bool,
}

impl Encoder {
    /// The client keeps a table of at most so many bytes.
    pub fn limit(&mut self, most: usize) {
        if most < USUAL && !self.plain {
            self.plain = true;
            self.untold = true;
            self.kept.clear();
        }
    }

    /// The head of an answer of gRPC.
    pub fn grpc(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        out.push(0x80 | STATUS);
        self.known(Kept::Kind, out);
    }

    /// The end of an answer of gRPC that is well.
    pub fn well(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        self.known(Kept::Well, out);
    }

    /// The head of an answer.
    pub fn head(&mut self, status: StatusCode, headers: &HeaderMap, out: &mut Vec<u8>) {
        self.begin(out);
        match CODES.iter().position(|code| *code == status.as_u16()) {
            Some(place) => out.push(0x80 | (STATUS + place as u8)),
            None => {
                out.push(STATUS);
                text(status.as_str().as_bytes(), out);
            }
        }
        self.fields(headers, out);
    }

    /// The end of an answer.
    pub fn trailers(&mut self, trailers: &HeaderMap, out: &mut Vec<u8>) {
        self.begin(out);
        self.fields(trailers, out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.untold) {
            out.push(0x20);
        }
    }

    fn fields(&mut self, headers: &HeaderMap, out: &mut Vec<u8>) {
        for (name, value) in headers {
            match (name.as_str(), value.as_bytes()) {
                ("content-type", GRPC) => self.known(Kept::Kind, out),
                ("grpc-status", b"0") => self.known(Kept::Well, out),
                (name, bytes) => {
                    // What is secret stays out of every table on its way.
                    out.push(if value.is_sensitive() { 0x10 } else { 0 });
                    text(name.as_bytes(), out);
                    text(bytes, out);
                }
            }
        }
    }

    fn known(&mut self, field: Kept, out: &mut Vec<u8>) {
        if let Some(place) = self.kept.iter().position(|kept| *kept == field) {
            out.push(0x80 | (KNOWN + self.kept.len() - place) as u8);
            return;
        }
        let how = if self.plain { 0 } else { 0x40 };
        match (field, self.plain) {
            (Kept::Kind, false) => out.push(how | CONTENT_TYPE),
            (Kept::Kind, true) => {
                out.push(how);
                text(b"content-type", out);
            }
            (Kept::Well, _) => {
                out.push(how);
                text(b"grpc-status", out);
            }
        }
        text(if field == Kept::Kind { GRPC } else { b"0" }, out);
        if !self.plain {
            self.kept.push(field);
        }
    }
}

/// A text as it is, with its length.
fn text(text: &[u8], out: &mut Vec<u8>) {
    number(text.len(), 7, out);
    out.extend_from_slice(text);
}

/// A number in the lowest `bits` of a byte, and in more.
fn number(number: usize, bits: u32, out: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if number < most {
        out.push(number as u8);
        return;
    }
    out.push(most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::Decoder;
    use http::HeaderValue;

    fn told(decoder: &mut Decoder, write: impl FnOnce(&mut Vec<u8>)) -> (usize, String) {
        let (mut block, mut out) = (Vec::new(), String::new());
        write(&mut block);
        let tell = |name: &[u8], value: &[u8]| {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            out += &format!("{name}={value};");
        };
        decoder.decode(&block, tell).unwrap();
        (block.len(), out)
    }

    #[test]
    fn what_every_answer_has_becomes_a_byte_unless_the_client_keeps_no_table() {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let (kind, well) = (":status=200;content-type=application/grpc;", "grpc-status=0;");
        assert_eq!(told(&mut decoder, |out| encoder.well(out)).1, well);
        assert_eq!(told(&mut decoder, |out| encoder.grpc(out)).1, kind);
        for _ in 0..2 {
            assert_eq!(told(&mut decoder, |out| encoder.grpc(out)), (2, kind.to_owned()));
            assert_eq!(told(&mut decoder, |out| encoder.well(out)), (1, well.to_owned()));
        }
        encoder.limit(100);
        for _ in 0..2 {
            assert_eq!(told(&mut decoder, |out| encoder.grpc(out)).1, kind);
            assert_eq!(told(&mut decoder, |out| encoder.well(out)).1, well);
        }
    }

    #[test]
    fn all_else_goes_as_it_is() {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        let mut headers = HeaderMap::new();
        let long = "x".repeat(20_000);
        headers.insert("grpc-message", HeaderValue::from_str(&long).unwrap());
        let (_, said) = told(&mut decoder, |out| {
            encoder.head(StatusCode::IM_A_TEAPOT, &headers, out)
        });
        assert_eq!(said, format!(":status=418;grpc-message={long};"));
        let (_, said) = told(&mut decoder, |out| {
            encoder.head(StatusCode::NOT_FOUND, &HeaderMap::new(), out);
        });
        assert_eq!(said, ":status=404;");
    }
}
