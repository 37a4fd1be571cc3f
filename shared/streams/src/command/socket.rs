//! Exec and attach over the channels of a WebSocket.

use super::{Ends, Running, Wanted, ends};
use crate::{
    Error, GOODBYE, Outcome,
    channel::{self, Frame, Protocol},
};
use bytes::Bytes;
use component::Clock;
use futures::{SinkExt, StreamExt};
use std::pin::pin;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_tungstenite::tungstenite::{
    Message, Utf8Bytes,
    protocol::{CloseFrame, Role, frame::coding::CloseCode},
};

pub(super) async fn serve<S, F>(
    io: S,
    protocol: Protocol,
    wanted: Wanted,
    clock: &Clock,
    run: impl FnOnce(Ends) -> F,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Outcome>,
{
    let (mut sink, mut source) = crate::socket(io, Role::Server).await.split();
    let (ends, opposite) = ends(wanted);
    let input = async {
        let (stdin, resize) = (opposite.stdin, opposite.resize);
        let mut input = Input { stdin, resize };
        while let Some(message) = source.next().await {
            match message? {
                Message::Close(_) => return Ok(()),
                message @ (Message::Binary(_) | Message::Text(_)) => {
                    match Frame::decode(protocol, message.into_data()) {
                        Ok(frame) => input.take(frame).await?,
                        // Upstream passes over what is on no channel, too.
                        Err(Error::Empty | Error::Channel(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                _ => {}
            }
        }
        Ok::<(), Error>(())
    };
    let talk = async {
        // That the connection stands is told by an empty message.
        let first = match wanted {
            Wanted { stdout: true, .. } => channel::STDOUT,
            Wanted { stderr: true, .. } => channel::STDERR,
            _ => channel::ERROR,
        };
        sink.send(message(protocol, first, b"")).await?;
        let run = pin!(run(ends));
        let mut running = Running::new(run, opposite.stdout, opposite.stderr, wanted);
        while let Some((channel, data)) = running.next().await {
            sink.send(message(protocol, channel, &data)).await?;
        }
        let told = running.outcome().told(protocol.has_status());
        if !told.is_empty() {
            sink.send(message(protocol, channel::ERROR, told.as_bytes()))
                .await?;
        }
        Ok::<(), Error>(())
    };
    let sent = tokio::select! {
        biased;
        sent = talk => sent,
        left = input => return left,
    };
    goodbye(&mut sink).await;
    // What it still sends is read, lest the connection is reset before it has read all.
    let rest = async { while let Some(Ok(_)) = source.next().await {} };
    clock.timeout(GOODBYE, rest).await;
    sent
}

pub(crate) fn message(protocol: Protocol, channel: u8, data: &[u8]) -> Message {
    let bytes = protocol.message(channel, data);
    if protocol.is_text() {
        Message::Text(Utf8Bytes::try_from(bytes).unwrap_or_default())
    } else {
        Message::Binary(bytes)
    }
}

/// Closes properly: kubectl takes a close without a code for a broken stream. A connection that is broken already cannot
/// be closed so; nothing depends on it.
pub(crate) async fn goodbye<S>(sink: &mut S)
where
    S: futures::Sink<Message> + Unpin,
{
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    let _ = sink.send(Message::Close(Some(frame))).await;
    let _ = sink.close().await;
}

struct Input {
    stdin: Option<mpsc::Sender<Bytes>>,
    resize: Option<mpsc::Sender<(u16, u16)>>,
}

impl Input {
    async fn take(&mut self, frame: Frame) -> Result<(), Error> {
        match frame {
            Frame::Data(channel::STDIN, data) if !data.is_empty() => {
                if let Some(stdin) = &self.stdin
                    && stdin.send(data).await.is_err()
                {
                    self.stdin = None;
                }
            }
            Frame::Data(channel::RESIZE, data) => {
                let size = channel::decode_size(&data)?;
                if let Some(resize) = &self.resize {
                    // A full queue belongs to a process that does not read sizes.
                    let _ = resize.try_send(size);
                }
            }
            Frame::Close(channel::STDIN) => self.stdin = None,
            Frame::Data(..) | Frame::Close(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Remote, Wire};

    const ALL: Wanted = Wanted {
        stdin: true,
        stdout: true,
        stderr: true,
        tty: true,
    };

    async fn cat(protocol: Protocol) {
        let (near, far) = tokio::io::duplex(1024);
        let clock = Clock::system();
        let server = crate::serve(far, Wire::Socket(protocol), ALL, &clock, |mut ends| async move {
            let size = ends.resize.take().unwrap().recv().await;
            assert_eq!(size, Some((80, 24)));
            let mut stdin = ends.stdin.take().unwrap();
            while let Some(data) = stdin.recv().await {
                let last = data == "hello";
                ends.stdout.send(data).await.unwrap();
                if last && protocol != Protocol::V5 {
                    break;
                }
            }
            ends.stderr.send("bye".into()).await.unwrap();
            Outcome::Exited(3)
        });
        let client = async {
            let mut remote = Remote::over(near, protocol).await;
            let size = Frame::Data(channel::RESIZE, channel::encode_size(80, 24));
            remote.send(&size).await.unwrap();
            let hello = Frame::Data(channel::STDIN, "hello".into());
            remote.send(&hello).await.unwrap();
            if protocol == Protocol::V5 {
                remote.send(&Frame::Close(channel::STDIN)).await.unwrap();
            }
            remote.collect().await.unwrap()
        };
        let (served, (stdout, stderr, outcome)) = tokio::join!(server, client);
        served.unwrap();
        let failed = "command terminated with non-zero exit code: exit status 3".to_owned();
        let expected = match protocol.has_status() {
            true => Outcome::Exited(3),
            false => Outcome::Failed(failed),
        };
        assert_eq!(
            (stdout.as_slice(), stderr.as_slice(), outcome),
            (&b"hello"[..], &b"bye"[..], expected),
            "{protocol:?}"
        );
    }

    #[tokio::test]
    async fn cat_echoes_until_stdin_closes_then_exits() {
        for protocol in Protocol::ALL {
            cat(protocol).await;
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_the_session() {
        let (near, far) = tokio::io::duplex(1024);
        let clock = Clock::system();
        let wire = Wire::Socket(Protocol::V4);
        let server = crate::serve(far, wire, ALL, &clock, |_ends| std::future::pending());
        let client = async {
            drop(Remote::over(near, Protocol::V4).await);
        };
        let (_ended, ()) = tokio::join!(server, client);
    }
}
