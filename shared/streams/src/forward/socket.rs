//! Port forwarding over WebSocket: port `i` has data channel `2i` and error channel `2i+1`; the first message of each
//! is its port number, little-endian. Upstream: `kubelet/pkg/cri/streaming/portforward/websocket.go`.

use super::Connect;
use crate::{
    Error,
    channel::{Frame, Protocol},
    command::{goodbye, message},
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

const DEPTH: usize = 16;

pub(super) async fn forward<S, D>(
    io: S,
    protocol: Protocol,
    ports: &[u16],
    connect: Connect<'_, D>,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    D: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (mut sink, mut source) = crate::socket(io, Role::Server).await.split();
    for (index, port) in (0u8..).zip(ports) {
        for channel in [2 * index, 2 * index + 1] {
            sink.send(message(protocol, channel, &port.to_le_bytes())).await?;
        }
    }
    let (out, mut messages) = mpsc::channel::<(u8, Bytes)>(DEPTH);
    let (inputs, pipes): (Vec<_>, Vec<_>) = (0u8..)
        .zip(ports)
        .map(|(index, port)| {
            let (input, data) = mpsc::channel(DEPTH);
            (input, pipe(connect(*port), data, index, out.clone()))
        })
        .unzip();
    drop(out);
    let input = async {
        while let Some(received) = source.next().await {
            match received? {
                Message::Close(_) => return Ok(()),
                received @ (Message::Binary(_) | Message::Text(_)) => {
                    let (channel, data) = match Frame::split(protocol, received.into_data()) {
                        Ok(parts) => parts,
                        // As upstream, what is on no channel is passed over.
                        Err(Error::Empty) => continue,
                        Err(error) => return Err(error),
                    };
                    if let Some(input) = inputs.get(usize::from(channel / 2))
                        && channel % 2 == 0
                    {
                        // The port's own end closed: what still comes for it goes nowhere.
                        let _ = input.send(data).await;
                    }
                }
                _ => {}
            }
        }
        Ok::<(), Error>(())
    };
    let output = async {
        while let Some((channel, data)) = messages.recv().await {
            sink.send(message(protocol, channel, &data)).await?;
        }
        // A peer that is gone needs no closing handshake.
        goodbye(&mut sink).await;
        Ok::<(), Error>(())
    };
    let copying = async { tokio::join!(futures::future::join_all(pipes), output).1 };
    tokio::select! {
        biased;
        left = input => left,
        done = copying => done,
    }
}

/// Copies between one connection and its channels.
async fn pipe<D: AsyncRead + AsyncWrite + Send + Unpin>(
    connection: BoxFuture<'static, Result<D, String>>,
    mut data: mpsc::Receiver<Bytes>,
    index: u8,
    out: mpsc::Sender<(u8, Bytes)>,
) {
    let connection = match connection.await {
        Ok(connection) => connection,
        Err(why) => {
            // Nobody is left to tell when this fails.
            let _ = out.send((2 * index + 1, why.into())).await;
            return;
        }
    };
    let (mut reader, mut writer) = tokio::io::split(connection);
    let up = async {
        while let Some(bytes) = data.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0u8; 32 * 1024];
        while let Ok(n @ 1..) = reader.read(&mut buffer).await {
            if out
                .send((2 * index, Bytes::copy_from_slice(&buffer[..n])))
                .await
                .is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = up => {}
        () = down => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::WebSocketStream;

    #[tokio::test]
    async fn bytes_go_both_ways_and_refusals_are_told() {
        let (near, far) = tokio::io::duplex(4096);
        let connect = |port: u16| -> BoxFuture<'static, Result<tokio::io::DuplexStream, String>> {
            Box::pin(async move {
                if port != 80 {
                    return Err("connection refused".to_owned());
                }
                let (ours, mut theirs) = tokio::io::duplex(64);
                let _ = theirs.write_all(b"hi").await;
                Ok(ours)
            })
        };
        let client = async {
            let mut socket = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
            let mut seen = Vec::new();
            while let Some(Ok(Message::Binary(data))) = socket.next().await {
                seen.push(data.to_vec());
            }
            seen.sort();
            seen
        };
        let (served, seen) = tokio::join!(forward(far, Protocol::V4, &[80, 81], &connect), client);
        served.unwrap();
        let expected: Vec<Vec<u8>> = vec![
            vec![0, 80, 0],
            b"\0hi".to_vec(),
            vec![1, 80, 0],
            vec![2, 81, 0],
            vec![3, 81, 0],
            b"\x03connection refused".to_vec(),
        ];
        assert_eq!(seen, expected);
    }
}
