//! Port-forward over SPDY: a connection is two streams with the same `requestid`, one of data and one for the error.
//! Upstream: `kubelet/pkg/cri/streaming/portforward/httpstream.go`.

use super::Connect;
use crate::{
    CREATION, Error,
    spdy::{Role, Session, Stream},
};
use bytes::Bytes;
use component::Clock;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{collections::BTreeMap, pin::pin};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const CHUNK: usize = 32 << 10;

/// What a stream is for.
struct Request {
    id: String,
    port: u16,
    data: bool,
}

impl Request {
    /// Reads a stream's headers; none when they are not right.
    fn read(stream: &Stream) -> Option<Self> {
        let data = match stream.header("streamtype") {
            "data" => true,
            "error" => false,
            _ => return None,
        };
        let id = match stream.header("requestid") {
            // Old clients name none, but open the stream for the error just before that of the data.
            "" => stream.id().wrapping_sub(if data { 2 } else { 0 }).to_string(),
            id => id.to_owned(),
        };
        let port = stream.header("port").parse().ok().filter(|port| *port > 0)?;
        Some(Self { id, port, data })
    }
}

/// The streams of a connection that have come.
#[derive(Default)]
struct Pair {
    data: Option<Stream>,
    error: Option<Stream>,
}

/// What has ended.
enum Ended {
    /// A connection.
    Piped,
    /// The time in which the streams of a request were to come.
    Waited(String),
}

pub(super) async fn forward<S, D>(io: S, clock: &Clock, connect: Connect<'_, D>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite,
    D: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (_session, mut streams, driver) = Session::new(io, Role::Server);
    let mut driver = pin!(driver);
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    let mut work: FuturesUnordered<BoxFuture<'_, Ended>> = FuturesUnordered::new();
    loop {
        let stream = tokio::select! {
            biased;
            ended = &mut driver => return ended,
            Some(ended) = work.next() => {
                if let Ended::Waited(id) = ended
                    && let Some(pair) = pairs.remove(&id)
                {
                    let why = format!("request={id} timed out waiting for streams");
                    work.push(Box::pin(refuse(pair, why)));
                }
                continue;
            }
            Some(stream) = streams.recv() => stream,
        };
        let Some(request) = Request::read(&stream) else {
            stream.writer.reset().await?;
            continue;
        };
        let new = !pairs.contains_key(&request.id);
        let pair = pairs.entry(request.id.clone()).or_default();
        let place = if request.data {
            &mut pair.data
        } else {
            &mut pair.error
        };
        *place = Some(stream);
        if pair.data.is_some() && pair.error.is_some() {
            let pair = pairs.remove(&request.id).unwrap_or_default();
            work.push(Box::pin(pipe(connect(request.port), pair)));
        } else if new {
            let clock = clock.clone();
            work.push(Box::pin(async move {
                clock.sleep(CREATION).await;
                Ended::Waited(request.id)
            }));
        }
    }
}

/// Tells why there is no connection.
async fn refuse(pair: Pair, why: String) -> Ended {
    // Who is gone needs not be told.
    if let Some(error) = pair.error {
        let _ = error.writer.send(why.into()).await;
        let _ = error.writer.finish().await;
    }
    if let Some(data) = pair.data {
        let _ = data.writer.finish().await;
    }
    Ended::Piped
}

/// Copies between a connection and its streams. Either direction may end before the other.
async fn pipe<D: AsyncRead + AsyncWrite + Send + Unpin>(
    connection: BoxFuture<'static, Result<D, String>>,
    pair: Pair,
) -> Ended {
    let connection = match connection.await {
        Ok(connection) => connection,
        Err(why) => return refuse(pair, why).await,
    };
    let (Some(data), Some(error)) = (pair.data, pair.error) else {
        return Ended::Piped;
    };
    let (mut from, to) = (data.reader, data.writer);
    let (mut reader, mut writer) = tokio::io::split(connection);
    let up = async {
        while let Some(bytes) = from.next().await {
            if writer.write_all(&bytes).await.is_err() {
                break;
            }
        }
        // A reset of the stream ends the connection, its end only this direction.
        if to.is_gone() {
            return false;
        }
        writer.shutdown().await.is_ok()
    };
    let down = async {
        let mut buffer = vec![0u8; CHUNK];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            if to.send(Bytes::copy_from_slice(&buffer[..count])).await.is_err() {
                return;
            }
        }
        // kubectl before 1.23 closes its end only when it knows that there is no error.
        let _ = to.finish().await;
        let _ = error.writer.finish().await;
    };
    let (mut up, mut down) = (pin!(up), pin!(down));
    tokio::select! {
        biased;
        goes_on = &mut up => if goes_on { down.await },
        () = &mut down => { up.await; }
    }
    let _ = to.finish().await;
    let _ = error.writer.finish().await;
    Ended::Piped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SocketRole, Tunnel, Wire, forward};
    use tokio::io::DuplexStream;

    fn headers(request: u32, kind: &str, port: u16) -> Vec<(String, String)> {
        [
            ("streamtype", kind.to_owned()),
            ("port", port.to_string()),
            ("requestid", request.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Port 80 answers with the length of what it was sent, when that has ended.
    fn connect(port: u16) -> BoxFuture<'static, Result<DuplexStream, String>> {
        Box::pin(async move {
            if port != 80 {
                return Err("connection refused".to_owned());
            }
            Ok(tokio::io::duplex(64).0)
        })
    }

    fn counting(
        port: u16,
        served: tokio::sync::mpsc::UnboundedSender<DuplexStream>,
    ) -> BoxFuture<'static, Result<DuplexStream, String>> {
        let refused = connect(port);
        Box::pin(async move {
            refused.await?;
            let (ours, theirs) = tokio::io::duplex(4096);
            let _ = served.send(theirs);
            Ok(ours)
        })
    }

    async fn count(mut stream: DuplexStream) {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(all.len().to_string().as_bytes()).await.unwrap();
    }

    async fn talk(session: Session) {
        for request in 0..3 {
            let mut error = session.open(headers(request, "error", 80)).await.unwrap();
            let mut data = session.open(headers(request, "data", 80)).await.unwrap();
            data.writer.send(Bytes::from(vec![1; 300_000])).await.unwrap();
            data.writer.finish().await.unwrap();
            assert_eq!(data.reader.next().await.unwrap(), "300000");
            assert_eq!(data.reader.next().await, None);
            assert_eq!(error.reader.next().await, None);
        }
        let mut error = session.open(headers(9, "error", 81)).await.unwrap();
        let mut data = session.open(headers(9, "data", 81)).await.unwrap();
        assert_eq!(error.reader.next().await.unwrap(), "connection refused");
        assert_eq!(data.reader.next().await, None);
        let mut wrong = session.open(headers(10, "other", 81)).await.unwrap();
        assert_eq!(wrong.reader.next().await, None);
        let mut late = session.open(headers(11, "error", 80)).await.unwrap();
        let why = late.reader.next().await.unwrap();
        assert_eq!(why, "request=11 timed out waiting for streams");
    }

    async fn story(wire: Wire) {
        let (near, far) = tokio::io::duplex(4096);
        let clock = Clock::system();
        let (served, mut connections) = tokio::sync::mpsc::unbounded_channel();
        let connect = move |port| counting(port, served.clone());
        let answering = async {
            while let Some(stream) = connections.recv().await {
                count(stream).await;
            }
        };
        let client = async {
            if wire == Wire::Tunnel {
                let (session, _none, driver) =
                    Session::new(Tunnel::new(near, SocketRole::Client).await, Role::Client);
                tokio::select! { () = talk(session) => {}, ended = driver => panic!("{ended:?}") }
            } else {
                let (session, _none, driver) = Session::new(near, Role::Client);
                tokio::select! { () = talk(session) => {}, ended = driver => panic!("{ended:?}") }
            }
        };
        tokio::select! {
            () = client => {}
            () = answering => {}
            ended = forward(far, wire, &[], &clock, &connect) => panic!("{ended:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ports_are_forwarded_over_spdy() {
        story(Wire::Spdy(4)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn ports_are_forwarded_over_spdy_in_a_socket() {
        story(Wire::Tunnel).await;
    }
}
