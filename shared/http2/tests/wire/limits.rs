//! Clients that want memory or work without end.

use crate::lab::*;
use futures::FutureExt;
use tokio::io::AsyncWriteExt;

const REFUSED_STREAM: u32 = 7;
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

/// Sends what is said of each stream until one is refused: which.
async fn refused(client: &mut Client, from: u32, mut say: impl FnMut(u32) -> Vec<Frame>) -> u32 {
    for number in from..100_000 {
        let stream = number * 2 + 1;
        let bytes: Vec<u8> = say(stream).iter().flat_map(Frame::bytes).collect();
        client.write(&bytes).await;
        if number % 64 == 0 {
            let seen = client.until_now().await;
            if let Some(reset) = seen.iter().find(|frame| frame.kind == RST_STREAM) {
                assert_eq!(reset.code(), REFUSED_STREAM);
                return reset.stream / 2;
            }
            assert!(seen.iter().all(|frame| frame.kind == WINDOW_UPDATE), "{seen:?}");
        }
    }
    panic!("none was refused");
}

#[tokio::test]
async fn requests_under_way_are_bounded_in_all() {
    let begin = |stream| {
        let begun = [&[0][..], &(1_u32 << 20).to_be_bytes(), &[7; 1000]].concat();
        vec![
            Frame::new(HEADERS, END_HEADERS, stream, &path("/small")),
            Frame::new(DATA, 0, stream, &begun),
        ]
    };
    let mut client = Client::with(&[(4, 1 << 22)]).await;
    client
        .send(WINDOW_UPDATE, 0, 0, &(1_u32 << 22).to_be_bytes())
        .await;
    let fit = refused(&mut client, 0, begin).await;
    assert!((100..128).contains(&fit), "{fit} messages of 1 MiB");
    // What is whole and answered, or reset, makes room again.
    let first = vec![7; (1 << 20) - 1000];
    for part in first.chunks(1 << 14) {
        let last = if part.len() < 1 << 14 { END_STREAM } else { 0 };
        client.send(DATA, last, 1, part).await;
    }
    assert_eq!(client.answer(1).await.len(), 5 + (1 << 20));
    client.call(2001, "/small", b"again").await;
    assert_eq!(client.answer(2001).await, message(b"again"));
    client.send(RST_STREAM, 0, 3, &8_u32.to_be_bytes()).await;
    let more = refused(&mut client, 2000, begin).await;
    assert!((2001..2004).contains(&more), "{more}");
}

#[tokio::test]
async fn heads_and_whole_messages_are_bounded_too() {
    let mut client = Client::new().await;
    // One field goes into the table, and is named three times by each.
    let mut large = path("/never");
    large.extend([0x40, 1, b'a', 127, 0x81, 0x1e]);
    large.extend([b'x'; 4000 - 32]);
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &large).await;
    let named = [path("/never"), vec![0xbe; 4]].concat();
    let fit = refused(&mut client, 1, |stream| {
        vec![Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, &named)]
    });
    let fit = fit.await;
    assert!((7000..9000).contains(&fit), "{fit} heads of 16 KB");
    let mut client = Client::new().await;
    let whole = message(&[7; 16_000]);
    let fit = refused(&mut client, 0, |stream| {
        vec![
            Frame::new(HEADERS, END_HEADERS, stream, &path("/late")),
            Frame::new(DATA, END_STREAM, stream, &whole),
        ]
    });
    let fit = fit.await;
    assert!((7000..9000).contains(&fit), "{fit} messages of 16 KB");
    // All that fit are answered.
    let late = std::mem::take(&mut *client.echo.late.lock().unwrap());
    assert_eq!(late.len(), fit as usize);
    for (_, answering) in late {
        answering.message(|out| out.push(7));
    }
    assert_eq!(client.answer(1).await, message(&[7]));
    client.until_now().await;
    client.call(200_001, "/small", b"again").await;
    assert_eq!(client.answer(200_001).await, message(b"again"));
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
