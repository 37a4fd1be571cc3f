//! Many who watch the same.

use super::{Http, WIDGETS, lines};
use crate::fixture;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What chunks of HTTP/1.1 hold, after the head.
fn unchunked(answer: &str) -> String {
    let (_, mut rest) = answer.split_once("\r\n\r\n").unwrap();
    let mut text = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let (chunk, after) = after.split_at(usize::from_str_radix(size, 16).unwrap());
        text.push_str(chunk);
        rest = after.strip_prefix("\r\n").unwrap();
    }
    text
}

#[tokio::test(start_paused = true)]
async fn watchers_are_told_together_and_a_slow_one_holds_nobody_up() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    http.make("before").await;
    let url = format!("{WIDGETS}?watch=1&resourceVersion=1&timeoutSeconds=600&allowWatchBookmarks=true");
    let (mut slow, theirs) = tokio::io::duplex(2048);
    let serving = server.clone();
    server.handler.env.tasks.spawn("test-connection", async move {
        serving.serve_stream(theirs, Vec::new()).await;
    });
    let head = format!("GET {url} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer admin\r\n\r\n");
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut watching = Vec::new();
    for _ in 0..144 {
        let mut client = Http::new(&server).await;
        let mut watch = client.send("GET", &url, &[], "").await.into_body();
        assert_eq!(lines(&mut watch, 1).await.len(), 1);
        watching.push((client, watch));
    }
    let tasks = || server.choir.sizes();
    assert_eq!(tasks(), [128, 17], "all were told what there was");
    for number in 0..50 {
        http.make(&format!("w-{number}")).await;
    }
    http.make("last").await;
    for (_, watch) in &mut watching {
        let told = lines(watch, 51).await;
        assert_eq!(told.len(), 51);
        assert!(told[0].contains(r#""name":"w-0""#) && told[50].contains(r#""name":"last""#));
    }
    let mut text = Vec::new();
    let is_last = |text: &[u8]| {
        let shown = String::from_utf8_lossy(text);
        shown.contains(r#""name":"last""#) && shown.ends_with("\n\r\n")
    };
    while !is_last(&text) {
        let read = tokio::time::timeout(Duration::from_secs(5), slow.read_buf(&mut text)).await;
        assert!(read.expect("more comes").unwrap() > 0);
    }
    let told = unchunked(&String::from_utf8(text).unwrap());
    let names = told.lines().map(|line| line.split(r#""name":""#).nth(1).unwrap());
    let names: Vec<&str> = names.map(|rest| rest.split('"').next().unwrap()).collect();
    let numbers = (0..50).map(|number| format!("w-{number}"));
    let expected: Vec<String> = ["before".to_owned()]
        .into_iter()
        .chain(numbers)
        .chain(["last".to_owned()])
        .collect();
    assert_eq!(names, expected);
    // Something else changes: a bookmark for all, then their end, after which their connections go on.
    let other = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"other"}}"#;
    assert_eq!(http.ask("POST", "/api/v1/namespaces", &[], other).await.code, 201);
    for (_, watch) in &mut watching {
        assert!(lines(watch, 1).await[0].contains(r#""type":"BOOKMARK""#));
    }
    for (mut client, mut watch) in watching {
        while watch_frame(&mut watch).await {}
        assert_eq!(client.get("/version").await.code, 200);
    }
    drop(slow);
    // The other connection was idle for too long.
    Http::new(&server).await.make("nobody").await;
    assert_eq!(tasks(), [0; 0]);
}

/// Whether more comes.
async fn watch_frame(watch: &mut hyper::body::Incoming) -> bool {
    use http_body_util::BodyExt;
    watch.frame().await.transpose().unwrap().is_some()
}
