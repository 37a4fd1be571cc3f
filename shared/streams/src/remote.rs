//! The end of exec and attach that asked for the command.

use crate::{
    Error, Outcome,
    channel::{self, Frame, Protocol},
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
            socket: WebSocketStream::from_raw_socket(io, Role::Client, None).await,
            protocol,
        }
    }

    /// Sends a message.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), Error> {
        Ok(self.socket.send(Message::Binary(frame.encode())).await?)
    }

    /// The next message; `None` when the server closed.
    pub async fn receive(&mut self) -> Result<Option<Frame>, Error> {
        while let Some(message) = self.socket.next().await {
            match message? {
                Message::Binary(data) => return Frame::decode(self.protocol, data).map(Some),
                Message::Close(_) => return Ok(None),
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
                Frame::Data(channel::ERROR, data) => return Ok((stdout, stderr, Outcome::parse(&data)?)),
                _ => {}
            }
        }
        Err(Error::Protocol("the server left without a status".to_owned()))
    }
}
