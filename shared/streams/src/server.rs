//! The end of exec and attach where the process is.

use crate::{
    Error, Outcome,
    channel::{self, Frame, Protocol},
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt, stream::SplitSink};
use std::future::Future;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

/// Which streams the other end asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// It sends input.
    pub stdin: bool,
    /// It reads output.
    pub stdout: bool,
    /// It reads errors.
    pub stderr: bool,
    /// The process has a terminal, whose size the other end tells.
    pub tty: bool,
}

/// The streams as the process's side holds them.
#[derive(Debug)]
pub struct Ends {
    /// Input; its end is end of file.
    pub stdin: Option<mpsc::Receiver<Bytes>>,
    /// Output.
    pub stdout: mpsc::Sender<Bytes>,
    /// Errors.
    pub stderr: mpsc::Sender<Bytes>,
    /// Terminal sizes: width, height.
    pub resize: Option<mpsc::Receiver<(u16, u16)>>,
}

const DEPTH: usize = 16;

/// Serves one exec or attach over `io` (upgraded already): runs `run` with its streams, sends what it writes, then its
/// outcome. Returns when that was sent or the other end left (`run` is dropped then).
pub async fn serve<S, F>(
    io: S,
    protocol: Protocol,
    wanted: Wanted,
    run: impl FnOnce(Ends) -> F,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Outcome>,
{
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    let (mut sink, mut source) = socket.split();
    let (stdin_tx, stdin) = mpsc::channel(DEPTH);
    let (resize_tx, resize) = mpsc::channel(DEPTH);
    let (stdout, mut stdout_rx) = mpsc::channel::<Bytes>(DEPTH);
    let (stderr, mut stderr_rx) = mpsc::channel::<Bytes>(DEPTH);
    let ends = Ends {
        stdin: wanted.stdin.then_some(stdin),
        stdout,
        stderr,
        resize: wanted.tty.then_some(resize),
    };
    let input = async {
        let mut input = Input {
            stdin: wanted.stdin.then_some(stdin_tx),
            resize: wanted.tty.then_some(resize_tx),
        };
        while let Some(message) = source.next().await {
            match message? {
                Message::Binary(data) => input.take(Frame::decode(protocol, data)?).await?,
                Message::Close(_) => return Ok(()),
                _ => {}
            }
        }
        Ok::<(), Error>(())
    };
    let output = async {
        let (mut run, mut outcome) = (std::pin::pin!(run(ends)), None);
        let (mut out_open, mut err_open) = (true, true);
        // The process's writers may outlive it by a moment: what they wrote is sent before the outcome.
        while outcome.is_none() || out_open || err_open {
            tokio::select! {
                biased;
                data = stdout_rx.recv(), if out_open => match data {
                    Some(data) if wanted.stdout => send(&mut sink, channel::STDOUT, &data).await?,
                    Some(_) => {}
                    None => out_open = false,
                },
                data = stderr_rx.recv(), if err_open => match data {
                    Some(data) if wanted.stderr => send(&mut sink, channel::STDERR, &data).await?,
                    Some(_) => {}
                    None => err_open = false,
                },
                done = &mut run, if outcome.is_none() => outcome = Some(done),
            }
        }
        let outcome = outcome.unwrap_or(Outcome::Exited(0));
        send(&mut sink, channel::ERROR, outcome.to_json().as_bytes()).await
    };
    let sent = tokio::select! {
        biased;
        sent = output => sent,
        left = input => left,
    };
    goodbye(&mut sink).await;
    sent
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

type Sink<S> = SplitSink<WebSocketStream<S>, Message>;

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    sink: &mut Sink<S>,
    channel: u8,
    data: &[u8],
) -> Result<(), Error> {
    Ok(sink
        .send(Message::Binary(channel::message(channel, data)))
        .await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Remote;

    const ALL: Wanted = Wanted {
        stdin: true,
        stdout: true,
        stderr: true,
        tty: true,
    };

    #[tokio::test]
    async fn cat_echoes_until_stdin_closes_then_exits() {
        let (near, far) = tokio::io::duplex(1024);
        let server = serve(far, Protocol::V5, ALL, |mut ends| async move {
            let size = ends.resize.take().unwrap().recv().await;
            assert_eq!(size, Some((80, 24)));
            let mut stdin = ends.stdin.take().unwrap();
            while let Some(data) = stdin.recv().await {
                ends.stdout.send(data).await.unwrap();
            }
            ends.stderr.send("bye".into()).await.unwrap();
            Outcome::Exited(3)
        });
        let client = async {
            let mut remote = Remote::over(near, Protocol::V5).await;
            remote
                .send(&Frame::Data(channel::RESIZE, channel::encode_size(80, 24)))
                .await
                .unwrap();
            remote
                .send(&Frame::Data(channel::STDIN, "hello".into()))
                .await
                .unwrap();
            remote.send(&Frame::Close(channel::STDIN)).await.unwrap();
            remote.collect().await.unwrap()
        };
        let (served, (stdout, stderr, outcome)) = tokio::join!(server, client);
        served.unwrap();
        assert_eq!(
            (stdout.as_slice(), stderr.as_slice(), outcome),
            (&b"hello"[..], &b"bye"[..], Outcome::Exited(3))
        );
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_the_session() {
        let (near, far) = tokio::io::duplex(1024);
        let server = serve(far, Protocol::V4, ALL, |_ends| std::future::pending());
        let client = async {
            drop(Remote::over(near, Protocol::V4).await);
        };
        let (served, ()) = tokio::join!(server, client);
        assert!(served.is_err() || served.is_ok());
    }
}
