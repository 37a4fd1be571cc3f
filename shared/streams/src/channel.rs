//! The channel protocol: each message is one byte of channel number, then data.
//! Upstream: `apimachinery/pkg/util/remotecommand`; v5 (KEP-4006) adds the CLOSE channel.

use crate::Error;
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

/// The versions of the protocol that are spoken, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `v5.channel.k8s.io`.
    V5,
    /// `v4.channel.k8s.io`.
    V4,
}

impl Protocol {
    /// All, best first.
    pub const ALL: [Self; 2] = [Self::V5, Self::V4];

    /// The name in `Sec-WebSocket-Protocol`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5 => "v5.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
        }
    }

    /// The best of those that a client offers (a comma-separated list).
    pub fn negotiate(offered: &str) -> Option<Self> {
        let offers: Vec<&str> = offered.split(',').map(str::trim).collect();
        Self::ALL.into_iter().find(|p| offers.contains(&p.name()))
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
    pub fn decode(protocol: Protocol, mut message: Bytes) -> Result<Self, Error> {
        if message.is_empty() {
            return Err(Error::Empty);
        }
        let channel = message.split_to(1)[0];
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

    /// Writes a message.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Data(channel, data) => message(*channel, data),
            Self::Close(channel) => message(CLOSE, &[*channel]),
        }
    }
}

/// `data` on `channel`.
pub fn message(channel: u8, data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 1);
    out.put_u8(channel);
    out.put_slice(data);
    out.freeze()
}

/// Reads a RESIZE message: width and height.
pub fn decode_size(data: &[u8]) -> Result<(u16, u16), Error> {
    let size: Size = serde_json::from_slice(data).map_err(|e| Error::Protocol(e.to_string()))?;
    Ok((size.width, size.height))
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
            assert_eq!(Frame::decode(Protocol::V5, frame.encode()).unwrap(), frame);
        }
        assert_eq!(Frame::Close(STDIN).encode().as_ref(), [255, 0]);
    }

    #[test]
    fn bad_messages_are_refused() {
        assert!(matches!(
            Frame::decode(Protocol::V5, Bytes::new()),
            Err(Error::Empty)
        ));
        assert!(matches!(
            Frame::decode(Protocol::V4, Frame::Close(0).encode()),
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
    fn the_newest_offer_wins() {
        assert_eq!(
            Protocol::negotiate("v4.channel.k8s.io, v5.channel.k8s.io"),
            Some(Protocol::V5)
        );
        assert_eq!(Protocol::negotiate("v4.channel.k8s.io"), Some(Protocol::V4));
        assert_eq!(Protocol::negotiate("SPDY/3.1+portforward.k8s.io"), None);
    }

    #[test]
    fn sizes() {
        assert_eq!(decode_size(&encode_size(80, 24)).unwrap(), (80, 24));
    }
}
