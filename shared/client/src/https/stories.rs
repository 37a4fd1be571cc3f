//! Stories of the transport against a server on loopback.

use super::*;
use crate::{Client, WatchEvent, WatchParams};
use api::{Gvr, Key};
use component::pki::{Authority, Leaf, Purpose, Rotating, server_config};
use futures::{StreamExt, stream};
use http::{HeaderMap, Method};
use http_body_util::{StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Mutex as StdMutex,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

const PODS: Gvr = Gvr::new("", "v1", "pods");

type Answer = Response<BoxBody<Bytes, Infallible>>;

#[derive(Default)]
struct Seen {
    connections: AtomicU32,
    busy: AtomicU32,
    tokens: StdMutex<Vec<String>>,
    peers: StdMutex<Vec<usize>>,
}

fn answer(code: u16, body: &str) -> Answer {
    let body = Full::new(Bytes::from(body.to_owned())).boxed();
    Response::builder().status(code).body(body).unwrap()
}

fn pod(name: &str, version: u32) -> String {
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","resourceVersion":"{version}"}}}}"#
    )
}

/// Pieces of a watch that split lines where they like.
fn watched() -> Answer {
    let text = [
        format!(r#"{{"type":"ADDED","object":{}}}"#, pod("a", 5)),
        format!(r#"{{"type":"DELETED","object":{}}}"#, pod("a", 6)),
        r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"9"}}}"#.to_owned(),
        r#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"too old","reason":"Expired","code":410}}"#
            .to_owned(),
    ]
    .join("\n")
        + "\n";
    let pieces: Vec<_> = text
        .into_bytes()
        .chunks(17)
        .map(|c| Ok(Frame::data(Bytes::copy_from_slice(c))))
        .collect();
    Response::new(BodyExt::boxed(StreamBody::new(stream::iter(pieces))))
}

fn serve(seen: &Seen, method: &Method, path: &str, headers: &HeaderMap) -> Answer {
    if let Some(token) = headers.get("authorization") {
        seen.tokens
            .lock()
            .unwrap()
            .push(token.to_str().unwrap().to_owned());
    }
    match (method.as_str(), path) {
        ("GET", "/api/v1/namespaces/ns/pods/a") => answer(200, &pod("a", 5)),
        ("GET", "/api/v1/namespaces/ns/pods/busy") if seen.busy.fetch_add(1, Ordering::Relaxed) < 2 => {
            let mut busy = answer(429, "Too many requests, please try again later.");
            busy.headers_mut().insert("retry-after", "1".parse().unwrap());
            busy
        }
        ("GET", "/api/v1/namespaces/ns/pods/busy") => answer(200, &pod("busy", 1)),
        ("GET", "/api/v1/namespaces/ns/pods/proxy") => answer(502, "no gateway"),
        ("GET", path) if path.starts_with("/api/v1/namespaces/ns/pods?watch=true") => watched(),
        _ => answer(
            404,
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"x\" not found","reason":"NotFound","details":{"name":"x","kind":"pods"},"code":404}"#,
        ),
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, seen: Arc<Seen>) {
    seen.connections.fetch_add(1, Ordering::Relaxed);
    let service = service_fn(move |request: Request<Incoming>| {
        let path = request.uri().path_and_query().unwrap().to_string();
        let answer = serve(&seen, request.method(), &path, request.headers());
        async move { Ok::<_, Infallible>(answer) }
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// A server until `env` stops.
async fn server(env: &Env, tls: Option<rustls::ServerConfig>) -> (SocketAddr, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, tasks) = (seen.clone(), env.tasks.clone());
    let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    env.tasks.spawn("test server", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (seen, acceptor) = (told.clone(), acceptor.clone());
            tasks.spawn("test connection", async move {
                match acceptor {
                    None => speak(stream, seen).await,
                    Some(acceptor) => {
                        let Ok(stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        let chain = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
                        seen.peers.lock().unwrap().push(chain);
                        speak(stream, seen).await;
                    }
                }
            });
        }
    });
    (address, seen)
}

fn key(name: &str) -> Key {
    Key::new("ns", name)
}

fn client(endpoint: Endpoint, env: &Env) -> Client {
    Client::new(HttpsTransport::new(endpoint, env.clone()).unwrap(), "test")
}

#[tokio::test]
async fn requests_and_answers_are_read_and_counted() {
    let env = Env::system();
    let (address, seen) = server(&env, None).await;
    let client = client(
        Endpoint {
            server: format!("http://{address}/"),
            ..Endpoint::default()
        },
        &env,
    );
    let pod = client.get(&PODS, &key("a")).await.unwrap();
    assert_eq!((pod.name(), pod.resource_version()), ("a", 5));
    let missing = client.get(&PODS, &key("x")).await.unwrap_err();
    assert_eq!(
        (missing.code, missing.reason.as_str(), missing.message.as_str()),
        (404, "NotFound", r#"pods "x" not found"#)
    );
    let odd = client.get(&PODS, &key("proxy")).await.unwrap_err();
    assert_eq!((odd.code, odd.message.as_str()), (502, "no gateway"));
    assert_eq!(
        client.get(&PODS, &key("busy")).await.unwrap().name(),
        "busy",
        "asked again when the server has time"
    );
    let params = WatchParams {
        resource_version: 4,
        bookmarks: true,
        ..WatchParams::default()
    };
    let events: Vec<_> = client.watch(&PODS, "ns", params).await.unwrap().collect().await;
    assert!(matches!(&events[0], Ok(WatchEvent::Added(pod)) if pod.resource_version() == 5));
    assert!(matches!(&events[1], Ok(WatchEvent::Deleted(pod)) if pod.resource_version() == 6));
    assert!(matches!(&events[2], Ok(WatchEvent::Bookmark(9))));
    assert!(matches!(&events[3], Err(status) if status.code == 410 && status.message == "too old"));
    assert_eq!(events.len(), 4);
    assert_eq!(
        seen.connections.load(Ordering::Relaxed),
        1,
        "one connection serves all"
    );
    let mut told = String::new();
    env.metrics.write(&mut told);
    for (code, count) in [(200, 3), (404, 1), (429, 2), (502, 1)] {
        let line = format!(
            "rest_client_requests_total{{code=\"{code}\",host=\"{address}\",method=\"GET\"}} {count}\n"
        );
        assert!(told.contains(&line), "{line} is not in {told}");
    }
    let line = format!("rest_client_request_duration_seconds_count{{host=\"{address}\",verb=\"GET\"}} 7\n");
    assert!(told.contains(&line), "{line} is not in {told}");
    env.tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let env = Env::system();
    let first = env.child();
    let (address, _) = server(&first, None).await;
    let client = client(
        Endpoint {
            server: format!("http://{address}"),
            ..Endpoint::default()
        },
        &env,
    );
    client.get(&PODS, &key("a")).await.unwrap();
    assert!(
        first.tasks.drain(Duration::from_secs(5)).await,
        "the server stops"
    );
    let gone = client.get(&PODS, &key("a")).await.unwrap_err();
    assert!([503, 504].contains(&gone.code), "{gone:?}");
    let listener = TcpListener::bind(address).await.unwrap();
    let seen = Arc::new(Seen::default());
    env.tasks.spawn("second server", async move {
        while let Ok((stream, _)) = listener.accept().await {
            speak(stream, seen.clone()).await;
        }
    });
    assert_eq!(client.get(&PODS, &key("a")).await.unwrap().name(), "a");
    env.tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn certificates_and_tokens() {
    let env = Env::system();
    let dir = tempfile::tempdir().unwrap();
    let now = env.clock.wall();
    let authority = Authority::open(dir.path(), now).unwrap();
    let purpose = Purpose::server(
        "kube-apiserver",
        vec!["kubernetes".to_owned(), "127.0.0.1".to_owned()],
    );
    let shown = Rotating::open(&authority, "server", purpose, now).unwrap();
    let config = server_config(shown, authority.certificate()).unwrap();
    let (address, seen) = server(&env, Some(config)).await;
    let leaf: Leaf = authority
        .leaf("ann", &Purpose::client("ann", &["dev"]), now)
        .unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let endpoint = Endpoint {
        server: format!("https://{address}"),
        ca: authority.certificate().to_owned(),
        leaf: Some(leaf),
        credential: Credential::TokenFile(file.clone()),
        server_name: None,
    };
    client(endpoint.clone(), &env)
        .get(&PODS, &key("a"))
        .await
        .unwrap();
    let named = Endpoint {
        leaf: None,
        credential: Credential::Token("other".to_owned()),
        server_name: Some("kubernetes".to_owned()),
        ..endpoint.clone()
    };
    client(named.clone(), &env).get(&PODS, &key("a")).await.unwrap();
    assert_eq!(*seen.peers.lock().unwrap(), [1, 0], "a certificate, then none");
    assert_eq!(*seen.tokens.lock().unwrap(), ["Bearer first", "Bearer other"]);

    let stranger = Endpoint {
        server_name: Some("elsewhere".to_owned()),
        ..named
    };
    let refused = client(stranger, &env).get(&PODS, &key("a")).await.unwrap_err();
    assert_eq!(refused.code, 503, "{refused:?}");
    let other_dir = tempfile::tempdir().unwrap();
    let other = Authority::open(other_dir.path(), now).unwrap();
    let untrusted = Endpoint {
        ca: other.certificate().to_owned(),
        ..endpoint
    };
    let refused = client(untrusted, &env).get(&PODS, &key("a")).await.unwrap_err();
    assert!(refused.message.contains("certificate"), "{refused:?}");
    env.tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn wrong_settings_are_told() {
    let env = Env::system();
    let told = |server: &str| {
        let endpoint = Endpoint {
            server: server.to_owned(),
            ..Endpoint::default()
        };
        HttpsTransport::new(endpoint, env.clone())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        told("10.0.0.1:6443"),
        r#"server "10.0.0.1:6443" is not a URL such as https://10.0.0.1:6443"#
    );
    assert_eq!(
        told("http://10.0.0.1"),
        r#"server "http://10.0.0.1": http is for loopback addresses only"#
    );
    assert!(told("ftp://10.0.0.1").contains("is not a URL"));
}
