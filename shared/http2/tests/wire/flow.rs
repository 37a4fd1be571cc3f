//! Windows, both ways.

use crate::lab::*;

const INITIAL_WINDOW_SIZE: u16 = 4;

fn window(frames: &[Frame], stream: u32) -> usize {
    let sizes = frames
        .iter()
        .filter(|frame| frame.kind == WINDOW_UPDATE && frame.stream == stream);
    sizes
        .map(|frame| u32::from_be_bytes(frame.content[..].try_into().unwrap()) as usize)
        .sum()
}

fn data(frames: &[Frame], stream: u32) -> usize {
    let parts = frames
        .iter()
        .filter(|frame| frame.kind == DATA && frame.stream == stream);
    parts.map(|frame| frame.content.len()).sum()
}

#[tokio::test]
async fn answers_come_a_byte_at_a_time_if_that_is_the_window() {
    let mut client = Client::with(&[(INITIAL_WINDOW_SIZE, 1)]).await;
    client.call(1, "/small", b"small").await;
    client.ask(3, "/bytes/7", true).await;
    let mut seen = Vec::new();
    while data(&seen, 1) < 1 || data(&seen, 3) < 1 {
        seen.push(client.next().await.unwrap());
    }
    while data(&seen, 1) < 10 || data(&seen, 3) < 7 {
        let (one, three) = (data(&seen, 1), data(&seen, 3));
        for stream in [1, 3] {
            client.send(WINDOW_UPDATE, 0, stream, &1_u32.to_be_bytes()).await;
        }
        while data(&seen, 1) < (one + 1).min(10) || data(&seen, 3) < (three + 1).min(7) {
            seen.push(client.next().await.unwrap());
        }
    }
    assert!(
        seen.iter()
            .all(|frame| frame.kind != DATA || frame.content.len() <= 1)
    );
}

#[tokio::test]
async fn settings_move_the_windows_of_streams_that_there_are() {
    let mut client = Client::with(&[(INITIAL_WINDOW_SIZE, 10)]).await;
    client.ask(1, "/bytes/30", true).await;
    let mut seen = Vec::new();
    while data(&seen, 1) < 10 {
        seen.push(client.next().await.unwrap());
    }
    // Ten less than nothing is left, and then five more than nothing.
    client.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await;
    client.send(WINDOW_UPDATE, 0, 1, &10_u32.to_be_bytes()).await;
    assert_eq!(data(&client.until_now().await, 1), 0);
    client.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 5]).await;
    let mut seen = Vec::new();
    while data(&seen, 1) < 5 {
        seen.push(client.next().await.unwrap());
    }
    assert_eq!(data(&client.until_now().await, 1), 0);
    client.send(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).await;
    assert_eq!(client.answer(1).await.len(), 15);
}

#[tokio::test]
async fn the_window_of_the_connection_is_shared_in_turn() {
    let mut client = Client::with(&[(INITIAL_WINDOW_SIZE, 1 << 30)]).await;
    for stream in [1, 3, 5] {
        client.ask(stream, "/bytes/100000", true).await;
    }
    let mut seen = Vec::new();
    while [1, 3, 5].iter().map(|stream| data(&seen, *stream)).sum::<usize>() < 65_535 {
        seen.push(client.next().await.unwrap());
    }
    assert_eq!(data(&client.until_now().await, 1), 0);
    client.send(WINDOW_UPDATE, 0, 0, &300_000_u32.to_be_bytes()).await;
    let mut ended = 0;
    while ended < 3 {
        let frame = client.next().await.unwrap();
        ended += usize::from(frame.kind == DATA && frame.flags & END_STREAM != 0);
        seen.push(frame);
    }
    for stream in [1, 3, 5] {
        assert_eq!(data(&seen, stream), 100_000);
    }
}

#[tokio::test]
async fn a_body_may_come_as_fast_as_it_is_read() {
    let mut client = Client::new().await;
    client
        .send(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())
        .await;
    client.ask(1, "/echo", false).await;
    client
        .send(WINDOW_UPDATE, 0, 1, &(1_u32 << 30).to_be_bytes())
        .await;
    let (mut allowed, mut sent, mut seen) = (1 << 20, 0, 0);
    // Twice the window.
    while sent < 2 << 20 {
        while allowed >= 16_384 && sent < 2 << 20 {
            client.send(DATA, 0, 1, &[1; 16_384]).await;
            (allowed, sent) = (allowed - 16_384, sent + 16_384);
            let frames = client.until_now().await;
            seen += data(&frames, 1);
            allowed += window(&frames, 1);
        }
        if allowed < 16_384 {
            let frame = client.next().await.unwrap();
            seen += data(std::slice::from_ref(&frame), 1);
            allowed += window(&[frame], 1);
        }
    }
    client.send(DATA, END_STREAM, 1, &[]).await;
    assert_eq!(seen + client.answer(1).await.len(), 2 << 20);
}

#[tokio::test]
async fn a_body_that_nobody_reads_stops_at_its_window() {
    let mut client = Client::new().await;
    client.ask(1, "/never", false).await;
    for _ in 0..64 {
        client.send(DATA, 0, 1, &[1; 16_384]).await;
    }
    // Who was asked holds the request, and does not read it.
    let seen = client.until_now().await;
    assert_eq!(window(&seen, 1), 0);
    client.send(DATA, 0, 1, &[1]).await;
    let seen = client.until_now().await;
    let reset = seen.iter().find(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!(reset.code(), 3);
}

#[tokio::test]
async fn a_large_call_may_be_larger_than_the_window() {
    let mut client = Client::new().await;
    let text = vec![b'x'; (1 << 20) - 5];
    client.ask(1, "/late", false).await;
    let whole = message(&text);
    let mut seen = Vec::new();
    for part in whole.chunks(16_384) {
        client.send(DATA, 0, 1, part).await;
        seen.extend(client.until_now().await);
    }
    assert!(window(&seen, 1) >= 1 << 19);
    client.send(DATA, END_STREAM, 1, &[]).await;
    assert_eq!(client.until_now().await, []);
    let late = client.echo.late.lock().unwrap().pop().unwrap();
    assert!(late.0 == text);
}
