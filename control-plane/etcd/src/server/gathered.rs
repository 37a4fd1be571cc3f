//! Writes that are gathered until they are to be sent: the library for HTTP/2 would give each message of more than 256 bytes
//! to the kernel alone, which costs more than to copy it behind the others.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are gathered at most; what is as large is not copied.
const MOST: usize = 32 << 10;

/// A connection whose writes are gathered.
pub struct Gathered<S> {
    stream: S,
    unsent: Vec<u8>,
    /// So many of them are sent already.
    sent: usize,
}

impl<S> Gathered<S> {
    /// What writes to `stream`.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            unsent: Vec::new(),
            sent: 0,
        }
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.unsent[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        self.unsent.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.unsent.len() + bytes.len() > MOST {
            ready!(self.poll_send(cx))?;
        }
        if bytes.len() >= MOST {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        self.unsent.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_is_gathered_comes_in_order_and_whole() {
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let sizes = [1, 300, MOST - 1, 2, MOST, 3 * MOST, 7];
        let parts = || sizes.iter().enumerate().map(|(at, size)| vec![at as u8; *size]);
        let writing = async {
            let mut gathered = Gathered::new(ours);
            for part in parts() {
                gathered.write_all(&part).await.unwrap();
            }
            gathered.shutdown().await.unwrap();
        };
        let reading = async {
            let mut read = Vec::new();
            theirs.read_to_end(&mut read).await.unwrap();
            read
        };
        let ((), read) = futures::join!(writing, reading);
        assert!(read == parts().collect::<Vec<_>>().concat());
    }
}
