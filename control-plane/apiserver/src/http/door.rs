//! A connection's stream with a second way in: what many watchers are told is written to their connections by one task, so
//! that none of theirs has to wake for it.

use bytes::{Buf, Bytes};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The second way.
pub trait Way: Send + Sync {
    /// Takes bytes, if the connection's own task has flushed all that it wrote. They go with the next `flush`.
    fn take(&self, bytes: &Bytes) -> bool;

    /// Writes what was taken. False when the connection's task has to go on with it.
    fn flush(&self) -> bool;

    /// Lets nothing through until the connection's own task flushes again.
    fn shut(&self);
}

/// A stream whose task lets others write when it has nothing to write itself. It tells `H` when something was read.
pub struct Door<S, H>(Arc<Mutex<Inside<S>>>, H);

/// Takes what it has room for into a stream, which does not write it before it is flushed; how many bytes.
pub type Take<S> = fn(&mut S, &[u8]) -> io::Result<usize>;

struct Inside<S> {
    stream: S,
    take: Take<S>,
    /// What is left of what came the second way.
    rest: Bytes,
    turn: Turn,
}

/// Who may write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The connection's own task.
    Own,
    /// Who comes.
    Free,
    /// Who came the second way, and has not flushed yet.
    Second,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, H> Door<S, H> {
    /// Around a stream.
    pub fn new(stream: S, take: Take<S>, heard: H) -> Self {
        let inside = Inside {
            stream,
            take,
            rest: Bytes::new(),
            turn: Turn::Own,
        };
        Self(Arc::new(Mutex::new(inside)), heard)
    }

    /// The second way in.
    pub fn way(&self) -> Arc<dyn Way> {
        self.0.clone()
    }

    fn inside(&self) -> MutexGuard<'_, Inside<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncWrite + Unpin> Inside<S> {
    /// Writes what is left of the second way.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.rest.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.turn = Turn::Own;
        ready!(self.poll_rest(context))?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.turn = Turn::Free;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin + Send> Way for Mutex<Inside<S>> {
    fn take(&self, bytes: &Bytes) -> bool {
        let mut inside = self.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.turn != Turn::Free {
            return false;
        }
        let take = inside.take;
        // Where it fails, the connection's task finds out for itself.
        let Ok(taken) = take(&mut inside.stream, bytes) else {
            inside.turn = Turn::Own;
            return false;
        };
        inside.rest = bytes.slice(taken..);
        inside.turn = Turn::Second;
        true
    }

    fn flush(&self) -> bool {
        let mut inside = self.lock().unwrap_or_else(PoisonError::into_inner);
        // Whose turn it is by now flushes this too; its waker must not be lost to another's.
        if inside.turn != Turn::Second {
            return true;
        }
        let done = inside.poll_flush(&mut Context::from_waker(Waker::noop()));
        matches!(done, Poll::Ready(Ok(())))
    }

    fn shut(&self) {
        self.lock().unwrap_or_else(PoisonError::into_inner).turn = Turn::Own;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, H: Fn() + Unpin> AsyncRead for Door<S, H> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.inside().stream).poll_read(context, into))?;
        if into.filled().len() > before {
            (self.1)();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, H: Unpin> AsyncWrite for Door<S, H> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inside = self.inside();
        inside.turn = Turn::Own;
        ready!(inside.poll_rest(context))?;
        Pin::new(&mut inside.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inside = self.inside();
        inside.turn = Turn::Own;
        ready!(inside.poll_rest(context))?;
        Pin::new(&mut inside.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inside().stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inside().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inside = self.inside();
        inside.turn = Turn::Own;
        ready!(inside.poll_rest(context))?;
        Pin::new(&mut inside.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    /// Takes a part at once, the rest when it is flushed.
    fn part(stream: &mut DuplexStream, bytes: &[u8]) -> io::Result<usize> {
        let some = &bytes[..bytes.len().min(2)];
        stream.write(some).now_or_never().unwrap_or(Ok(0))
    }

    #[tokio::test]
    async fn nothing_comes_between_the_connections_own_bytes() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut door = Door::new(near, part, || ());
        let way = door.way();
        assert!(!way.take(&"early".into()), "nothing was flushed");
        door.write_all(b"head ").await.unwrap();
        assert!(!way.take(&"early".into()), "the head is not flushed");
        door.flush().await.unwrap();
        assert!(way.take(&"event ".into()));
        assert!(!way.take(&"another ".into()), "the first is not flushed");
        assert!(way.flush());
        assert!(way.take(&"overtaken ".into()));
        door.write_all(b"own ").await.unwrap();
        assert!(way.flush(), "that is for who wrote after it");
        assert!(!way.take(&"late".into()), "and is not done");
        door.flush().await.unwrap();
        way.shut();
        assert!(!way.take(&"late".into()));
        door.flush().await.unwrap();
        assert!(way.take(&"event".into()) && way.flush());
        let mut read = [0; 30];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"head event overtaken own event");
    }

    #[tokio::test]
    async fn what_finds_no_room_is_flushed_by_the_connection() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut door = Door::new(near, part, || ());
        let way = door.way();
        door.flush().await.unwrap();
        assert!(way.take(&"0123456789abcdef".into()) && !way.flush());
        assert!(!way.take(&"more".into()));
        assert!(door.flush().now_or_never().is_none(), "there is no room");
        let own = async {
            door.write_all(b" own").await.unwrap();
            door.flush().await.unwrap();
        };
        let mut read = [0; 20];
        let (_, all) = tokio::join!(own, far.read_exact(&mut read));
        all.unwrap();
        assert_eq!(&read, b"0123456789abcdef own");
        assert!(way.take(&"full".into()) && way.flush());
        assert!(way.take(&"more!".into()) && !way.flush());
        drop(far);
        assert!(!way.take(&"gone".into()));
        assert!(door.flush().await.is_err());
    }
}
