//! Clients that want memory or work without end.

use crate::lab::*;
use futures::FutureExt;
use tokio::io::AsyncWriteExt;

const ENHANCE_YOUR_CALM: u32 = 11;

/// Sends the same frames until the server has had enough: how it said so.
async fn flood(first: &[Frame], mut next: impl FnMut(u32) -> Vec<Frame>) -> u32 {
    let mut client = Client::new().await;
    for frame in first {
        client.write(&frame.bytes()).await;
    }
    for round in 0..200_000 {
        let bytes: Vec<u8> = next(round).iter().flat_map(Frame::bytes).collect();
        if client.socket.write_all(&bytes).await.is_err() {
            break;
        }
        if round % 100 == 0 {
            let seen = client.until_now().await;
            if let Some(away) = seen.iter().find(|frame| frame.kind == GOAWAY) {
                return away.code();
            }
        }
    }
    client.end().await
}

#[tokio::test]
async fn floods_end_their_connection() {
    let open = Frame::new(HEADERS, END_HEADERS, 1, &path("/never"));
    let empty = Frame::new(DATA, 0, 1, &[]);
    let priority = Frame::new(PRIORITY, 0, 1, &[0; 5]);
    let settings = Frame::new(SETTINGS, 0, 0, &[]);
    for (what, frame) in [
        ("empty DATA", empty),
        ("PRIORITY", priority),
        ("SETTINGS", settings),
    ] {
        let code = flood(std::slice::from_ref(&open), |_| vec![frame.clone()]).await;
        assert_eq!(code, ENHANCE_YOUR_CALM, "{what}");
    }
}

#[tokio::test]
async fn rapid_resets_end_their_connection_whoever_makes_them() {
    let code = flood(&[], |round| {
        let stream = round * 2 + 1;
        vec![
            Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, &path("/never")),
            Frame::new(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ]
    });
    assert_eq!(code.await, ENHANCE_YOUR_CALM);
    // The server is made to reset them itself.
    let code = flood(&[], |round| {
        let stream = round * 2 + 1;
        vec![
            Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, &path("/never")),
            Frame::new(WINDOW_UPDATE, 0, stream, &[0; 4]),
        ]
    });
    assert_eq!(code.await, ENHANCE_YOUR_CALM);
}

#[tokio::test]
async fn headers_without_end_end_their_connection() {
    for part in [&[0; 4096][..], &[]] {
        let mut client = Client::new().await;
        client.send(HEADERS, 0, 1, &path("/small")).await;
        for _ in 0..1000 {
            client.send(CONTINUATION, 0, 1, part).await;
        }
        assert_eq!(client.end().await, ENHANCE_YOUR_CALM);
    }
}

#[tokio::test]
async fn a_block_that_swells_is_refused_as_too_large() {
    let mut client = Client::new().await;
    // One field goes into the table, and is named thousands of times.
    let mut bomb = path("/small");
    bomb.extend([0x40, 1, b'a', 127, 0x81, 0x1e]);
    bomb.extend([b'x'; 4000 - 32]);
    bomb.extend([0xbe; 10_000]);
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &bomb).await;
    let answer = client.next().await.unwrap();
    assert!(answer.content.ends_with(b"431"), "{answer:?}");
}

#[tokio::test]
async fn who_asks_and_does_not_read_is_not_read_either() {
    let mut client = Client::new().await;
    let ping = Frame::new(PING, 0, 0, &[7; 8]).bytes().repeat(1000);
    let (mut sent, mut stuck) = (0, 0);
    // Both run on one thread: the server had its turn each time.
    while stuck < 1000 {
        match client.socket.write(&ping).now_or_never() {
            Some(count) => (sent, stuck) = (sent + count.unwrap(), 0),
            None => stuck += 1,
        }
        assert!(sent < 64 << 20, "the server reads on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_slow_reader_makes_who_sends_wait() {
    let mut client = Client::with(&[(4, 0)]).await;
    client.ask(1, "/endless", true).await;
    for _ in 0..100 {
        client.until_now().await;
    }
    let made = *client.echo.made.lock().unwrap();
    assert!((4..=5).contains(&made), "{made} parts of 16 KiB wait");
    client.send(WINDOW_UPDATE, 0, 1, &50_000_u32.to_be_bytes()).await;
    let mut data = 0;
    while data < 50_000 {
        let frame = client.next().await.unwrap();
        data += if frame.kind == DATA {
            frame.content.len()
        } else {
            0
        };
    }
}

#[tokio::test]
async fn the_same_head_is_read_once() {
    let mut client = Client::new().await;
    for number in 0..100_u32 {
        client.call(number * 2 + 1, "/small", &number.to_be_bytes()).await;
        assert_eq!(
            client.answer(number * 2 + 1).await,
            message(&number.to_be_bytes())
        );
    }
    assert_eq!(*client.echo.heads.lock().unwrap(), 1);
    // What a table holds changes what blocks mean: `:path` becomes the first entry, then the second.
    let indexed = |to: &str| [&[0x83, 0x86, 0x44, to.len() as u8][..], to.as_bytes()].concat();
    client.send(HEADERS, END_HEADERS, 201, &indexed("/small")).await;
    client.send(DATA, END_STREAM, 201, &message(b"a")).await;
    assert_eq!(client.answer(201).await, message(b"a"));
    client.send(HEADERS, END_HEADERS, 203, &[0x83, 0x86, 0xbe]).await;
    client.send(DATA, END_STREAM, 203, &message(b"b")).await;
    assert_eq!(client.answer(203).await, message(b"b"));
    client
        .send(HEADERS, END_HEADERS | END_STREAM, 205, &indexed("/bytes/3"))
        .await;
    assert_eq!(client.answer(205).await, [7; 3]);
    client
        .send(HEADERS, END_HEADERS | END_STREAM, 207, &[0x83, 0x86, 0xbe])
        .await;
    assert_eq!(client.answer(207).await, [7; 3]);
}
