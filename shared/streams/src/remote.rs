//! The end of exec and attach that asked for the command.

use crate::{
    Error, Outcome,
    channel::{self, Frame, Protocol},
    command::message,
};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

/// A session over an upgraded connection.
#[derive(Debug)]
pub struct Remote<S> {
    socket: WebSocketStream<S>,
    protocol: Protocol,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Remote<S> {
    /// Over `io`, on which the server agreed to `protocol`.
    pub async fn over(io: S, protocol: Protocol) -> Self {
        Self {
            socket: crate::socket(io, Role::Client).await,
            protocol,
        }
    }

    /// Sends a message.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), Error> {
        let message = match frame {
            Frame::Data(channel, data) => message(self.protocol, *channel, data),
            Frame::Close(channel) => message(self.protocol, channel::CLOSE, &[*channel]),
        };
        Ok(self.socket.send(message).await?)
    }

    /// The next message; `None` when the server closed.
    pub async fn receive(&mut self) -> Result<Option<Frame>, Error> {
        while let Some(message) = self.socket.next().await {
            match message? {
                Message::Close(_) => return Ok(None),
                message @ (Message::Binary(_) | Message::Text(_)) => {
                    return Frame::decode(self.protocol, message.into_data()).map(Some);
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// All output, all errors, and the outcome.
    pub async fn collect(&mut self) -> Result<(Vec<u8>, Vec<u8>, Outcome), Error> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(frame) = self.receive().await? {
            match frame {
                Frame::Data(channel::STDOUT, data) => stdout.extend_from_slice(&data),
                Frame::Data(channel::STDERR, data) => stderr.extend_from_slice(&data),
                Frame::Data(channel::ERROR, data) if self.protocol.has_status() => {
                    return Ok((stdout, stderr, Outcome::parse(&data)?));
                }
                Frame::Data(channel::ERROR, data) => {
                    let why = String::from_utf8_lossy(&data).into_owned();
                    return Ok((stdout, stderr, Outcome::Failed(why)));
                }
                _ => {}
            }
        }
        if !self.protocol.has_status() {
            return Ok((stdout, stderr, Outcome::Exited(0)));
        }
        Err(Error::Protocol("the server left without a status".to_owned()))
    }
}
