//! The end of exec and attach where the process is.

mod socket;
mod spdy;

pub(crate) use socket::{goodbye, message};

use crate::{Error, Outcome, Wire, channel};
use bytes::Bytes;
use component::Clock;
use std::pin::Pin;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
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

/// The streams as the connection's side holds them.
struct Opposite {
    stdin: Option<mpsc::Sender<Bytes>>,
    resize: Option<mpsc::Sender<(u16, u16)>>,
    stdout: mpsc::Receiver<Bytes>,
    stderr: mpsc::Receiver<Bytes>,
}

/// Pieces of data that wait for the end that is slow.
const DEPTH: usize = 16;

/// Serves one exec or attach over `io` (upgraded already to `wire`): runs `run` with its streams, sends what it writes,
/// then its outcome. Returns when that was sent or the other end left (`run` is dropped then).
pub async fn serve<S, F>(
    io: S,
    wire: Wire,
    wanted: Wanted,
    clock: &Clock,
    run: impl FnOnce(Ends) -> F,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Outcome>,
{
    match wire {
        Wire::Socket(protocol) => socket::serve(io, protocol, wanted, clock, run).await,
        Wire::Spdy(version) => spdy::serve(io, version, wanted, clock, run).await,
        Wire::Tunnel | Wire::Output(_) => Err(Error::Protocol(format!("{wire:?} carries no command"))),
    }
}

fn ends(wanted: Wanted) -> (Ends, Opposite) {
    let (stdin_tx, stdin) = mpsc::channel(DEPTH);
    let (resize_tx, resize) = mpsc::channel(DEPTH);
    let (stdout, stdout_rx) = mpsc::channel(DEPTH);
    let (stderr, stderr_rx) = mpsc::channel(DEPTH);
    let ends = Ends {
        stdin: wanted.stdin.then_some(stdin),
        stdout,
        stderr,
        resize: wanted.tty.then_some(resize),
    };
    let opposite = Opposite {
        stdin: wanted.stdin.then_some(stdin_tx),
        resize: wanted.tty.then_some(resize_tx),
        stdout: stdout_rx,
        stderr: stderr_rx,
    };
    (ends, opposite)
}

/// A process that runs, and what it writes.
struct Running<'a, F> {
    run: Pin<&'a mut F>,
    outcome: Option<Outcome>,
    stdout: Option<mpsc::Receiver<Bytes>>,
    stderr: Option<mpsc::Receiver<Bytes>>,
    wanted: Wanted,
}

impl<'a, F: Future<Output = Outcome>> Running<'a, F> {
    fn new(
        run: Pin<&'a mut F>,
        stdout: mpsc::Receiver<Bytes>,
        stderr: mpsc::Receiver<Bytes>,
        wanted: Wanted,
    ) -> Self {
        Self {
            run,
            outcome: None,
            stdout: Some(stdout),
            stderr: Some(stderr),
            wanted,
        }
    }

    /// What it writes next, and on which channel; none when it has ended and all was written.
    async fn next(&mut self) -> Option<(u8, Bytes)> {
        // The process's writers may outlive it by a moment: what they wrote is sent before the outcome.
        while self.outcome.is_none() || self.stdout.is_some() || self.stderr.is_some() {
            let (open, errors_open) = (self.stdout.is_some(), self.stderr.is_some());
            tokio::select! {
                biased;
                data = receive(&mut self.stdout), if open => match data {
                    Some(data) if self.wanted.stdout => return Some((channel::STDOUT, data)),
                    Some(_) => {}
                    None => self.stdout = None,
                },
                data = receive(&mut self.stderr), if errors_open => match data {
                    Some(data) if self.wanted.stderr => return Some((channel::STDERR, data)),
                    Some(_) => {}
                    None => self.stderr = None,
                },
                done = &mut self.run, if self.outcome.is_none() => self.outcome = Some(done),
            }
        }
        None
    }

    /// How it ended.
    fn outcome(self) -> Outcome {
        self.outcome.unwrap_or(Outcome::Exited(0))
    }
}

async fn receive(from: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    from.as_mut()?.recv().await
}
