//! Connections that ask for too much, too slowly, or not at all; and their end.

use super::{Http, WIDGETS, lines};
use crate::{Limits, Server, fixture, http::Caller};
use bytes::Bytes;
use component::{Env, Tasks};
use flate2::{Compression, write::GzEncoder};
use futures::FutureExt;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{io::Write, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// A server of the small table with these limits.
async fn server(limits: Limits) -> (Arc<Server>, Env) {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(Env {
        tasks: Tasks::new(),
        ..env.clone()
    });
    let mut config = fixture::config(store.unwrap(), fixture::small_table(), fixture::no_nodes());
    config.limits = limits;
    let server = Server::start(config, env.clone()).await.unwrap();
    server.bootstrap().await.unwrap();
    (server, env)
}

/// A connection over a network.
fn connect(server: &Arc<Server>) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(4 << 20);
    let (serving, caller) = (server.clone(), Some(Caller(Ipv4Addr::LOCALHOST.into())));
    server
        .life
        .spawn(async move { serving.serve_from(theirs, Vec::new(), caller).await });
    ours
}

type Http2 = http2::SendRequest<Full<Bytes>>;

/// The same over HTTP/2. The receiver hears of its end.
async fn connect2(server: &Arc<Server>) -> (Http2, tokio::sync::oneshot::Receiver<hyper::Result<()>>) {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(connect(server)))
        .await
        .unwrap();
    let (end, ended) = tokio::sync::oneshot::channel();
    Tasks::new().spawn("test-client", async move {
        let _ = end.send(connection.await);
    });
    (sender, ended)
}

fn get(url: &str) -> Request<Full<Bytes>> {
    let request = Request::get(format!("http://test{url}")).header("authorization", "Bearer admin");
    request.body(Full::default()).unwrap()
}

/// All that comes until the end, and after how many seconds that is.
async fn rest(env: &Env, stream: &mut DuplexStream) -> (String, u64) {
    let (start, mut all) = (env.clock.now(), Vec::new());
    let _ = stream.read_to_end(&mut all).await;
    let text = String::from_utf8_lossy(&all).into_owned();
    (text, (env.clock.now() - start).as_secs())
}

#[tokio::test(start_paused = true)]
async fn heads_are_not_too_large_nor_too_slow() {
    let (server, env) = server(Limits::default()).await;
    let mut large = connect(&server);
    let head = format!(
        "GET / HTTP/1.1\r\nhost: test\r\nx-large: {}\r\n\r\n",
        "x".repeat(2 << 20)
    );
    let _ = large.write_all(head.as_bytes()).await;
    let (answer, _) = rest(&env, &mut large).await;
    assert!(
        answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large"),
        "{answer}"
    );
    let mut fits = connect(&server);
    let head = format!(
        "GET /version HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-large: {}\r\n{}\r\n",
        "x".repeat(900 << 10),
        (0..200)
            .map(|at| format!("impersonate-extra-{at}: x\r\n"))
            .collect::<String>()
    );
    fits.write_all(head.as_bytes()).await.unwrap();
    let (answer, _) = rest(&env, &mut fits).await;
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    assert!(!answer.starts_with("HTTP/1.1 431"), "{answer}");
    let mut slow = connect(&server);
    slow.write_all(b"GET / HTTP/1.1\r\nhost: te").await.unwrap();
    assert_eq!(rest(&env, &mut slow).await.1, 32);
    let mut mute = connect(&server);
    assert_eq!(rest(&env, &mut mute).await, (String::new(), 32));
}

#[tokio::test(start_paused = true)]
async fn what_clients_pack_is_not_unpacked() {
    let (server, _env) = server(Limits::default()).await;
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..64 {
        packer.write_all(&spaces).unwrap();
    }
    let bomb = packer.finish().unwrap();
    let one = r#"{"apiVersion":"test.io/v1","kind":"Widget","metadata":{"name":"one"}}"#;
    let made = Http::new(&server).await.ask("POST", WIDGETS, &[], one).await;
    assert_eq!(made.code, 201, "{}", made.text);
    for (method, kind) in [
        ("POST", "application/json"),
        ("POST", "application/yaml"),
        ("POST", "application/vnd.kubernetes.protobuf"),
        ("PATCH", "application/merge-patch+json"),
        ("PATCH", "application/apply-patch+yaml"),
    ] {
        let mut stream = connect(&server);
        let name = if method == "PATCH" {
            "/one?fieldManager=me"
        } else {
            ""
        };
        let head = format!(
            "{method} {WIDGETS}{name} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer admin\r\nconnection: close\r\n\
             content-encoding: gzip\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            bomb.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&bomb).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{method} {kind}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn between_requests_there_is_more_time_than_for_a_head() {
    let (server, env) = server(Limits::default()).await;
    let request = b"GET /livez HTTP/1.1\r\nhost: test\r\nauthorization: Bearer admin\r\n\r\n";
    let mut stream = connect(&server);
    let mut answer = vec![0; 4096];
    for pause in [0, 31, 85, 89] {
        env.clock.sleep(Duration::from_secs(pause)).await;
        stream.write_all(request).await.unwrap();
        let length = stream.read(&mut answer).await.unwrap();
        assert!(
            answer[..length].starts_with(b"HTTP/1.1 200 OK"),
            "after {pause} s"
        );
    }
    assert_eq!(rest(&env, &mut stream).await, (String::new(), 90));
    let mut stream = connect(&server);
    stream.write_all(request).await.unwrap();
    let length = stream.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200 OK"));
    env.clock.sleep(Duration::from_secs(50)).await;
    // A head that comes bit by bit has no more time for that.
    stream.write_all(&request[..10]).await.unwrap();
    env.clock.sleep(Duration::from_secs(20)).await;
    stream.write_all(&request[10..20]).await.unwrap();
    assert_eq!(rest(&env, &mut stream).await, (String::new(), 12));
}

#[tokio::test(start_paused = true)]
async fn idle_connections_end() {
    let (server, env) = server(Limits::default()).await;
    let (mut sender, ended) = connect2(&server).await;
    let watch = get(&format!("{WIDGETS}?watch=1&resourceVersion=1&timeoutSeconds=600"));
    let watch = sender.send_request(watch).await.unwrap();
    let start = env.clock.now();
    assert!(
        watch.into_body().collect().await.is_ok(),
        "one with a watch is not idle"
    );
    assert_eq!((env.clock.now() - start).as_secs(), 600);
    assert!(ended.await.unwrap().is_ok());
    assert_eq!((env.clock.now() - start).as_secs(), 690);
}

#[tokio::test(start_paused = true)]
async fn streams_of_a_connection_are_so_many() {
    let limits = Limits {
        streams: 2,
        ..Limits::default()
    };
    let (server, env) = server(limits).await;
    let (mut sender, _ended) = connect2(&server).await;
    // The client knows the limit after the first answer.
    sender
        .send_request(get("/version"))
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    let url = format!("{WIDGETS}?watch=1&resourceVersion=1&timeoutSeconds=60");
    let first = sender.send_request(get(&url)).await.unwrap();
    let second = sender.send_request(get(&url)).await.unwrap();
    let mut third = sender.send_request(get("/version")).boxed();
    let waits = env.clock.timeout(Duration::from_secs(5), &mut third).await;
    assert!(waits.is_none(), "it waits for a stream");
    drop(first);
    assert_eq!(third.await.unwrap().status(), 200);
    drop(second);
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test(start_paused = true)]
async fn who_resets_streams_all_the_time_is_cut_off() {
    let (server, env) = server(Limits::default()).await;
    let mut rapid = connect(&server);
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    flood.extend(frame(4, 0, 0, &[]));
    for stream in (1..2000).step_by(2) {
        // GET http://test/, ended; and taken back (CANCEL).
        flood.extend(frame(1, 5, stream, b"\x82\x86\x84\x41\x04test"));
        flood.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    rapid.write_all(&flood).await.unwrap();
    let (start, mut all) = (env.clock.now(), Vec::new());
    let _ = rapid.read_to_end(&mut all).await;
    // GOAWAY with ENHANCE_YOUR_CALM.
    let goaway = |frame: &[u8]| frame[..6] == [7, 0, 0, 0, 0, 0] && frame[10..] == [0, 0, 0, 11];
    assert!(all.windows(14).any(goaway), "{all:?}");
    assert!((env.clock.now() - start).as_secs() < 1, "at once");
    assert_eq!(
        Http::new(&server).await.get("/version").await.code,
        200,
        "others are served"
    );
}

#[tokio::test(start_paused = true)]
async fn connections_are_sent_elsewhere_by_chance() {
    let limits = Limits {
        goaway_chance: 1.0,
        ..Limits::default()
    };
    let (server, _env) = server(limits).await;
    let (mut sender, ended) = connect2(&server).await;
    let watch = get(&format!("{WIDGETS}?watch=1&timeoutSeconds=60"));
    let watch = sender.send_request(watch).await.unwrap();
    assert!(
        watch.into_body().collect().await.is_ok(),
        "what is under way goes on"
    );
    assert!(ended.await.unwrap().is_ok());
    let mut http = Http::new(&server).await;
    assert_eq!(
        [http.get("/version").await.code, http.get("/version").await.code],
        [200, 200]
    );
}

#[tokio::test(start_paused = true)]
async fn watches_that_name_no_time_last_once_to_twice_the_least() {
    let limits = Limits {
        min_request_timeout: Duration::from_secs(100),
        ..Limits::default()
    };
    let (server, env) = server(limits).await;
    let mut lasted = Vec::new();
    for _ in 0..8 {
        let mut http = Http::new(&server).await;
        let start = env.clock.now();
        let watch = http.send("GET", &format!("{WIDGETS}?watch=1"), &[], "").await;
        watch.into_body().collect().await.unwrap();
        lasted.push((env.clock.now() - start).as_secs());
    }
    assert!(
        lasted.iter().all(|seconds| (100..=200).contains(seconds)),
        "{lasted:?}"
    );
    lasted.sort_unstable();
    lasted.dedup();
    assert!(lasted.len() > 4, "they do not all end at once: {lasted:?}");
}

/// A request whose body does not end yet.
async fn slow(server: &Arc<Server>) -> DuplexStream {
    let mut stream = connect(server);
    let body = r#"{"apiVersion":"test.io/v1","kind":"Widget","metadata":{"name":"slow"}}"#;
    let head = format!(
        "POST {WIDGETS} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer admin\r\ncontent-length: {}\r\n\r\n{body}",
        body.len() + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_answers_what_is_under_way() {
    let limits = Limits {
        shutdown_delay: Duration::from_secs(20),
        shutdown_retry_after: true,
        ..Limits::default()
    };
    let (server, env) = server(limits).await;
    let mut under_way = slow(&server).await;
    let (mut sender, ended) = connect2(&server).await;
    let watch = sender
        .send_request(get(&format!("{WIDGETS}?watch=1")))
        .await
        .unwrap();
    let mut watch = watch.into_body();
    let second = |n: u64| env.clock.sleep(Duration::from_secs(n));
    second(1).await;
    env.tasks.stop();
    second(10).await;
    let status =
        async |sender: &mut Http2, url: &str| sender.send_request(get(url)).await.unwrap().status().as_u16();
    assert_eq!(
        [
            status(&mut sender, "/readyz").await,
            status(&mut sender, "/livez").await
        ],
        [500, 200]
    );
    let (mut other, _other_ended) = connect2(&server).await;
    assert_eq!(
        status(&mut other, WIDGETS).await,
        200,
        "it serves until others know that it stops"
    );
    second(12).await;
    let (mut late, late_ended) = connect2(&server).await;
    let told = late.send_request(get(WIDGETS)).await.unwrap();
    assert_eq!(
        (told.status().as_u16(), &told.headers()["retry-after"]),
        (429, &http::HeaderValue::from_static("5"))
    );
    let text = told.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "The apiserver is shutting down, please try again later.\n");
    assert!(late_ended.await.unwrap().is_ok(), "its connection ends");
    assert_eq!(
        status(&mut other, "/livez").await,
        200,
        "who looks after it is answered"
    );
    under_way.write_all(b"\n").await.unwrap();
    let frames = lines(&mut watch, 1).await;
    assert!(
        frames[0].contains(r#""name":"slow""#),
        "the watch goes on: {frames:?}"
    );
    let mut answer = vec![0; 4096];
    let length = under_way.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 201 Created"));
    assert!(watch.collect().await.is_ok(), "and ends as it should");
    assert!(ended.await.unwrap().is_ok());
    assert!(env.tasks.drain(Duration::from_secs(60)).await);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_takes_no_more_connections() {
    let (server, env) = server(Limits::default()).await;
    let (mut sender, ended) = connect2(&server).await;
    let watch = sender
        .send_request(get(&format!("{WIDGETS}?watch=1")))
        .await
        .unwrap();
    // One that never ends is cut off in the end.
    let mut stuck = slow(&server).await;
    env.clock.sleep(Duration::from_secs(1)).await;
    let start = env.clock.now();
    env.tasks.stop();
    assert!(watch.into_body().collect().await.is_ok());
    assert!(ended.await.unwrap().is_ok());
    let (answer, _) = rest(&env, &mut stuck).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(env.tasks.drain(Duration::from_secs(60)).await);
    assert_eq!((env.clock.now() - start).as_secs(), 59);
}
