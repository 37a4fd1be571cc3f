//! The end of exec and attach that asks for the command over SPDY.

use crate::{
    Ends, Error, Outcome, Wanted, channel,
    spdy::{Reader, Role, Session, Stream, Writer},
};
use bytes::Bytes;
use std::pin::pin;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

/// Most bytes of how a command ended.
const STATUS: usize = 64 << 10;

/// Asks a server for a command over `io`, on which it agreed to `v4.channel.k8s.io` over SPDY, with streams as those of
/// [`crate::serve`]. What the command came to is told as the server told it.
pub async fn relay<S: AsyncRead + AsyncWrite>(io: S, wanted: Wanted, ends: Ends) -> Outcome {
    let (session, _none, driver) = Session::new(io, Role::Client);
    let (mut talk, driver) = (pin!(talk(&session, wanted, ends)), pin!(driver));
    let done = tokio::select! {
        biased;
        done = &mut talk => done,
        // What came before the end is still to be read.
        _ = driver => talk.await,
    };
    done.unwrap_or_else(|error| Outcome::Failed(error.to_string()))
}

fn left() -> Error {
    Error::Protocol("the server left without a status".to_owned())
}

async fn open(session: &Session, kind: &str, wanted: bool) -> Result<Option<Stream>, Error> {
    if !wanted {
        return Ok(None);
    }
    let headers = vec![("streamtype".to_owned(), kind.to_owned())];
    session.open(headers).await.map(Some)
}

async fn talk(session: &Session, wanted: Wanted, ends: Ends) -> Result<Outcome, Error> {
    let mut error = open(session, "error", true).await?.ok_or_else(left)?;
    let stdin = open(session, "stdin", wanted.stdin).await?;
    let stdout = open(session, "stdout", wanted.stdout).await?;
    let stderr = open(session, "stderr", wanted.stderr).await?;
    let resize = open(session, "resize", wanted.tty).await?;
    let input = async {
        tokio::join!(feed(ends.stdin, stdin), tell(ends.resize, resize));
        std::future::pending().await
    };
    let output = async {
        let mut status = Vec::new();
        let read = async {
            while let Some(bytes) = error.reader.next().await {
                if status.len() + bytes.len() > STATUS {
                    return Err(Error::Protocol("the status is too long".to_owned()));
                }
                status.extend_from_slice(&bytes);
            }
            Ok(())
        };
        let (read, (), ()) = tokio::join!(
            read,
            pass(stdout.map(|s| s.reader), ends.stdout),
            pass(stderr.map(|s| s.reader), ends.stderr)
        );
        read?;
        match status.as_slice() {
            [] => Err(left()),
            status => Ok(Outcome::Told(String::from_utf8_lossy(status).into_owned())),
        }
    };
    tokio::select! {
        biased;
        outcome = output => outcome,
        never = input => never,
    }
}

async fn pass(from: Option<Reader>, to: mpsc::Sender<Bytes>) {
    let Some(mut from) = from else { return };
    while let Some(bytes) = from.next().await {
        if to.send(bytes).await.is_err() {
            return;
        }
    }
}

async fn feed(from: Option<mpsc::Receiver<Bytes>>, to: Option<Stream>) {
    let (Some(mut from), Some(to)) = (from, to) else {
        return;
    };
    while let Some(bytes) = from.recv().await {
        if to.writer.send(bytes).await.is_err() {
            return;
        }
    }
    end(&to.writer).await;
}

async fn tell(from: Option<mpsc::Receiver<(u16, u16)>>, to: Option<Stream>) {
    let (Some(mut from), Some(to)) = (from, to) else {
        return;
    };
    while let Some((width, height)) = from.recv().await {
        if to.writer.send(channel::encode_size(width, height)).await.is_err() {
            return;
        }
    }
    end(&to.writer).await;
}

async fn end(writer: &Writer) {
    // A connection that is gone ends the talk by itself.
    let _ = writer.finish().await;
}
