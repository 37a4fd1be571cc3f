//! Proxying told over real HTTP: what the target is asked, and what the client sees.

use crate::{Server, fixture, http::stories::Http};
use client::{Dial, Duplex, Peer};
use component::{Clock, Env, Tasks};
use futures::{FutureExt, future::BoxFuture};
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Mutex};
use streams::{Outcome, Remote, Wanted, Wire, channel::Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const POD: &str = r#"{"metadata":{"name":"web"},"spec":{"nodeName":"n1","containers":[{"name":"c","image":"i","ports":[{"containerPort":8080}]}]}}"#;

/// Answers each request by its path, and keeps whom it was dialed as and what it was asked.
#[derive(Default, Clone)]
struct Target(Arc<Mutex<Vec<String>>>);

async fn head(stream: &mut DuplexStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn answer(mut stream: DuplexStream, heads: Arc<Mutex<Vec<String>>>) {
    let head = head(&mut stream).await;
    heads.lock().unwrap().push(head.clone());
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let said = match path.as_str() {
        "/page/" => {
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\naccess-control-allow-origin: *\r\ncontent-length: 18\r\n\r\n<a href='/b'>b</a>"
        }
        "/moved" => "HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n",
        "/up" => "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
        _ if head.starts_with("GET /exec/") => "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
        _ if head.starts_with("POST /exec/") => {
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: SPDY/3.1\r\n\r\n"
        }
        _ => "HTTP/1.1 418 I'm a teapot\r\ncontent-length: 2\r\n\r\nhm",
    };
    stream.write_all(said.as_bytes()).await.unwrap();
    if path == "/up" {
        let (mut reading, mut writing) = tokio::io::split(stream);
        let _ = tokio::io::copy(&mut reading, &mut writing).await;
    } else if head.starts_with("POST /exec/") {
        let wanted = Wanted {
            stdin: true,
            stdout: true,
            ..Wanted::default()
        };
        let clock = Clock::system();
        let served = streams::serve(stream, Wire::Spdy(4), wanted, &clock, |ends| async move {
            let mut stdin = ends.stdin.unwrap();
            while let Some(data) = stdin.recv().await {
                ends.stdout.send(data).await.unwrap();
            }
            Outcome::Exited(9)
        });
        served.await.unwrap();
    } else {
        // The body of the request, if it has one.
        let _ = stream.read(&mut [0; 64]).await;
    }
}

impl Dial for Target {
    fn dial(&self, peer: &Peer) -> BoxFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        let heads = self.0.clone();
        heads.lock().unwrap().push(format!("{peer:?}"));
        async {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            Tasks::new().spawn("target", answer(theirs, heads));
            Ok(Box::new(ours) as Box<dyn Duplex>)
        }
        .boxed()
    }

    fn trusted(&self, _: &Peer) -> bool {
        true
    }
}

async fn start() -> (Arc<Server>, Env, Target) {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let target = Target::default();
    let rows = resources::table().to_vec();
    let server = fixture::start(store, rows, Arc::new(target.clone()), &env).await;
    let mut http = Http::new(&server).await;
    let account = r#"{"metadata":{"name":"default"}}"#;
    let made = http
        .ask("POST", "/api/v1/namespaces/default/serviceaccounts", &[], account)
        .await;
    assert_eq!(made.code, 201, "{}", made.text);
    let made = http
        .ask("POST", "/api/v1/namespaces/default/pods", &[], POD)
        .await;
    assert_eq!(made.code, 201, "{}", made.text);
    (server, env, target)
}

async fn with_address(http: &mut Http, ip: &str) {
    let kind = [("content-type", "application/merge-patch+json")];
    let patch = format!(r#"{{"status":{{"podIP":"{ip}","podIPs":[{{"ip":"{ip}"}}]}}}}"#);
    let url = "/api/v1/namespaces/default/pods/web/status";
    let patched = http.ask("PATCH", url, &kind, &patch).await;
    assert_eq!(patched.code, 200, "{}", patched.text);
}

#[tokio::test(start_paused = true)]
async fn requests_are_proxied_without_who_asks() {
    let (server, _env, target) = start().await;
    let mut http = Http::new(&server).await;
    let own = "/api/v1/namespaces/default/pods/web/proxy";
    let none = http.get(&format!("{own}/")).await;
    assert!(
        none.code == 400 && none.text.contains("address not allowed"),
        "{}",
        none.text
    );
    for ip in ["127.0.0.1", "169.254.169.254"] {
        with_address(&mut http, ip).await;
        assert_eq!(http.get(&format!("{own}/")).await.code, 400, "{ip}");
    }
    assert!(target.0.lock().unwrap().is_empty());
    with_address(&mut http, "10.244.0.7").await;
    let slash = http.get(&format!("{own}?a=b")).await;
    assert_eq!(
        (slash.code, slash.headers["location"].to_str().unwrap()),
        (301, &*format!("{own}/?a=b"))
    );
    let page = http.get(&format!("{own}/page/")).await;
    assert_eq!(page.text, format!("<a href='{own}/b'>b</a>"));
    assert!(page.headers.get("access-control-allow-origin").is_none());
    let moved = http.get(&format!("{own}/moved")).await;
    assert_eq!(
        (moved.code, moved.headers["location"].to_str().unwrap()),
        (302, &*format!("{own}/there"))
    );
    let headers = [
        ("impersonate-user", "admin"),
        ("x-remote-user", "x"),
        ("te", "trailers"),
        ("x-mine", "y"),
    ];
    let put = http
        .ask("PUT", &format!("{own}/a%2Fb?watch=1"), &headers, "body")
        .await;
    assert_eq!((put.code, put.text.as_str()), (418, "hm"));
    let heads = target.0.lock().unwrap().clone();
    assert_eq!(heads[0], r#"Pod("default", "web", 8080)"#);
    let last = heads.last().unwrap();
    assert!(last.starts_with("PUT /a%2Fb?watch=1 HTTP/1.1\r\n"), "{last}");
    assert!(
        last.contains("x-mine: y") && last.contains(&format!("x-forwarded-uri: {own}/a%2Fb")),
        "{last}"
    );
    for secret in ["authorization", "impersonate", "x-remote", "te:"] {
        assert!(!last.contains(secret), "{last}");
    }
    let bad = http.get("/api/v1/namespaces/default/pods/ftp:web:1/proxy/").await;
    assert!(
        bad.text.contains(r#"invalid pod request \"ftp:web:1\""#),
        "{}",
        bad.text
    );
    let unserved = http.get("/api/v1/namespaces/default/services/web/proxy/").await;
    assert_eq!(unserved.code, 404, "{}", unserved.text);
}

#[tokio::test(start_paused = true)]
async fn upgrades_are_proxied() {
    let (server, _env, _target) = start().await;
    let mut http = Http::new(&server).await;
    with_address(&mut http, "10.244.0.7").await;
    let upgrade = [("connection", "Upgrade"), ("upgrade", "echo")];
    let url = "/api/v1/namespaces/default/pods/web:81/proxy/up";
    let response = http.send("GET", url, &upgrade, "").await;
    assert_eq!(response.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"ping").await.unwrap();
    let mut read = [0; 4];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"ping");
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_speaks_spdy_only_is_spoken_to_so() {
    let (server, _env, target) = start().await;
    let mut http = Http::new(&server).await;
    let upgrade = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "v5.channel.k8s.io"),
    ];
    let url = "/api/v1/namespaces/default/pods/web/exec?command=cat&stdin=true&stdout=true";
    let response = http.send("GET", url, &upgrade, "").await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
    let stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut remote = Remote::over(stream, Protocol::V5).await;
    let hello = streams::channel::Frame::Data(streams::channel::STDIN, "hello".into());
    remote.send(&hello).await.unwrap();
    let close = streams::channel::Frame::Close(streams::channel::STDIN);
    remote.send(&close).await.unwrap();
    let (stdout, _, outcome) = remote.collect().await.unwrap();
    assert_eq!((stdout.as_slice(), outcome), (&b"hello"[..], Outcome::Exited(9)));
    let heads = target.0.lock().unwrap().clone();
    let last = heads.last().unwrap();
    assert!(
        last.starts_with("POST /exec/default/web/c?command=cat&input=1&output=1 HTTP/1.1\r\n"),
        "{last}"
    );
    assert!(
        last.contains("x-stream-protocol-version: v4.channel.k8s.io"),
        "{last}"
    );
}
