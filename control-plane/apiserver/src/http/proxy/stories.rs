//! Proxying told over real HTTP: what the target is asked, and what the client sees.

use crate::{Server, fixture, http::stories::Http};
use client::{Dial, Duplex, Peer};
use component::{
    Clock, Env, Tasks,
    pki::{Authority, Purpose},
};
use futures::{FutureExt, future::BoxFuture};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Mutex};
use streams::{Outcome, Remote, Wanted, Wire, channel::Protocol};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const POD: &str = r#"{"metadata":{"name":"web"},"spec":{"nodeName":"n1","containers":[{"name":"c","image":"i","ports":[{"containerPort":8080}]}]}}"#;

/// Answers each request by its path, and keeps whom it was dialed as and what it was asked.
#[derive(Default, Clone)]
struct Target(Arc<Mutex<Vec<String>>>);

/// A port of the pod that speaks TLS, with a certificate that nobody knows.
const SECURE: u16 = 8443;

fn tls() -> tokio_rustls::TlsAcceptor {
    let folder = tempfile::tempdir().unwrap();
    let now = Clock::system().wall();
    let authority = Authority::open(folder.path(), now).unwrap();
    let leaf = authority.leaf("web", &Purpose::server("web", vec!["web".to_owned()]), now);
    let (chain, key) = leaf.unwrap().der().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    tokio_rustls::TlsAcceptor::from(Arc::new(config.unwrap()))
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Writes as long as somebody takes it, and says how much that was, in MiB.
async fn endless(mut stream: impl AsyncWrite + Unpin, heads: &Mutex<Vec<String>>) {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let (piece, mut written) = ([b' '; 1 << 10], stream.write_all(head).await.map_or(0, |()| 1));
    while written < 256 << 10 && stream.write_all(&piece).await.is_ok() {
        written += 1;
    }
    heads.lock().unwrap().push(format!("{} MiB", written >> 10));
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let head = head(&mut stream).await;
    heads.lock().unwrap().push(head.clone());
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if path == "/endless" {
        return endless(stream, &heads).await;
    }
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
        let secure = matches!(peer, Peer::Pod(_, _, SECURE));
        async move {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            Tasks::new().spawn("target", async move {
                match secure {
                    true => answer(tls().accept(theirs).await.unwrap(), heads).await,
                    false => answer(theirs, heads).await,
                }
            });
            Ok(Box::new(ours) as Box<dyn Duplex>)
        }
        .boxed()
    }

    fn trusted(&self, peer: &Peer) -> bool {
        !matches!(peer, Peer::Pod(..))
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
async fn what_nobody_reads_is_not_fetched() {
    let (server, env, target) = start().await;
    let mut http = Http::new(&server).await;
    with_address(&mut http, "10.244.0.7").await;
    let url = "/api/v1/namespaces/default/pods/web/proxy/endless";
    let mut answer = http.send("GET", url, &[], "").await;
    assert!(answer.body_mut().frame().await.unwrap().is_ok());
    // All that can be done without a reader is done when time passes.
    env.clock.sleep(std::time::Duration::from_secs(1)).await;
    assert!(
        target
            .0
            .lock()
            .unwrap()
            .last()
            .unwrap()
            .starts_with("GET /endless")
    );
    drop((answer, http));
    env.clock.sleep(std::time::Duration::from_secs(1)).await;
    let last = target.0.lock().unwrap().last().cloned().unwrap();
    let written: usize = last
        .strip_suffix(" MiB")
        .expect("it is told that nobody reads")
        .parse()
        .unwrap();
    assert!(written < 16, "{last}");
}

#[tokio::test(start_paused = true)]
async fn upgrades_are_proxied() {
    let (server, _env, _target) = start().await;
    let mut http = Http::new(&server).await;
    with_address(&mut http, "10.244.0.7").await;
    let upgrade = [("connection", "Upgrade"), ("upgrade", "echo")];
    serve(&mut http).await;
    for url in [
        "/api/v1/namespaces/default/pods/web:81/proxy/up",
        "/api/v1/namespaces/default/pods/https:web:8443/proxy/up",
        "/api/v1/namespaces/default/services/https:web:https/proxy/up",
    ] {
        let mut http = Http::new(&server).await;
        let response = http.send("GET", url, &upgrade, "").await;
        assert_eq!(response.status(), 101, "{url}");
        let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        stream.write_all(b"ping").await.unwrap();
        let mut read = [0; 4];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ping", "{url}");
    }
}

/// A Service of the pod, with a port in clear and one inside TLS.
async fn serve(http: &mut Http) {
    let service = r#"{"metadata":{"name":"web"},"spec":{"ports":[{"name":"http","port":80},{"name":"https","port":443}]}}"#;
    let endpoints = r#"{"metadata":{"name":"web"},"subsets":[{"addresses":[{"ip":"10.244.0.7","targetRef":{"kind":"Pod","name":"web","namespace":"default"}}],
        "ports":[{"name":"http","port":8080},{"name":"https","port":8443}]}]}"#;
    for (kind, text) in [("services", service), ("endpoints", endpoints)] {
        let url = format!("/api/v1/namespaces/default/{kind}");
        let made = http.ask("POST", &url, &[], text).await;
        assert_eq!(made.code, 201, "{}", made.text);
    }
}

#[tokio::test(start_paused = true)]
async fn services_are_proxied_inside_tls() {
    let (server, _env, target) = start().await;
    let mut http = Http::new(&server).await;
    with_address(&mut http, "10.244.0.7").await;
    serve(&mut http).await;
    let own = "/api/v1/namespaces/default/services";
    for (id, port) in [
        ("web:80", 8080),
        ("web:http", 8080),
        ("https:web:443", 8443),
        ("https:web:https", 8443),
        ("HTTPS:web:https", 8443),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let told = http
                .ask(method, &format!("{own}/{id}/proxy/a?b=c"), &[], "")
                .await;
            assert_eq!((told.code, told.text.as_str()), (418, "hm"), "{method} {id}");
            let heads = target.0.lock().unwrap().clone();
            let [.., dialed, head] = heads.as_slice() else {
                panic!("nobody was dialed")
            };
            assert_eq!(*dialed, format!(r#"Pod("default", "web", {port})"#));
            assert!(
                head.starts_with(&format!("{method} /a?b=c HTTP/1.1\r\n")),
                "{head}"
            );
        }
    }
    let none = http.get(&format!("{own}/https:web:metrics/proxy/")).await;
    assert_eq!(none.code, 503);
    assert!(
        none.text
            .contains(r#"no endpoints available for service \"https:web:metrics\""#),
        "{}",
        none.text
    );
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
