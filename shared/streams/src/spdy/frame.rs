//! SPDY/3.1 frames and their codec.

use super::headers::{Headers, Packer, Unpacker};
use crate::Error;
use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u16 = 3;
const FIN: u8 = 1;
/// Most bytes of a control frame; the draft asks for 8192 at least.
const CONTROL_LIMIT: usize = 64 << 10;

/// A stream's number.
pub type Id = u32;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Which.
        id: Id,
        /// What it is for.
        headers: Headers,
        /// Its opener sends nothing on it.
        fin: bool,
    },
    /// Takes a stream.
    SynReply {
        /// Which.
        id: Id,
        /// More of it.
        headers: Headers,
        /// Nothing will be sent on it.
        fin: bool,
    },
    /// Ends a stream at once.
    Rst {
        /// Which.
        id: Id,
        /// Why.
        status: u32,
    },
    /// Settings: number and value.
    Settings(Vec<(u32, u32)>),
    /// To be sent back as it is.
    Ping(u32),
    /// No more streams are taken.
    GoAway {
        /// The last that was taken.
        last: Id,
        /// Why.
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        /// Which.
        id: Id,
        /// Headers.
        headers: Headers,
        /// Nothing more will be sent on it.
        fin: bool,
    },
    /// So much more may be sent on a stream; 0 is the connection.
    WindowUpdate {
        /// Which.
        id: Id,
        /// How much.
        delta: u32,
    },
    /// Bytes of a stream. One that comes in pieces is several frames here.
    Data {
        /// Which.
        id: Id,
        /// Bytes.
        data: Bytes,
        /// Nothing more will be sent on it.
        fin: bool,
    },
    /// A control frame of a kind that the draft does not have; to be ignored.
    Unknown(u16),
}

/// Writes frames of one end.
pub struct Encoder(Packer);

impl Default for Encoder {
    fn default() -> Self {
        Self(Packer::new())
    }
}

impl Encoder {
    /// Appends a frame to `out`.
    pub fn encode(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Error> {
        let mut body = Vec::new();
        let (kind, flags) = match frame {
            Frame::Data { id, data, fin } => {
                out.put_u32(id & 0x7fff_ffff);
                out.put_u32(u32::from(u8::from(*fin)) << 24 | length(data.len())?);
                out.put_slice(data);
                return Ok(());
            }
            Frame::SynStream { id, headers, fin } => {
                body.put_u32(*id);
                // No associated stream, no priority.
                body.put_slice(&[0; 6]);
                self.0.pack(headers, &mut body)?;
                (1, u8::from(*fin))
            }
            Frame::SynReply { id, headers, fin } => {
                body.put_u32(*id);
                self.0.pack(headers, &mut body)?;
                (2, u8::from(*fin))
            }
            Frame::Rst { id, status } => {
                body.put_u32(*id);
                body.put_u32(*status);
                (3, 0)
            }
            Frame::Settings(values) => {
                body.put_u32(length(values.len())?);
                for (number, value) in values {
                    body.put_u32(*number & 0x00ff_ffff);
                    body.put_u32(*value);
                }
                (4, 0)
            }
            Frame::Ping(id) => {
                body.put_u32(*id);
                (6, 0)
            }
            Frame::GoAway { last, status } => {
                body.put_u32(*last);
                body.put_u32(*status);
                (7, 0)
            }
            Frame::Headers { id, headers, fin } => {
                body.put_u32(*id);
                self.0.pack(headers, &mut body)?;
                (8, u8::from(*fin))
            }
            Frame::WindowUpdate { id, delta } => {
                body.put_u32(*id);
                body.put_u32(*delta);
                (9, 0)
            }
            Frame::Unknown(kind) => (*kind, 0),
        };
        out.put_u16(0x8000 | VERSION);
        out.put_u16(kind);
        out.put_u32(u32::from(flags) << 24 | length(body.len())?);
        out.put_slice(&body);
        Ok(())
    }
}

fn length(length: usize) -> Result<u32, Error> {
    let length = u32::try_from(length).ok().filter(|length| *length < 1 << 24);
    length.ok_or_else(|| broken("a frame is too long"))
}

fn broken(why: impl std::fmt::Display) -> Error {
    Error::Protocol(format!("SPDY: {why}"))
}

/// Reads frames of one end.
pub struct Decoder {
    unpacker: Unpacker,
    /// Of a data frame that has not come whole: its stream, the bytes that are missing, whether it is the last.
    rest: Option<(Id, usize, bool)>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            unpacker: Unpacker::new(),
            rest: None,
        }
    }
}

impl Decoder {
    /// Takes a frame from `input`; none when more must be read first.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, Error> {
        if let Some(rest) = self.rest.take() {
            return Ok(self.data(rest, input));
        }
        if input.len() < 8 {
            return Ok(None);
        }
        let first = u32::from_be_bytes([input[0], input[1], input[2], input[3]]);
        let length = usize::from(input[5]) << 16 | usize::from(input[6]) << 8 | usize::from(input[7]);
        let fin = input[4] & FIN != 0;
        if first & 0x8000_0000 == 0 {
            if first == 0 {
                return Err(broken("data of stream 0"));
            }
            input.advance(8);
            return Ok(self.data((first, length, fin), input));
        }
        if length > CONTROL_LIMIT {
            return Err(broken("a control frame is too long"));
        }
        if input.len() < 8 + length {
            return Ok(None);
        }
        input.advance(8);
        let body = input.split_to(length).freeze();
        if (first >> 16) as u16 & 0x7fff != VERSION {
            return Err(broken("another version than 3 is spoken"));
        }
        self.control(first as u16, fin, body).map(Some)
    }

    fn data(&mut self, (id, missing, fin): (Id, usize, bool), input: &mut BytesMut) -> Option<Frame> {
        if input.is_empty() && missing > 0 {
            self.rest = Some((id, missing, fin));
            return None;
        }
        let data = input.split_to(missing.min(input.len())).freeze();
        let missing = missing - data.len();
        if missing > 0 {
            self.rest = Some((id, missing, fin));
        }
        let fin = fin && missing == 0;
        Some(Frame::Data { id, data, fin })
    }

    fn control(&mut self, kind: u16, fin: bool, mut body: Bytes) -> Result<Frame, Error> {
        let mut number = || body.try_get_u32().map_err(broken);
        let frame = match kind {
            1 => {
                let id = stream(number()?)?;
                number()?;
                body.try_get_u16().map_err(broken)?;
                let headers = self.unpacker.unpack(&body)?;
                return Ok(Frame::SynStream { id, headers, fin });
            }
            2 | 8 => {
                let id = stream(number()?)?;
                let headers = self.unpacker.unpack(&body)?;
                return Ok(match kind {
                    2 => Frame::SynReply { id, headers, fin },
                    _ => Frame::Headers { id, headers, fin },
                });
            }
            3 => Frame::Rst {
                id: stream(number()?)?,
                status: number()?,
            },
            4 => {
                let count = number()?;
                let values: Result<Vec<_>, Error> = (0..count)
                    .map(|_| Ok((number()? & 0x00ff_ffff, number()?)))
                    .collect();
                Frame::Settings(values?)
            }
            6 => Frame::Ping(number()?),
            7 => Frame::GoAway {
                last: number()? & 0x7fff_ffff,
                status: number()?,
            },
            9 => Frame::WindowUpdate {
                id: number()? & 0x7fff_ffff,
                delta: number()? & 0x7fff_ffff,
            },
            other => return Ok(Frame::Unknown(other)),
        };
        if body.is_empty() {
            Ok(frame)
        } else {
            Err(broken("a frame is longer than what is in it"))
        }
    }
}

fn stream(id: u32) -> Result<Id, Error> {
    match id & 0x7fff_ffff {
        0 => Err(broken("stream 0 cannot be opened")),
        id => Ok(id),
    }
}
