//! Exec and attach over SPDY: a stream each, named by the header `streamtype`.

use super::{Ends, Running, Wanted, ends};
use crate::{
    CREATION, Error, GOODBYE, Outcome,
    channel::{self, SizeReader},
    spdy::{Reader, Role, Session, Stream},
};
use bytes::Bytes;
use component::Clock;
use std::pin::pin;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

pub(super) async fn serve<S, F>(
    io: S,
    version: u8,
    wanted: Wanted,
    clock: &Clock,
    run: impl FnOnce(Ends) -> F,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Outcome>,
{
    let (session, mut streams, driver) = Session::new(io, Role::Server);
    let mut driver = pin!(driver);
    let talk = async {
        let gathered = clock
            .timeout(CREATION, gather(&mut streams, version, wanted))
            .await;
        let late = || Error::Protocol("timed out waiting for client to create streams".to_owned());
        let done = talk(gathered.ok_or_else(late)??, version, wanted, run).await;
        session.close().await;
        done
    };
    let done = tokio::select! {
        biased;
        done = talk => done,
        ended = &mut driver => return ended,
    };
    // What was sent last arrives, and what still comes is read, until the other end closes.
    clock.timeout(GOODBYE, driver).await;
    done
}

/// The streams of a command.
#[derive(Default)]
struct Streams {
    error: Option<Stream>,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

/// Waits for all streams that are wanted.
async fn gather(streams: &mut mpsc::Receiver<Stream>, version: u8, wanted: Wanted) -> Result<Streams, Error> {
    let mut found = Streams::default();
    let resize = wanted.tty && version >= 3;
    let complete = |found: &Streams| {
        found.error.is_some()
            && found.stdin.is_some() >= wanted.stdin
            && found.stdout.is_some() >= wanted.stdout
            && found.stderr.is_some() >= wanted.stderr
            && found.resize.is_some() >= resize
    };
    while !complete(&found) {
        let left = || Error::Protocol("the client left before it opened its streams".to_owned());
        let stream = streams.recv().await.ok_or_else(left)?;
        let place = match stream.header("streamtype") {
            "error" => &mut found.error,
            "stdin" => &mut found.stdin,
            "stdout" => &mut found.stdout,
            "stderr" => &mut found.stderr,
            "resize" => &mut found.resize,
            other => {
                let why = format!("unexpected stream type: {other:?}");
                return Err(Error::Protocol(why));
            }
        };
        *place = Some(stream);
    }
    Ok(found)
}

async fn talk<F: Future<Output = Outcome>>(
    streams: Streams,
    version: u8,
    wanted: Wanted,
    run: impl FnOnce(Ends) -> F,
) -> Result<(), Error> {
    let split = |stream: Option<Stream>| stream.map(|s| (s.reader, s.writer)).unzip();
    let (stdin, stdin_back) = split(streams.stdin);
    let (resize, _) = split(streams.resize);
    // Their readers are kept: nothing comes on them but their end.
    let (_error, error) = split(streams.error);
    let (_stdout, stdout) = split(streams.stdout);
    let (_stderr, stderr) = split(streams.stderr);
    let (ends, opposite) = ends(wanted);
    let input = async {
        tokio::join!(pass(stdin, opposite.stdin), sizes(resize, opposite.resize));
        std::future::pending().await
    };
    let run = pin!(run(ends));
    let mut running = Running::new(run, opposite.stdout, opposite.stderr, wanted);
    let output = async {
        while let Some((channel, data)) = running.next().await {
            let to = if channel == channel::STDOUT {
                &stdout
            } else {
                &stderr
            };
            if let Some(writer) = to {
                writer.send(data).await?;
            }
        }
        Ok::<(), Error>(())
    };
    tokio::select! {
        biased;
        done = output => done?,
        never = input => never,
    }
    let outcome = running.outcome();
    for writer in [stdin_back, stdout, stderr].iter().flatten() {
        writer.finish().await?;
    }
    // The last: when it has ended, the client goes.
    if let Some(error) = &error {
        error.send(outcome.told(version >= 4).into()).await?;
        error.finish().await?;
    }
    Ok(())
}

/// Passes input on until either end has enough.
pub(crate) async fn pass(from: Option<Reader>, to: Option<mpsc::Sender<Bytes>>) {
    let (Some(mut from), Some(to)) = (from, to) else {
        return;
    };
    while let Some(bytes) = from.next().await {
        if to.send(bytes).await.is_err() {
            // What the process does not read any more must not hold back the other streams.
            while from.next().await.is_some() {}
        }
    }
}

async fn sizes(from: Option<Reader>, to: Option<mpsc::Sender<(u16, u16)>>) {
    let (Some(mut from), Some(to)) = (from, to) else {
        return;
    };
    let mut reader = SizeReader::default();
    while let Some(bytes) = from.next().await {
        for size in reader.read(&bytes) {
            // A full queue belongs to a process that does not read sizes.
            let _ = to.try_send(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Wire, relay};

    #[tokio::test]
    async fn a_command_runs_over_spdy() {
        let (near, far) = tokio::io::duplex(1024);
        let clock = Clock::system();
        let wanted = Wanted {
            stdin: true,
            stdout: true,
            stderr: true,
            tty: true,
        };
        let server = crate::serve(far, Wire::Spdy(4), wanted, &clock, |mut ends| async move {
            let size = ends.resize.take().unwrap().recv().await;
            assert_eq!(size, Some((80, 24)));
            let mut stdin = ends.stdin.take().unwrap();
            while let Some(data) = stdin.recv().await {
                ends.stdout.send(data).await.unwrap();
            }
            ends.stderr.send("bye".into()).await.unwrap();
            Outcome::Exited(3)
        });
        let (ends, mut opposite) = ends(wanted);
        let client = async {
            opposite.resize.take().unwrap().send((80, 24)).await.unwrap();
            let stdin = opposite.stdin.take().unwrap();
            let feed = async {
                for _ in 0..100 {
                    stdin.send(Bytes::from(vec![b'x'; 10_000])).await.unwrap();
                }
                drop(stdin);
            };
            let (mut out, mut err) = (0, Vec::new());
            let read = async {
                while let Some(data) = opposite.stdout.recv().await {
                    out += data.len();
                }
                while let Some(data) = opposite.stderr.recv().await {
                    err.extend_from_slice(&data);
                }
            };
            let (outcome, (), ()) = tokio::join!(relay(near, wanted, ends), feed, read);
            (outcome, out, err)
        };
        let (served, (outcome, out, err)) = tokio::join!(server, client);
        served.unwrap();
        assert_eq!((out, err), (1_000_000, b"bye".to_vec()));
        assert_eq!(
            Outcome::parse(outcome.told(true).as_bytes()).unwrap(),
            Outcome::Exited(3)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_opens_no_streams_is_left() {
        let (_near, far) = tokio::io::duplex(1024);
        let clock = Clock::system();
        let wanted = Wanted {
            stdout: true,
            ..Wanted::default()
        };
        let served = crate::serve(far, Wire::Spdy(4), wanted, &clock, |_| std::future::pending()).await;
        let why = served.unwrap_err().to_string();
        assert_eq!(why, "timed out waiting for client to create streams");
    }
}
