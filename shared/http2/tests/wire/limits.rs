//! Clients that want memory or work without end.

use crate::lab::*;
use futures::FutureExt;
use http2::Limits;
use std::time::Duration;
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

/// Lets the server do all that it can.
async fn rest() {
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn answers_are_made_no_faster_than_they_are_taken() {
    const ANSWERS: u32 = 150;
    // Once the client gives leave for all and does not read, once it gives none.
    for window in [i32::MAX as u32, 0] {
        let mut client = Client::with(&[(4, window)]).await;
        let more = (1_u32 << 30).to_be_bytes();
        client.send(WINDOW_UPDATE, 0, 0, &more).await;
        for number in 0..ANSWERS {
            client.ask(number * 2 + 1, "/large/1048576", true).await;
        }
        rest().await;
        let made = *client.echo.made.lock().unwrap();
        assert!((64..70).contains(&made), "{made} answers of 1 MiB");
        // Small calls are answered beside them.
        client.send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).await;
        client.call(1001, "/small", b"small").await;
        assert_eq!(client.answer(1001).await, message(b"small"));
        let mut ended = 0;
        while *client.echo.made.lock().unwrap() < ANSWERS as usize || ended < 1 {
            let frame = client.next().await.unwrap();
            ended += usize::from(frame.kind == DATA && frame.flags & END_STREAM != 0);
        }
    }
}

#[tokio::test]
async fn who_waits_to_answer_ends_with_its_client() {
    let mut client = Client::with(&[(4, 0)]).await;
    for number in 0..100 {
        client.ask(number * 2 + 1, "/large/1048576", true).await;
    }
    rest().await;
    let made = *client.echo.made.lock().unwrap();
    let (env, echo) = (client.env.clone(), client.echo.clone());
    drop(client);
    assert!(env.tasks.drain(Duration::from_secs(60)).await);
    rest().await;
    assert_eq!(*echo.made.lock().unwrap(), made);
}

#[tokio::test]
async fn streams_together_hold_no_more_than_answers() {
    let mut client = Client::with(&[(4, 0)]).await;
    for number in 0..2000 {
        client.ask(number * 2 + 1, "/endless", true).await;
    }
    rest().await;
    let made = *client.echo.made.lock().unwrap();
    assert!((4096..4200).contains(&made), "{made} parts of 16 KiB");
    let open = (1..4000)
        .step_by(2)
        .map(|stream| Frame::new(RST_STREAM, 0, stream, &[0; 4]).bytes());
    client.write(&open.flatten().collect::<Vec<u8>>()).await;
    client.ask(9001, "/endless", true).await;
    client.send(WINDOW_UPDATE, 0, 9001, &[0, 1, 0, 0]).await;
    while client.next().await.unwrap().kind != DATA {}
}

#[tokio::test]
async fn another_window_for_many_streams_is_work() {
    let mut client = Client::new().await;
    for number in 0..10_000 {
        client.ask(number * 2 + 1, "/never", true).await;
    }
    let mut sizes = (0..2000_u32).map(|size| [&[0, 4][..], &size.to_be_bytes()].concat());
    // However often one frame says it, it is done once.
    let often = sizes.by_ref().flatten().collect::<Vec<u8>>();
    client.send(SETTINGS, 0, 0, &often).await;
    assert_eq!(client.until_now().await, [Frame::new(SETTINGS, ACK, 0, &[])]);
    let code = async {
        for size in 0..1000_u32 {
            client
                .send(SETTINGS, 0, 0, &[&[0, 4][..], &size.to_be_bytes()].concat())
                .await;
        }
        client.end().await
    };
    assert_eq!(code.await, ENHANCE_YOUR_CALM);
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_is_said() {
    let limits = Limits {
        streams: 3,
        ..Limits::default()
    };
    let mut client = Client::within(limits, &[]).await;
    for stream in [1, 3, 5, 7] {
        client.ask(stream, "/never", true).await;
    }
    let seen = client.until_now().await;
    let refused = Frame::new(RST_STREAM, 0, 7, &REFUSED_STREAM.to_be_bytes());
    assert_eq!(seen, [refused]);
    client.send(RST_STREAM, 0, 1, &[0; 4]).await;
    client.call(9, "/small", b"again").await;
    assert_eq!(client.answer(9).await, message(b"again"));
}

#[tokio::test(start_paused = true)]
async fn pings_that_come_too_soon_end_their_connection() {
    let limits = Limits {
        ping_after: Duration::from_secs(5),
        ..Limits::default()
    };
    // Pings so far apart, with a request under way or without, and whether that is too soon.
    for (apart, under_way, ends) in [
        (6, true, false),
        (4, true, true),
        (3600, false, true),
        (7201, false, false),
    ] {
        let mut client = Client::within(limits, &[]).await;
        if under_way {
            client.ask(1, "/never", true).await;
        }
        for _ in 0..4 {
            client.send(PING, 0, 0, &[0; 8]).await;
            tokio::time::sleep(Duration::from_secs(apart)).await;
        }
        if ends {
            assert_eq!(client.end().await, ENHANCE_YOUR_CALM, "{apart} s");
            continue;
        }
        client.call(3, "/small", b"fine").await;
        assert_eq!(client.answer(3).await, message(b"fine"), "{apart} s");
    }
    // Who is sent something meanwhile may ping as often.
    let mut client = Client::within(limits, &[]).await;
    for number in 0..100 {
        client.send(PING, 0, 0, &[0; 8]).await;
        client.call(number * 2 + 1, "/small", b"x").await;
        assert_eq!(client.answer(number * 2 + 1).await, message(b"x"));
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_asked_and_then_gone() {
    let limits = Limits {
        quiet: Duration::from_secs(7200),
        patience: Duration::from_secs(20),
        ..Limits::default()
    };
    let mut client = Client::within(limits, &[]).await;
    client.ask(1, "/never", true).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(7201)).await;
        let asked = client.next().await.unwrap();
        assert_eq!((asked.kind, asked.flags), (PING, 0));
        client.send(PING, ACK, 0, &asked.content).await;
    }
    tokio::time::sleep(Duration::from_secs(7201)).await;
    assert_eq!(client.next().await.unwrap().kind, PING);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(client.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn who_does_wrong_and_does_not_listen_is_not_waited_for() {
    let mut client = Client::silent(64);
    client.write(PREFACE).await;
    client.send(PING, 0, 0, &[0; 8]).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    // It has closed, without a reader of what it said.
    let wrote = client.socket.write_all(&[0; 1000]).now_or_never();
    assert!(wrote.is_some_and(|wrote| wrote.is_err()));
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
