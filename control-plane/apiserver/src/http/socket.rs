//! A socket of a client.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// One that sends a record of TLS by itself as what it is: writing several slices costs the kernel a tenth more, and most
/// writes have one.
pub struct Socket(pub TcpStream);

/// The slice that all bytes are in, if there is one.
fn only<'a>(slices: &'a [io::IoSlice<'_>]) -> Option<&'a [u8]> {
    let mut full = slices.iter().filter(|slice| !slice.is_empty());
    let first = full.next()?;
    full.next().is_none().then_some(first)
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match only(slices) {
            Some(bytes) => Pin::new(&mut self.0).poll_write(context, bytes),
            None => Pin::new(&mut self.0).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    #[tokio::test]
    async fn one_slice_and_several_arrive_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(listener.accept(), far);
        let (mut near, mut far) = (Socket(near.unwrap().0), far.unwrap());
        let slices = |pieces: [&'static [u8]; 3]| pieces.map(io::IoSlice::new);
        assert_eq!(
            near.write_vectored(&slices([b"", b"one ", b""])).await.unwrap(),
            4
        );
        assert_eq!(
            near.write_vectored(&slices([b"two", b" ", b"three"]))
                .await
                .unwrap(),
            9
        );
        near.shutdown().await.unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "one two three");
        assert_eq!(only(&slices([b"", b"", b""])), None);
    }
}
