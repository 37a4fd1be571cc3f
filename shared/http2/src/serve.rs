//! A connection and its socket.

use crate::{Service, connection::Connection, frame::PREFACE};
use component::{Clock, Env, Tasks};
use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::Instant,
};

/// Bytes that are read at once.
const READ: usize = 256 << 10;
/// Room of a buffer that is kept while nothing happens.
const KEPT: usize = 16 << 10;
/// How long calls that have come may take while the server stops.
const LEAVING: Duration = Duration::from_secs(5);
/// How long, and for how many bytes, a client that did what cannot be is listened to, so that it hears why it must go.
const LINGERING: Duration = Duration::from_secs(1);
const LINGERED: u64 = 1 << 20;

thread_local! {
    /// What is read lies here until it is parsed: connections that are idle need no room for it.
    static SPACE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads until it is clear whether a client speaks HTTP/2: whether it does, and what was read.
pub async fn sniff(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(bool, Vec<u8>)> {
    let mut read = Vec::with_capacity(PREFACE.len());
    while PREFACE.starts_with(&read) && read.len() < PREFACE.len() {
        let mut space = [0; PREFACE.len()];
        let left = PREFACE.len() - read.len();
        let count = stream.read(&mut space[..left]).await?;
        if count == 0 {
            return Ok((false, read));
        }
        read.extend_from_slice(&space[..count]);
    }
    Ok((read == PREFACE, read))
}

/// Serves a connection of which `first` was read already, until it ends or the tasks of `env` are told to stop.
pub async fn serve<T, S>(stream: T, first: Vec<u8>, service: S, env: &Env)
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service,
{
    // A branch of its own: what runs for the connection is nothing that others wait for.
    let mut wire = Wire {
        connection: Connection::new(service, Tasks::new(), env.clock.clone()),
        stream,
        left: first,
        sent: 0,
        has_waited: false,
        heard: env.clock.now(),
        asked: None,
    };
    wire.parse_left();
    loop {
        let look = wire.next_look();
        tokio::select! {
            biased;
            () = env.tasks.stopping() => break,
            ended = wire.run() => return wire.close(ended, &env.clock).await,
            () = at(&env.clock, look) => if !wire.is_there(env.clock.now()) {
                return tracing::debug!("a client that says nothing has gone");
            },
        }
    }
    wire.connection.leave();
    let ended = env.clock.timeout(LEAVING, wire.run()).await;
    wire.close(ended.unwrap_or(Ok(())), &env.clock).await;
}

/// Waits until then; forever if it is never.
async fn at(clock: &Clock, then: Option<Instant>) {
    match then {
        Some(then) => clock.sleep_until(then).await,
        None => std::future::pending().await,
    }
}

struct Wire<T, S: Service> {
    connection: Connection<S>,
    stream: T,
    /// What was read and is no whole frame yet.
    left: Vec<u8>,
    /// So much of what goes out is sent.
    sent: usize,
    /// It let others have their turn.
    has_waited: bool,
    /// When something came last, and when the client was asked whether it is there.
    heard: Instant,
    asked: Option<Instant>,
}

impl<T: AsyncRead + AsyncWrite + Unpin, S: Service> Wire<T, S> {
    async fn run(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll(context)).await
    }

    /// When it is time to see whether the client is there.
    fn next_look(&self) -> Option<Instant> {
        let limits = &self.connection.limits;
        let is_limited = !limits.quiet.is_zero() && !limits.patience.is_zero();
        is_limited.then(|| match self.asked {
            Some(asked) => asked + limits.patience,
            None => self.heard + limits.quiet,
        })
    }

    /// Whether the client is there, as far as is known; who says nothing is asked.
    fn is_there(&mut self, now: Instant) -> bool {
        if self.asked.take().is_some_and(|asked| self.heard <= asked) {
            return false;
        }
        if now >= self.heard + self.connection.limits.quiet {
            self.connection.ask();
            self.asked = Some(now);
        }
        true
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Who answers one often answers many: what others are about to say goes out with it.
        self.has_waited = !self.has_waited && self.connection.outbox.has_items();
        if self.has_waited {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            self.connection.answers();
            let more = self.connection.fill();
            let is_blocked = match self.poll_send(context) {
                Poll::Ready(sent) => {
                    sent?;
                    if more {
                        continue;
                    }
                    false
                }
                Poll::Pending => true,
            };
            // Who does what cannot be is not waited for here.
            if self.connection.is_broken || !is_blocked && self.connection.is_over() {
                return Poll::Ready(Ok(()));
            }
            if self.connection.has_room() {
                match self.poll_read(context) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
            }
            if self.connection.outbox.sleep(context) {
                if self.connection.out.is_empty() {
                    self.connection.out.shrink_to(KEPT);
                }
                return Poll::Pending;
            }
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let out = &mut self.connection.out;
        if out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.sent < out.len() {
            match Pin::new(&mut self.stream).poll_write(context, &out[self.sent..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.sent += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    out.drain(..self.sent);
                    self.sent = 0;
                    return Poll::Pending;
                }
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.sent = 0;
        out.clear();
        Poll::Ready(Ok(()))
    }

    /// Reads and parses; how much was read.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = SPACE.take();
        let before = self.left.len();
        if space.len() < before + READ {
            space.resize(before + READ, 0);
        }
        let mut buffer = ReadBuf::new(&mut space[before..]);
        let polled = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
        let count = buffer.filled().len();
        if count > 0 {
            self.heard = self.connection.clock.now();
            space[..before].copy_from_slice(&self.left);
            self.left.clear();
            let done = self.connection.receive(&space[..before + count]);
            self.left.extend_from_slice(&space[done..before + count]);
        }
        SPACE.set(space);
        polled.map_ok(|()| count)
    }

    fn parse_left(&mut self) {
        let done = self.connection.receive(&self.left);
        self.left.drain(..done);
    }

    async fn close(mut self, ended: io::Result<()>, clock: &Clock) {
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
            return;
        }
        let (is_broken, out) = (
            self.connection.is_broken,
            std::mem::take(&mut self.connection.out),
        );
        drop(self.connection);
        // Whoever is gone hears nothing, and who does not listen neither.
        let mut stream = self.stream;
        let last_word = async {
            stream.write_all(&out[self.sent..]).await?;
            stream.shutdown().await
        };
        let said = clock.timeout(LINGERING, last_word).await;
        if is_broken && said.is_some() {
            let mut rest = stream.take(LINGERED);
            let mut nowhere = tokio::io::sink();
            let listening = tokio::io::copy(&mut rest, &mut nowhere);
            let _ = clock.timeout(LINGERING, listening).await;
        }
    }
}
