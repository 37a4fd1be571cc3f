//! Stories told over real HTTP, on a stream in memory.

mod anything;
mod apply;
mod cbor;
mod connections;
mod operations;
mod overload;
mod protobuf;
mod surface;
mod together;

use crate::{Server, fixture};
use bytes::Bytes;
use client::{Dial, Duplex, Peer};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const WIDGETS: &str = "/apis/test.io/v1/namespaces/default/widgets";

/// A client.
pub struct Http {
    sender: http1::SendRequest<Full<Bytes>>,
}

/// An answer, whole.
pub struct Answer {
    /// Its code.
    pub code: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Http {
    /// On a connection of its own.
    pub async fn new(server: &Arc<Server>) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let serving = server.clone();
        let tasks = server.handler.env.tasks.clone();
        tasks.spawn("test-connection", async move {
            serving.serve_stream(theirs, Vec::new()).await
        });
        let (sender, connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
        tasks.spawn("test-client", async move {
            let _ = connection.with_upgrades().await;
        });
        Self { sender }
    }

    /// Sends a request.
    pub async fn send(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> http::Response<Incoming> {
        let mut request = Request::builder().method(method).uri(url).header("host", "test");
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", "Bearer admin");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        self.sender.ready().await.unwrap();
        self.sender.send_request(request).await.unwrap()
    }

    /// Sends a request and reads the answer.
    pub async fn ask(&mut self, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let response = self.send(method, url, headers, body).await;
        let (parts, body) = response.into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&text).into_owned();
        Answer {
            code: parts.status.as_u16(),
            headers: parts.headers,
            text,
        }
    }

    /// GET.
    pub async fn get(&mut self, url: &str) -> Answer {
        self.ask("GET", url, &[], "").await
    }

    async fn make(&mut self, name: &str) -> Answer {
        let body = format!(r#"{{"apiVersion":"test.io/v1","kind":"Widget","metadata":{{"name":"{name}"}}}}"#);
        self.ask("POST", WIDGETS, &[], &body).await
    }
}

async fn lines(body: &mut Incoming, count: usize) -> Vec<String> {
    let mut text = String::new();
    while text.lines().count() < count || !text.ends_with('\n') {
        let next = tokio::time::timeout(Duration::from_secs(7200), body.frame());
        let frame = next
            .await
            .expect("a frame of the watch")
            .expect("the watch goes on")
            .unwrap();
        text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    text.lines().map(str::to_owned).collect()
}

async fn openapi_v2(http: &mut Http) {
    let json = http.get("/openapi/v2").await;
    assert!(json.text.contains(r#""swagger":"2.0""#), "{}", json.text);
    assert_eq!(json.headers["content-type"], "application/json");
    let accept = (
        "accept",
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    );
    let protobuf = http.ask("GET", "/openapi/v2", &[accept], "").await;
    assert!(protobuf.text.starts_with("\n\u{3}2.0\u{12}"), "{}", protobuf.text);
    let kind = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    assert_eq!(protobuf.headers["content-type"], kind);
    let tag = protobuf.headers["etag"].to_str().unwrap();
    assert_ne!(tag, json.headers["etag"]);
    let again = [accept, ("if-none-match", tag)];
    assert_eq!(http.ask("GET", "/openapi/v2", &again, "").await.code, 304);
}

/// A document has its hash in its address: there it never changes, and from another address it is told.
async fn openapi_v3(http: &mut Http, index: &str) {
    let plain = http.get("/openapi/v3/apis/test.io/v1").await;
    assert_eq!(plain.code, 200);
    assert_eq!(plain.headers["cache-control"], "no-cache, private");
    let (_, url) = index
        .split_once(r#""apis/test.io/v1":{"serverRelativeURL":""#)
        .unwrap();
    let (url, _) = url.split_once('"').unwrap();
    let hashed = http.get(url).await;
    assert_eq!(hashed.text, plain.text);
    assert_eq!(hashed.headers["cache-control"], "public, immutable");
    assert_eq!(hashed.headers["expires"], "Wed, 01 Jan 2031 00:00:00 GMT");
    let tag = hashed.headers["etag"].to_str().unwrap();
    for known in [format!("\"x\", W/{tag}"), "*".to_owned()] {
        let again = http.ask("GET", url, &[("if-none-match", &known)], "").await;
        assert_eq!((again.code, again.text.as_str()), (304, ""));
    }
    let old = http.get("/openapi/v3/apis/test.io/v1?hash=0A").await;
    assert_eq!((old.code, old.headers["location"].to_str().unwrap()), (301, url));
}

#[tokio::test(start_paused = true)]
async fn objects_over_http() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    let made = http.make("a").await;
    assert_eq!(made.code, 201, "{}", made.text);
    let yaml = "apiVersion: test.io/v1\nkind: Widget\nmetadata:\n  name: b\nspec:\n  x: 1\n";
    let made = http
        .ask("POST", WIDGETS, &[("content-type", "application/yaml")], yaml)
        .await;
    assert_eq!(made.code, 201, "{}", made.text);
    let as_yaml = http
        .ask(
            "GET",
            &format!("{WIDGETS}/b"),
            &[("accept", "application/yaml")],
            "",
        )
        .await;
    assert!(as_yaml.text.contains("\n  name: b\n"), "{}", as_yaml.text);
    let list = http.get(&format!("{WIDGETS}?limit=1")).await;
    assert!(
        list.text
            .starts_with(r#"{"kind":"WidgetList","apiVersion":"test.io/v1","metadata":{"resourceVersion":""#)
    );
    assert!(list.text.contains(r#""remainingItemCount":1"#));
    let table = [(
        "accept",
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    )];
    let table = http.ask("GET", WIDGETS, &table, "").await;
    assert!(
        table.text.contains(r#""kind":"Table""#)
            && table
                .text
                .contains(r#"{"cells":["a"],"object":{"kind":"PartialObjectMetadata""#)
    );
    let partial = [(
        "accept",
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    )];
    let partial = http.ask("GET", &format!("{WIDGETS}/b"), &partial, "").await;
    assert!(!partial.text.contains(r#""spec":"#) && partial.text.contains("PartialObjectMetadata"));
    let gone = http.ask("DELETE", &format!("{WIDGETS}/a"), &[], "").await;
    assert!(
        gone.text.contains(
            r#""status":"Success","details":{"name":"a","group":"test.io","kind":"widgets","uid":""#
        ),
        "{}",
        gone.text
    );
    let missing = http.get(&format!("{WIDGETS}/a")).await;
    assert_eq!(missing.code, 404);
    assert!(
        missing
            .text
            .contains(r#""message":"widgets.test.io \"a\" not found","reason":"NotFound""#)
    );
}

#[tokio::test(start_paused = true)]
async fn bad_requests_get_upstreams_answers() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    let nowhere = http.get("/apis/nope/v1/things").await;
    assert_eq!(
        (nowhere.code, nowhere.text.as_str()),
        (404, "404 page not found\n")
    );
    let nobody = http
        .ask("GET", WIDGETS, &[("authorization", "Bearer nobody")], "")
        .await;
    assert_eq!(nobody.code, 403);
    assert!(nobody.text.contains(r#"User \"nobody\" cannot list resource \"widgets\" in API group \"test.io\" in the namespace \"default\""#));
    let bad = http
        .ask("GET", WIDGETS, &[("authorization", "Bearer bad")], "")
        .await;
    assert_eq!(bad.code, 401);
    let cbor = http
        .ask("POST", WIDGETS, &[("content-type", "application/cbor")], "k8s")
        .await;
    assert_eq!(cbor.code, 415);
    let broken = http
        .ask("POST", WIDGETS, &[("content-type", "application/json")], "{")
        .await;
    assert_eq!(broken.code, 400, "{}", broken.text);
    let large = " ".repeat((3 << 20) + 1);
    let large = http.ask("POST", WIDGETS, &[], &large).await;
    assert_eq!(large.code, 413);
    assert!(large.text.contains("Request entity too large: limit is 3145728"));
    let mut http = Http::new(&server).await;
    let patch = http
        .ask(
            "PATCH",
            &format!("{WIDGETS}/x"),
            &[("content-type", "text/plain")],
            "{}",
        )
        .await;
    assert_eq!(patch.code, 415);
    let twice = r#"{"metadata":{"name":"x","name":"y"}}"#;
    let strict = http
        .ask("POST", &format!("{WIDGETS}?fieldValidation=Strict"), &[], twice)
        .await;
    assert!(
        strict
            .text
            .contains(r#"strict decoding error: duplicate field \"metadata.name\""#),
        "{}",
        strict.text
    );
    let warned = http.ask("POST", WIDGETS, &[], twice).await;
    assert_eq!(
        warned.headers["warning"],
        r#"299 - "duplicate field \"metadata.name\"""#
    );
    let dry = http
        .ask(
            "POST",
            &format!("{WIDGETS}?dryRun=All"),
            &[],
            r#"{"metadata":{"name":"dry"}}"#,
        )
        .await;
    assert_eq!(dry.code, 201);
    assert_eq!(http.get(&format!("{WIDGETS}/dry")).await.code, 404);
    let method = http.ask("POST", &format!("{WIDGETS}/x"), &[], "{}").await;
    assert_eq!(method.code, 405);
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_a_stream_of_frames() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    http.make("a").await;
    let url = format!(
        "{WIDGETS}?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    );
    let mut watching = Http::new(&server).await;
    let mut watch = watching.send("GET", &url, &[], "").await.into_body();
    let first = lines(&mut watch, 2).await;
    assert!(
        first[0].starts_with(r#"{"type":"ADDED","object":{"apiVersion":"test.io/v1","kind":"Widget""#),
        "{}",
        first[0]
    );
    assert!(
        first[1].contains(r#""type":"BOOKMARK""#)
            && first[1].contains(r#""k8s.io/initial-events-end":"true""#)
    );
    http.make("b").await;
    http.ask("DELETE", &format!("{WIDGETS}/b"), &[], "").await;
    let next = lines(&mut watch, 2).await;
    assert!(next[0].starts_with(r#"{"type":"ADDED""#) && next[1].starts_with(r#"{"type":"DELETED""#));
    let old = http
        .get(&format!("{WIDGETS}?watch=1&resourceVersion=1&timeoutSeconds=1"))
        .await;
    assert_eq!(old.code, 200, "the ring still holds it");
    server.handler.cache("test.io", "widgets").unwrap().forget_all();
    let old = http
        .get(&format!("{WIDGETS}?watch=1&resourceVersion=1&timeoutSeconds=1"))
        .await;
    assert_eq!(old.code, 410);
    http.make("c").await;
    let one = http.get(&format!("{WIDGETS}/c?watch=1&timeoutSeconds=5")).await;
    assert_eq!(
        one.text.lines().count(),
        1,
        "a watch of one object tells of no other"
    );
    http.ask("DELETE", &format!("{WIDGETS}/c"), &[], "").await;
    let short = http.get(&format!("{WIDGETS}?watch=1&timeoutSeconds=5")).await;
    assert_eq!(short.text.lines().count(), 1, "it ends with its time");
}

#[tokio::test(start_paused = true)]
async fn discovery_and_documents() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    let groups = http.get("/apis").await;
    assert!(
        groups
            .text
            .contains(r#""preferredVersion":{"groupVersion":"test.io/v2","version":"v2"}"#),
        "{}",
        groups.text
    );
    let resources = http.get("/apis/test.io/v1").await;
    assert!(resources.text.contains(r#""name":"widgets/scale","singularName":"","namespaced":true,"group":"autoscaling","version":"v1","kind":"Scale""#), "{}", resources.text);
    let accept = [(
        "accept",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
    )];
    let aggregated = http.ask("GET", "/apis", &accept, "").await;
    assert!(aggregated.text.contains(r#""subresource":"status""#));
    let tag = aggregated.headers["etag"].to_str().unwrap().to_owned();
    let again = http
        .ask("GET", "/apis", &[accept[0], ("if-none-match", &tag)], "")
        .await;
    assert_eq!(again.code, 304);
    let index = http.get("/openapi/v3").await;
    assert!(
        index
            .text
            .contains(r#""apis/test.io/v1":{"serverRelativeURL":"/openapi/v3/apis/test.io/v1?hash="#),
        "{}",
        index.text
    );
    openapi_v2(&mut http).await;
    openapi_v3(&mut http, &index.text).await;
    let version = http.get("/version").await;
    assert!(version.text.contains(r#""gitVersion":"v1.37.0+ferrokube.0.1.0""#));
    let none = r#""gitCommit":"0000000000000000000000000000000000000000","gitTreeState":"archive""#;
    assert!(version.text.contains(none), "{}", version.text);
    assert_eq!(http.get("/healthz").await.text, "ok");
    assert!(http.get("/readyz?verbose").await.text.contains("[+]etcd ok\n"));
    assert!(
        http.get("/metrics")
            .await
            .text
            .contains("apiserver_storage_objects")
    );
    let review = r#"{"spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}"#;
    let review = http
        .ask(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            &[],
            review,
        )
        .await;
    assert!(
        review
            .text
            .contains(r#""status":{"allowed":true,"reason":"test"}"#),
        "{}",
        review.text
    );
    let whoami = [("impersonate-user", "jane"), ("impersonate-group", "dev")];
    let whoami = http
        .ask(
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            &whoami,
            "{}",
        )
        .await;
    assert!(
        whoami
            .text
            .contains(r#""userInfo":{"username":"jane","groups":["dev","system:authenticated"]}"#),
        "{}",
        whoami.text
    );
}

#[tokio::test(start_paused = true)]
async fn large_lists_are_compressed_when_asked() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    let body = format!(
        r#"{{"metadata":{{"name":"big"}},"spec":{{"x":"{}"}}}}"#,
        "y".repeat(200 << 10)
    );
    assert_eq!(http.ask("POST", WIDGETS, &[], &body).await.code, 201);
    let packed = http.ask("GET", WIDGETS, &[("accept-encoding", "gzip")], "").await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert!(packed.text.len() < 20_000);
    assert!(http.get(WIDGETS).await.headers.get("content-encoding").is_none());
}

/// A kubelet that answers an upgrade and then echoes.
struct Echo;

impl Dial for Echo {
    fn dial(&self, _: &Peer) -> BoxFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        async {
            let (ours, mut theirs) = tokio::io::duplex(1 << 16);
            let echo = async move {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && theirs.read_exact(&mut byte).await.is_ok() {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                if head.starts_with("GET /containerLogs/default/p/c?follow=true ") {
                    let _ = theirs
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello\n")
                        .await;
                    return;
                }
                let switch =
                    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
                let _ = theirs.write_all(switch.as_bytes()).await;
                let first = head.lines().next().unwrap_or_default();
                let _ = theirs.write_all(format!("{first}\n").as_bytes()).await;
                let (mut reading, mut writing) = tokio::io::split(theirs);
                let _ = tokio::io::copy(&mut reading, &mut writing).await;
            };
            component::Tasks::new().spawn("echo", echo);
            Ok(Box::new(ours) as Box<dyn Duplex>)
        }
        .boxed()
    }

    fn trusted(&self, _: &Peer) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn exec_and_logs_are_passed_to_the_kubelet() {
    let (server, _env) = fixture::server_with(Arc::new(Echo)).await;
    let mut http = Http::new(&server).await;
    let body = r#"{"metadata":{"name":"p"},"spec":{"nodeName":"n1","containers":[{"name":"c"}]}}"#;
    http.ask("POST", WIDGETS, &[], body).await;
    let log = http
        .get(&format!("{WIDGETS}/p/log?follow=true&container=c"))
        .await;
    assert_eq!((log.code, log.text.as_str()), (200, "hello\n"));
    let wrong = http.get(&format!("{WIDGETS}/p/log?container=x")).await;
    assert!(wrong.text.contains("container x is not valid for pod p"));
    let upgrade = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-protocol", "v5.channel.k8s.io"),
    ];
    let url = format!("{WIDGETS}/p/exec?command=sh&command=-c&stdin=true&stdout=true&tty=false");
    let response = http.send("GET", &url, &upgrade, "").await;
    assert_eq!(response.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"ping").await.unwrap();
    let expected = "GET /exec/default/p/c?command=sh&command=-c&input=1&output=1 HTTP/1.1\nping";
    let mut read = vec![0; expected.len()];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn logs_are_read_over_a_websocket() {
    let (server, _env) = fixture::server_with(Arc::new(Echo)).await;
    let mut http = Http::new(&server).await;
    let body = r#"{"metadata":{"name":"p"},"spec":{"nodeName":"n1","containers":[{"name":"c"}]}}"#;
    http.ask("POST", WIDGETS, &[], body).await;
    let mut upgrade = vec![
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "base64.binary.k8s.io"),
    ];
    let url = format!("{WIDGETS}/p/log?follow=true&container=c");
    let response = http.send("GET", &url, &upgrade, "").await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], upgrade[4].1);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    // An empty message, the log, and a close with code 1000.
    let expected = b"\x81\0\x81\x08aGVsbG8K\x88\x02\x03\xe8";
    let mut read = vec![0; expected.len()];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(read, expected);
    upgrade[4].1 = "v4.channel.k8s.io";
    let refused = Http::new(&server).await.ask("GET", &url, &upgrade, "").await;
    assert_eq!(refused.code, 403);
    assert!(
        refused
            .text
            .starts_with("requested protocol(s) are not supported: [v4.channel.k8s.io]")
    );
}

#[tokio::test(start_paused = true)]
async fn reviews_have_no_table() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    let url = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let body = r#"{"spec":{"nonResourceAttributes":{"verb":"get","path":"/"}}}"#;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let refused = http.ask("POST", url, &[("accept", table)], body).await;
    assert_eq!(refused.code, 406, "{}", refused.text);
    let told =
        r#""message":"only the following media types are accepted: application/json, application/yaml"#;
    assert!(refused.text.contains(told) && refused.text.contains(r#""reason":"NotAcceptable""#));
    let either = format!("{table},application/json");
    let made = http.ask("POST", url, &[("accept", &either)], body).await;
    assert!(made.code == 201 && made.text.contains(r#""kind":"SelfSubjectAccessReview""#));
}

#[tokio::test(start_paused = true)]
async fn decisions_are_read_by_who_may_read_the_object() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    let url = "/apis/insight.ferrokube.io/v1alpha1/namespaces/default/decisions";
    let all = http.get(url).await;
    let expected =
        r#"{"kind":"Decision","at":"1970-01-01T00:00:00Z","actor":"scheduler","resource":"widgets.test.io","#;
    assert_eq!(all.text.matches(expected).count(), 2, "{}", all.text);
    let one = http.get(&format!("{url}?fieldSelector=name=b")).await;
    assert!(!one.text.contains(r#""name":"a""#) && one.text.contains(r#""name":"b""#));
    let half = http
        .ask("GET", url, &[("authorization", "Bearer half")], "")
        .await;
    assert!(
        half.text.contains(r#""name":"a""#) && !half.text.contains(r#""name":"b""#),
        "{}",
        half.text
    );
    let bad = http.get(&format!("{url}?fieldSelector=color=red")).await;
    assert_eq!(bad.code, 400);
}
