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

/// What became of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// They are on their way.
    Whole,
    /// They were taken, and the connection's task has to flush them.
    Taken,
    /// They were not taken, since others are under way, or there is no room.
    Not,
}

/// The second way.
pub trait Way: Send + Sync {
    /// Writes bytes, if the connection's own task has flushed all that it wrote.
    fn send(&self, bytes: &Bytes) -> Sent;

    /// Lets nothing through until the connection's own task flushes again.
    fn shut(&self);
}

/// A stream whose task lets others write when it has nothing to write itself. It tells `H` when something was read.
pub struct Door<S, H>(Arc<Mutex<Inside<S>>>, H);

struct Inside<S> {
    stream: S,
    /// What is left of what came the second way.
    rest: Bytes,
    open: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, H> Door<S, H> {
    /// Around a stream.
    pub fn new(stream: S, heard: H) -> Self {
        let inside = Inside {
            stream,
            rest: Bytes::new(),
            open: false,
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
}

impl<S: AsyncWrite + Unpin + Send> Way for Mutex<Inside<S>> {
    fn send(&self, bytes: &Bytes) -> Sent {
        let mut inside = self.lock().unwrap_or_else(PoisonError::into_inner);
        if !inside.open {
            return Sent::Not;
        }
        // Where it has to wait, or fails, the connection's task finds out for itself: it is woken then.
        let context = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(written @ 1..)) = Pin::new(&mut inside.stream).poll_write(context, bytes) else {
            inside.open = false;
            return Sent::Not;
        };
        inside.rest = bytes.slice(written..);
        let rest = inside.poll_rest(context);
        if matches!(rest, Poll::Ready(Ok(())))
            && matches!(
                Pin::new(&mut inside.stream).poll_flush(context),
                Poll::Ready(Ok(()))
            )
        {
            return Sent::Whole;
        }
        inside.open = false;
        Sent::Taken
    }

    fn shut(&self) {
        self.lock().unwrap_or_else(PoisonError::into_inner).open = false;
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
        inside.open = false;
        ready!(inside.poll_rest(context))?;
        Pin::new(&mut inside.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inside = self.inside();
        inside.open = false;
        ready!(inside.poll_rest(context))?;
        Pin::new(&mut inside.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inside().stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inside = self.inside();
        ready!(inside.poll_rest(context))?;
        ready!(Pin::new(&mut inside.stream).poll_flush(context))?;
        inside.open = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inside = self.inside();
        inside.open = false;
        ready!(inside.poll_rest(context))?;
        Pin::new(&mut inside.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn nothing_comes_between_the_connections_own_bytes() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut door = Door::new(near, || ());
        let way = door.way();
        assert_eq!(way.send(&"early".into()), Sent::Not, "nothing was flushed");
        door.write_all(b"head ").await.unwrap();
        assert_eq!(way.send(&"early".into()), Sent::Not, "the head is not flushed");
        door.flush().await.unwrap();
        assert_eq!(way.send(&"event ".into()), Sent::Whole);
        way.shut();
        assert_eq!(way.send(&"late".into()), Sent::Not);
        door.write_all(b"own ").await.unwrap();
        door.flush().await.unwrap();
        assert_eq!(way.send(&"event".into()), Sent::Whole);
        let mut read = [0; 20];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"head event own event");
    }

    #[tokio::test]
    async fn what_finds_no_room_is_flushed_by_the_connection() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut door = Door::new(near, || ());
        let way = door.way();
        door.flush().await.unwrap();
        assert_eq!(way.send(&"0123456789abcdef".into()), Sent::Taken);
        assert_eq!(way.send(&"more".into()), Sent::Not);
        assert!(door.flush().now_or_never().is_none(), "there is no room");
        let own = async {
            door.write_all(b" own").await.unwrap();
            door.flush().await.unwrap();
        };
        let mut read = [0; 20];
        let (_, all) = tokio::join!(own, far.read_exact(&mut read));
        all.unwrap();
        assert_eq!(&read, b"0123456789abcdef own");
        assert_eq!(way.send(&"full".into()), Sent::Whole);
        assert_eq!(way.send(&"more!".into()), Sent::Taken);
        drop(far);
        assert_eq!(way.send(&"gone".into()), Sent::Not);
    }
}
