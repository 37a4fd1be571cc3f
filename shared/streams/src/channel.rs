//! The channel protocol: each message is one byte of channel number, then data.
//! Upstream: `apimachinery/pkg/util/remotecommand`; v5 (KEP-4006) adds the CLOSE channel.

use crate::Error;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::{BufMut, Bytes, BytesMut};

/// Input of the process.
pub const STDIN: u8 = 0;
/// Output of the process.
pub const STDOUT: u8 = 1;
/// Errors of the process.
pub const STDERR: u8 = 2;
/// How it ended: one JSON `Status`.
pub const ERROR: u8 = 3;
/// Terminal sizes, as JSON.
pub const RESIZE: u8 = 4;
/// v5 only: the data byte names a channel that its sender closes.
pub const CLOSE: u8 = 255;

/// The versions of the protocol that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `v5.channel.k8s.io`: v4 with the CLOSE channel.
    V5,
    /// `v4.channel.k8s.io`: the ERROR channel tells a `Status`.
    V4,
    /// `v4.base64.channel.k8s.io`: as v4, in text.
    V4Base64,
    /// `channel.k8s.io`: the ERROR channel tells a failure in words. Also spoken with those who name no protocol.
    V1,
    /// `base64.channel.k8s.io`: the same in text.
    V1Base64,
}

impl Protocol {
    /// All.
    pub const ALL: [Self; 5] = [Self::V5, Self::V4, Self::V4Base64, Self::V1, Self::V1Base64];

    /// The name in `Sec-WebSocket-Protocol`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5 => "v5.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
            Self::V4Base64 => "v4.base64.channel.k8s.io",
            Self::V1 => "channel.k8s.io",
            Self::V1Base64 => "base64.channel.k8s.io",
        }
    }

    /// Messages are text: a digit for the channel, then base64.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::V4Base64 | Self::V1Base64)
    }

    /// The ERROR channel tells a `Status`, also of success.
    pub const fn has_status(self) -> bool {
        matches!(self, Self::V5 | Self::V4 | Self::V4Base64)
    }

    /// `data` on `channel`, as this protocol writes it.
    pub fn message(self, channel: u8, data: &[u8]) -> Bytes {
        if self.is_text() {
            let digit = char::from(b'0'.wrapping_add(channel));
            return format!("{digit}{}", BASE64.encode(data)).into();
        }
        let mut out = BytesMut::with_capacity(data.len() + 1);
        out.put_u8(channel);
        out.put_slice(data);
        out.freeze()
    }
}

/// A decoded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of a channel.
    Data(u8, Bytes),
    /// The sender closed a channel.
    Close(u8),
}

impl Frame {
    /// Reads a message.
    pub fn decode(protocol: Protocol, message: Bytes) -> Result<Self, Error> {
        let (channel, message) = Self::split(protocol, message)?;
        match (protocol, channel) {
            (_, STDIN..=RESIZE) => Ok(Self::Data(channel, message)),
            (Protocol::V5, CLOSE) => match message.as_ref() {
                [closed] => Ok(Self::Close(*closed)),
                _ => Err(Error::Protocol(
                    "a CLOSE message names exactly one channel".to_owned(),
                )),
            },
            _ => Err(Error::Channel(channel)),
        }
    }

    /// Reads the channel of a message, whichever channels there are, and the data.
    pub fn split(protocol: Protocol, mut message: Bytes) -> Result<(u8, Bytes), Error> {
        if message.is_empty() {
            return Err(Error::Empty);
        }
        let channel = message.split_to(1)[0];
        if !protocol.is_text() {
            return Ok((channel, message));
        }
        let data = BASE64.decode(&message);
        let data = data.map_err(|e| Error::Protocol(e.to_string()))?;
        Ok((channel.wrapping_sub(b'0'), data.into()))
    }

    /// Writes a message.
    pub fn encode(&self, protocol: Protocol) -> Bytes {
        match self {
            Self::Data(channel, data) => protocol.message(*channel, data),
            Self::Close(channel) => protocol.message(CLOSE, &[*channel]),
        }
    }
}

/// Reads a RESIZE message: width and height.
pub fn decode_size(data: &[u8]) -> Result<(u16, u16), Error> {
    let size: Size = serde_json::from_slice(data).map_err(|e| Error::Protocol(e.to_string()))?;
    Ok((size.width, size.height))
}

/// Reads terminal sizes that follow each other in a stream.
#[derive(Debug, Default)]
pub struct SizeReader(Vec<u8>);

impl SizeReader {
    /// The sizes that are whole now. What is no size is passed over.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<(u16, u16)> {
        self.0.extend_from_slice(bytes);
        let mut rest = self.0.as_slice();
        let mut sizes = Vec::new();
        while let Some(end) = rest.iter().position(|byte| *byte == b'}') {
            let (text, after) = rest.split_at(end + 1);
            sizes.extend(decode_size(text));
            rest = after;
        }
        // No size is so long.
        self.0 = rest[..rest.len().min(256)].to_vec();
        sizes
    }
}

/// Writes the data of a RESIZE message.
pub fn encode_size(width: u16, height: u16) -> Bytes {
    format!(r#"{{"Width":{width},"Height":{height}}}"#).into()
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Size {
    width: u16,
    height: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_wire() {
        for frame in [
            Frame::Data(STDOUT, "hello".into()),
            Frame::Data(STDIN, Bytes::new()),
            Frame::Close(STDIN),
        ] {
            assert_eq!(
                Frame::decode(Protocol::V5, frame.encode(Protocol::V5)).unwrap(),
                frame
            );
        }
        assert_eq!(Frame::Close(STDIN).encode(Protocol::V5).as_ref(), [255, 0]);
    }

    #[test]
    fn bad_messages_are_refused() {
        assert!(matches!(
            Frame::decode(Protocol::V5, Bytes::new()),
            Err(Error::Empty)
        ));
        assert!(matches!(
            Frame::decode(Protocol::V4, Frame::Close(0).encode(Protocol::V5)),
            Err(Error::Channel(255))
        ));
        assert!(matches!(
            Frame::decode(Protocol::V5, Bytes::from_static(&[9, 1])),
            Err(Error::Channel(9))
        ));
        assert!(matches!(
            Frame::decode(Protocol::V5, Bytes::from_static(&[255])),
            Err(Error::Protocol(_))
        ));
        assert!(decode_size(b"{").is_err());
    }

    #[test]
    fn text_is_base64() {
        let message = Protocol::V4Base64.message(STDIN, b"foo\n");
        assert_eq!(message, "0Zm9vCg==");
        let frame = Frame::decode(Protocol::V1Base64, message).unwrap();
        assert_eq!(frame, Frame::Data(STDIN, "foo\n".into()));
        assert!(Frame::decode(Protocol::V1Base64, "0?".into()).is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(decode_size(&encode_size(80, 24)).unwrap(), (80, 24));
        let mut reader = SizeReader::default();
        assert_eq!(reader.read(b"{\"Width\":80,\"Hei"), []);
        let rest = b"ght\":24}\n{\"Width\":1,\"Height\":2}\n{x}{";
        assert_eq!(reader.read(rest), [(80, 24), (1, 2)]);
    }

    #[test]
    fn a_flood_of_sizes_is_read_in_one_pass() {
        let mut reader = SizeReader::default();
        assert_eq!(reader.read(&vec![b'}'; 4 << 20]), []);
        assert_eq!(reader.read(&vec![b'{'; 4 << 20]), []);
        assert_eq!(reader.0.len(), 256);
    }
}
