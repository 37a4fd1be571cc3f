//! What is only read, such as logs, over a WebSocket: one message a piece.

use crate::{Error, GOODBYE, command::goodbye, handshake::Coding};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use component::Clock;
use futures::{SinkExt, Stream, StreamExt};
use std::{io, pin::pin};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

/// Writes `pieces` over `io`, upgraded already, until they end or the other end leaves. What the other end says is
/// passed over.
pub async fn output<S>(
    io: S,
    coding: Coding,
    pieces: impl Stream<Item = io::Result<Bytes>>,
    clock: &Clock,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut source) = crate::socket(io, Role::Server).await.split();
    let left = async {
        while let Some(message) = source.next().await {
            if message?.is_close() {
                break;
            }
        }
        Ok::<(), Error>(())
    };
    let talk = async {
        // That the connection stands is told by an empty message.
        sink.send(message(coding, Bytes::new())).await?;
        let mut pieces = pin!(pieces);
        while let Some(piece) = pieces.next().await {
            sink.send(message(coding, piece?)).await?;
        }
        Ok::<(), Error>(())
    };
    let sent = tokio::select! {
        biased;
        sent = talk => sent,
        left = left => return left,
    };
    goodbye(&mut sink).await;
    // What it still sends is read, lest the connection is reset before it has read all.
    let rest = async { while let Some(Ok(_)) = source.next().await {} };
    clock.timeout(GOODBYE, rest).await;
    sent
}

fn message(coding: Coding, data: Bytes) -> Message {
    match coding {
        Coding::Binary => Message::Binary(data),
        Coding::Base64 => Message::Text(BASE64.encode(data).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn messages(coding: Coding) -> Vec<Message> {
        let (near, far) = tokio::io::duplex(1 << 10);
        let pieces = futures::stream::iter(["one\n", "two"].map(|piece| Ok(Bytes::from(piece))));
        let read = async {
            let mut client = crate::socket(near, Role::Client).await;
            client
                .send(Message::Text("nobody reads this".into()))
                .await
                .unwrap();
            let mut messages = Vec::new();
            while let Some(Ok(message)) = client.next().await {
                messages.push(message);
            }
            messages
        };
        let clock = component::Env::simulated(1).clock;
        let (sent, read) = tokio::join!(output(far, coding, pieces, &clock), read);
        sent.unwrap();
        read
    }

    #[tokio::test(start_paused = true)]
    async fn output_is_messages_and_a_close() {
        let read = messages(Coding::Binary).await;
        let data: Vec<Bytes> = read.iter().map(|message| message.clone().into_data()).collect();
        assert_eq!(data[..3], [Bytes::new(), "one\n".into(), "two".into()]);
        assert!(read[0].is_binary() && read[3].is_close(), "{read:?}");
        let read = messages(Coding::Base64).await;
        assert_eq!(read[1], Message::Text("b25lCg==".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_leaves_ends_it() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let clock = component::Env::simulated(1).clock;
        let endless = futures::stream::pending();
        let leave = async {
            let mut client = crate::socket(near, Role::Client).await;
            client.next().await.unwrap().unwrap();
            client.close(None).await.unwrap();
        };
        let (ended, ()) = tokio::join!(output(far, Coding::Binary, endless, &clock), leave);
        ended.unwrap();
    }
}
