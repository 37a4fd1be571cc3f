//! What cannot be, each with its code (RFC 9113).

use crate::lab::*;

const NO_ERROR: u32 = 0;
const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const COMPRESSION: u32 = 9;

fn f(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Frame {
    Frame::new(kind, flags, stream, content)
}

/// A request that is under way.
fn open() -> Frame {
    f(HEADERS, END_HEADERS, 1, &path("/never"))
}

/// One whose body has ended.
fn half() -> Frame {
    f(HEADERS, END_HEADERS | END_STREAM, 1, &path("/never"))
}

/// One that is answered and over.
fn over() -> [Frame; 2] {
    [
        f(HEADERS, END_HEADERS, 1, &path("/small")),
        f(DATA, END_STREAM, 1, &message(b"x")),
    ]
}

#[tokio::test]
async fn what_cannot_be_ends_the_connection_with_its_code() {
    let most = 2_147_483_647_u32.to_be_bytes();
    let [first, second] = over();
    let cases: Vec<(&str, u32, Vec<Frame>)> = vec![
        ("DATA of no stream", PROTOCOL, vec![f(DATA, 0, 0, b"x")]),
        ("DATA of an idle stream", PROTOCOL, vec![f(DATA, 0, 1, b"x")]),
        (
            "more padding than frame",
            PROTOCOL,
            vec![open(), f(DATA, PADDED, 1, &[9, 1])],
        ),
        (
            "padding without length",
            FRAME_SIZE,
            vec![open(), f(DATA, PADDED, 1, &[])],
        ),
        (
            "HEADERS of no stream",
            PROTOCOL,
            vec![f(HEADERS, END_HEADERS, 0, &path("/"))],
        ),
        (
            "HEADERS of an even stream",
            PROTOCOL,
            vec![f(HEADERS, END_HEADERS, 2, &path("/"))],
        ),
        (
            "HEADERS of a closed stream",
            STREAM_CLOSED,
            vec![first, second, open()],
        ),
        (
            "HEADERS that are broken",
            COMPRESSION,
            vec![f(HEADERS, END_HEADERS, 1, &[0x80])],
        ),
        (
            "HEADERS too short for priority",
            FRAME_SIZE,
            vec![f(HEADERS, END_HEADERS | 32, 1, &[0, 0])],
        ),
        (
            "a frame within headers",
            PROTOCOL,
            vec![f(HEADERS, 0, 1, &path("/")), f(PING, 0, 0, &[0; 8])],
        ),
        (
            "an unknown frame within headers",
            PROTOCOL,
            vec![f(HEADERS, 0, 1, &path("/")), f(99, 0, 0, &[])],
        ),
        (
            "CONTINUATION of another stream",
            PROTOCOL,
            vec![f(HEADERS, 0, 1, &path("/")), f(CONTINUATION, END_HEADERS, 3, &[])],
        ),
        (
            "CONTINUATION of nothing",
            PROTOCOL,
            vec![f(CONTINUATION, END_HEADERS, 1, &[])],
        ),
        (
            "PRIORITY of no stream",
            PROTOCOL,
            vec![f(PRIORITY, 0, 0, &[0; 5])],
        ),
        (
            "RST_STREAM of no stream",
            PROTOCOL,
            vec![f(RST_STREAM, 0, 0, &[0; 4])],
        ),
        (
            "RST_STREAM of an idle stream",
            PROTOCOL,
            vec![f(RST_STREAM, 0, 7, &[0; 4])],
        ),
        (
            "RST_STREAM of a wrong size",
            FRAME_SIZE,
            vec![open(), f(RST_STREAM, 0, 1, &[0; 3])],
        ),
        ("SETTINGS of a stream", PROTOCOL, vec![f(SETTINGS, 0, 1, &[])]),
        (
            "SETTINGS of a wrong size",
            FRAME_SIZE,
            vec![f(SETTINGS, 0, 0, &[0; 5])],
        ),
        (
            "a confirmation with content",
            FRAME_SIZE,
            vec![f(SETTINGS, ACK, 0, &[0; 6])],
        ),
        (
            "ENABLE_PUSH of 2",
            PROTOCOL,
            vec![f(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2])],
        ),
        (
            "a window over the largest",
            FLOW_CONTROL,
            vec![f(SETTINGS, 0, 0, &[0, 4, 128, 0, 0, 0])],
        ),
        (
            "frames under the least",
            PROTOCOL,
            vec![f(SETTINGS, 0, 0, &[0, 5, 0, 0, 1, 0])],
        ),
        (
            "frames over the largest",
            PROTOCOL,
            vec![f(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0])],
        ),
        ("a client pushes", PROTOCOL, vec![f(PUSH_PROMISE, 0, 1, &[0; 4])]),
        ("PING of a stream", PROTOCOL, vec![f(PING, 0, 1, &[0; 8])]),
        ("PING of a wrong size", FRAME_SIZE, vec![f(PING, 0, 0, &[0; 7])]),
        ("GOAWAY of a stream", PROTOCOL, vec![f(GOAWAY, 0, 1, &[0; 8])]),
        (
            "GOAWAY of a wrong size",
            FRAME_SIZE,
            vec![f(GOAWAY, 0, 0, &[0; 7])],
        ),
        (
            "WINDOW_UPDATE of a wrong size",
            FRAME_SIZE,
            vec![f(WINDOW_UPDATE, 0, 0, &[0; 3])],
        ),
        (
            "WINDOW_UPDATE of nothing",
            PROTOCOL,
            vec![f(WINDOW_UPDATE, 0, 0, &[0; 4])],
        ),
        (
            "WINDOW_UPDATE of an idle stream",
            PROTOCOL,
            vec![f(WINDOW_UPDATE, 0, 3, &most)],
        ),
        (
            "a window that overflows",
            FLOW_CONTROL,
            vec![f(WINDOW_UPDATE, 0, 0, &most)],
        ),
        (
            "a frame that is too large",
            FRAME_SIZE,
            vec![open(), f(DATA, 0, 1, &[0; 16_385])],
        ),
    ];
    for (what, code, frames) in cases {
        let mut client = Client::new().await;
        for frame in frames {
            client.write(&frame.bytes()).await;
            if frame.kind == DATA && frame.flags == END_STREAM {
                client.answer(1).await;
            }
        }
        assert_eq!(client.end().await, code, "{what}");
    }
}

#[tokio::test]
async fn what_one_stream_does_wrong_ends_it_alone() {
    let most = 2_147_483_647_u32.to_be_bytes();
    let with = |more: &[(&str, &str)]| {
        let fields = [
            &[(":method", "POST"), (":scheme", "http"), (":path", "/never")][..],
            more,
        ]
        .concat();
        f(HEADERS, END_HEADERS, 1, &block(&fields))
    };
    let whole = |fields: &[(&str, &str)]| vec![f(HEADERS, END_HEADERS, 1, &block(fields))];
    let [first, second] = over();
    let cases: Vec<(&str, u32, Vec<Frame>)> = vec![
        (
            "DATA after the end",
            STREAM_CLOSED,
            vec![half(), f(DATA, 0, 1, b"x")],
        ),
        (
            "DATA of a closed stream",
            STREAM_CLOSED,
            vec![first, second, f(DATA, 0, 1, b"x")],
        ),
        (
            "HEADERS after the end",
            STREAM_CLOSED,
            vec![half(), f(HEADERS, END_HEADERS | END_STREAM, 1, &[])],
        ),
        (
            "HEADERS amid a body",
            PROTOCOL,
            vec![open(), f(HEADERS, END_HEADERS, 1, &block(&[("a", "b")]))],
        ),
        (
            "a pseudo-header at the end",
            PROTOCOL,
            vec![
                open(),
                f(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(":path", "/")])),
            ],
        ),
        (
            "PRIORITY of a wrong size",
            FRAME_SIZE,
            vec![open(), f(PRIORITY, 0, 1, &[0; 4])],
        ),
        (
            "a stream before itself",
            PROTOCOL,
            vec![open(), f(PRIORITY, 0, 1, &[0, 0, 0, 1, 0])],
        ),
        (
            "WINDOW_UPDATE of nothing",
            PROTOCOL,
            vec![open(), f(WINDOW_UPDATE, 0, 1, &[0; 4])],
        ),
        (
            "a window that overflows",
            FLOW_CONTROL,
            vec![open(), f(WINDOW_UPDATE, 0, 1, &most)],
        ),
        ("a name in capitals", PROTOCOL, vec![with(&[("Big", "x")])]),
        (
            "a header of a connection",
            PROTOCOL,
            vec![with(&[("connection", "close")])],
        ),
        ("a TE of something else", PROTOCOL, vec![with(&[("te", "gzip")])]),
        ("a path twice", PROTOCOL, vec![with(&[(":path", "/")])]),
        (
            "a pseudo-header too late",
            PROTOCOL,
            vec![with(&[("a", "b"), (":authority", "x")])],
        ),
        (
            "no method",
            PROTOCOL,
            whole(&[(":scheme", "http"), (":path", "/")]),
        ),
        (
            "no path",
            PROTOCOL,
            whole(&[(":method", "GET"), (":scheme", "http")]),
        ),
        (
            "no scheme",
            PROTOCOL,
            whole(&[(":method", "GET"), (":path", "/")]),
        ),
        (
            "an empty path",
            PROTOCOL,
            whole(&[(":method", "GET"), (":scheme", "http"), (":path", "")]),
        ),
        (
            "a body that is too long",
            PROTOCOL,
            vec![with(&[("content-length", "1")]), f(DATA, 0, 1, b"xx")],
        ),
        (
            "a body that is too short",
            PROTOCOL,
            vec![with(&[("content-length", "3")]), f(DATA, END_STREAM, 1, b"xx")],
        ),
    ];
    for (what, code, frames) in cases {
        let mut client = Client::new().await;
        for frame in frames {
            client.write(&frame.bytes()).await;
            if what.contains("closed") && frame.kind == DATA && frame.flags == END_STREAM {
                client.answer(1).await;
            }
        }
        let seen = client.until_now().await;
        let reset = seen.iter().find(|frame| frame.kind == RST_STREAM);
        assert_eq!(reset.map(Frame::code), Some(code), "{what}: {seen:?}");
        // The others go on.
        client.call(3, "/small", b"fine").await;
        assert_eq!(client.answer(3).await, message(b"fine"), "{what}");
    }
}

#[tokio::test]
async fn nothing_comes_after_a_reset_not_even_of_what_was_answered_before_it() {
    for frame in [f(DATA, 0, 1, b"x"), f(DATA, END_STREAM, 1, b"x")] {
        let mut client = Client::new().await;
        client.ask(1, "/bytes/1", false).await;
        assert_eq!(client.answer(1).await, [7]);
        assert_eq!(client.until_now().await, [f(RST_STREAM, 0, 1, &[0; 4])]);
        // The client may not have known of it yet.
        client.write(&frame.bytes()).await;
        assert_eq!(client.until_now().await, []);
        client.send(RST_STREAM, 0, 1, &[0; 4]).await;
        client.write(&frame.bytes()).await;
        let reset = f(RST_STREAM, 0, 1, &STREAM_CLOSED.to_be_bytes());
        assert_eq!(client.until_now().await, [reset]);
    }
}

#[tokio::test]
async fn what_comes_first_must_be_the_preface_and_settings() {
    let mut client = Client::silent(1 << 20);
    client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX").await;
    assert_eq!(client.end().await, PROTOCOL);
    let mut client = Client::silent(1 << 20);
    client.write(PREFACE).await;
    client.send(PING, 0, 0, &[0; 8]).await;
    assert_eq!(client.end().await, PROTOCOL);
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_and_what_is_unknown_is_passed_over() {
    let mut client = Client::new().await;
    client.send(99, 255, 77, b"of another protocol").await;
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        ("a", &"x".repeat(20_000)),
    ];
    let block = block(&fields);
    client.send(HEADERS, END_STREAM, 1, &block[..16_000]).await;
    client.send(CONTINUATION, END_HEADERS, 1, &block[16_000..]).await;
    let answer = client.next().await.unwrap();
    assert_eq!((answer.kind, answer.stream), (HEADERS, 1));
    assert!(answer.content.ends_with(b"431"), "{answer:?}");
    client.call(3, "/small", b"fine").await;
    assert_eq!(client.answer(3).await, message(b"fine"));
}

#[tokio::test]
async fn frames_may_be_cut_anywhere() {
    let settings = Frame::new(SETTINGS, 0, 0, &[]);
    let padded = [&[3][..], &message(b"padded"), &[0; 3]].concat();
    let head = path("/small");
    let all = [
        PREFACE.to_vec(),
        settings.bytes(),
        f(HEADERS, 0, 1, &head[..7]).bytes(),
        f(CONTINUATION, 0, 1, &head[7..9]).bytes(),
        f(CONTINUATION, END_HEADERS, 1, &head[9..]).bytes(),
        f(DATA, PADDED | END_STREAM, 1, &padded).bytes(),
        f(HEADERS, END_HEADERS, 3, &path("/small")).bytes(),
        f(DATA, 0, 3, &message(b"in parts")[..7]).bytes(),
        f(DATA, END_STREAM, 3, &message(b"in parts")[7..]).bytes(),
    ]
    .concat();
    for cut in 1..all.len() {
        let mut client = Client::silent(1 << 20);
        client.write(&all[..cut]).await;
        tokio::task::yield_now().await;
        client.write(&all[cut..]).await;
        assert_eq!(client.answer(1).await, message(b"padded"), "cut at {cut}");
        assert_eq!(client.answer(3).await, message(b"in parts"), "cut at {cut}");
    }
}

#[tokio::test]
async fn who_stops_answers_what_has_come_and_takes_no_more() {
    let mut client = Client::new().await;
    client.call(1, "/late", b"one").await;
    client.call(3, "/late", b"two").await;
    client.ask(5, "/never", true).await;
    assert_eq!(client.until_now().await, []);
    client.env.tasks.stop();
    let away = client.next().await.unwrap();
    assert_eq!(
        (away.kind, away.code(), &away.content[..4]),
        (GOAWAY, NO_ERROR, &[0, 0, 0, 5][..])
    );
    client.call(7, "/late", b"too late").await;
    assert_eq!(client.until_now().await, []);
    let late: Vec<_> = client.echo.late.lock().unwrap().drain(..).collect();
    assert_eq!(late.len(), 2);
    for (text, answering) in late {
        answering.message(|out| out.extend(&text));
    }
    assert_eq!(client.answer(1).await, message(b"one"));
    assert_eq!(client.answer(3).await, message(b"two"));
    assert_eq!(client.next().await, None);
}
