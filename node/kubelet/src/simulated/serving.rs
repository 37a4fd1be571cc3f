//! The kubelet's server over streams in memory.

use super::tests::Node;
use crate::Identity;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use streams::{
    Outcome, Remote,
    channel::{self, Frame, Protocol},
};

type Answered = Response<Incoming>;

impl Node {
    async fn ask(&self, request: Request<Empty<Bytes>>, identity: Identity) -> Answered {
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.env
            .tasks
            .spawn("server", self.kubelet.clone().serve_stream(far, identity));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near))
            .await
            .unwrap();
        self.env.tasks.spawn("client", async move {
            let _ = connection.with_upgrades().await;
        });
        sender.send_request(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let request = Request::get(path)
            .header("host", "node")
            .body(Empty::new())
            .unwrap();
        let answer = self.ask(request, Identity::Trusted).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn health_pods_stats_and_metrics() {
    let node = Node::start();
    node.pod("web", "{containers: [{name: web, image: 'nginx:1'}]}");
    node.phase("web", "Running").await;
    assert_eq!(node.get("/healthz").await, (200, "ok".to_owned()));
    let (_, pods) = node.get("/pods").await;
    assert!(pods.contains(r#""kind":"PodList""#) && pods.contains(r#""name":"web""#));
    assert!(
        node.get("/stats/summary")
            .await
            .1
            .contains(r#""podRef":{"name":"web""#)
    );
    assert!(node.get("/metrics").await.1.contains("kubelet_running_pods 1\n"));
    let resources = node.get("/metrics/resource").await.1;
    assert!(resources.contains("resource_scrape_error 0\n"), "{resources}");
    assert!(
        resources
            .contains("container_cpu_usage_seconds_total{container=\"web\",namespace=\"shop\",pod=\"web\"} ")
    );
    assert!(
        node.get("/metrics/cadvisor")
            .await
            .1
            .contains("container_memory_rss{container=\"web\"")
    );
    let running = node.get("/runningpods/").await.1;
    assert!(
        running.contains(r#""metadata":{"name":"web","namespace":"shop""#),
        "{running}"
    );
    assert!(
        node.get("/configz")
            .await
            .1
            .contains(r#"{"kubeletconfig":{"port":"#)
    );
    assert_eq!(node.get("/logs/").await.0, 200);
    assert_eq!(node.get("/nothing").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn strangers_are_refused() {
    let node = Node::start();
    let request = Request::get("/pods").body(Empty::new()).unwrap();
    assert_eq!(node.ask(request, Identity::Network(None)).await.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn logs_of_what_waits_are_refused_in_upstreams_words() {
    let node = Node::start();
    node.runtime.break_image("nginx:none", Some("manifest unknown"));
    node.pod("web", "{containers: [{name: web, image: 'nginx:none'}]}");
    node.phase("web", "Pending").await;
    let (code, body) = node.get("/containerLogs/shop/web/web").await;
    assert_eq!(code, 400);
    assert!(
        body.contains(r#"container \"web\" in pod \"web\" is waiting to start: "#),
        "{body}"
    );
    assert!(
        node.get("/containerLogs/shop/web/other")
            .await
            .1
            .contains(r#"container \"other\" not found"#)
    );
    assert_eq!(node.get("/containerLogs/shop/none/web").await.0, 404);
    assert_eq!(node.get("/containerLogs/shop/web/web?tailLines=-1").await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn exec_speaks_v5() {
    let node = Node::start();
    node.pod("web", "{containers: [{name: web, image: 'nginx:1'}]}");
    node.phase("web", "Running").await;
    let request = Request::get("/exec/shop/web/web?command=echo&command=a%20b&input=1&output=1&error=1")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "v5.channel.k8s.io,v4.channel.k8s.io")
        .body(Empty::new())
        .unwrap();
    let answer = node.ask(request, Identity::Trusted).await;
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
    let io = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let mut remote = Remote::over(io, Protocol::V5).await;
    remote
        .send(&Frame::Data(channel::STDIN, "hello".into()))
        .await
        .unwrap();
    remote.send(&Frame::Close(channel::STDIN)).await.unwrap();
    let (stdout, stderr, outcome) = remote.collect().await.unwrap();
    assert_eq!(
        (stdout.as_slice(), stderr.as_slice()),
        (&b"echo a b\nhello"[..], &b""[..])
    );
    assert_eq!(outcome, Outcome::Exited(0));
    let plain = Request::get("/exec/shop/web/web?command=ls&output=1")
        .body(Empty::new())
        .unwrap();
    assert_eq!(node.ask(plain, Identity::Trusted).await.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn logs_are_read_and_followed_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::with_logs(dir.path());
    node.pod(
        "web",
        "{restartPolicy: Never, containers: [{name: web, image: 'nginx:1'}]}",
    );
    node.phase("web", "Running").await;
    let log = dir.path().join("shop_web_uid-of-web/web/0.log");
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    std::fs::write(
        &log,
        "2030-01-01T00:00:00Z stdout F one\n2030-01-01T00:00:01Z stdout F two\n",
    )
    .unwrap();
    let (code, body) = node
        .get("/containerLogs/shop/web/web?tailLines=1&timestamps=true")
        .await;
    assert_eq!((code, body.as_str()), (200, "2030-01-01T00:00:01Z two\n"));
    let (runtime, clock) = (node.runtime.clone(), node.env.clock.clone());
    node.env.tasks.spawn("exit", async move {
        clock.sleep(std::time::Duration::from_secs(5)).await;
        let more = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
        std::io::Write::write_all(&mut &more, b"2030-01-01T00:00:05Z stdout F end\n").unwrap();
        runtime.exit("web", "web", 0);
    });
    assert_eq!(
        node.get("/containerLogs/shop/web/web?follow=true").await.1,
        "one\ntwo\nend\n"
    );
    assert!(
        node.get("/containerLogs/shop/web/web?previous=true")
            .await
            .1
            .contains("previous terminated container")
    );
}

/// A kubelet on a real socket: strangers, a known token, a known certificate.
#[tokio::test]
async fn over_the_network_each_request_is_authorized() {
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use std::sync::Arc;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certified = rcgen::generate_simple_self_signed(vec!["node-1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let chain = vec![certified.cert.der().clone()];
    let tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    // A port that is free now.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let authorize: crate::Authorize = Arc::new(|access: crate::Access| {
        Box::pin(async move {
            assert_eq!((access.node.as_str(), access.verb), ("node-1", "get"));
            let known = access.bearer.as_deref() == Some("sesame") && access.subresource == "pods";
            if known {
                Ok(())
            } else {
                Err(api::Status::unauthorized())
            }
        })
    });
    let node = Node::listening(address, Arc::new(tls), authorize);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    for (path, token, code) in [
        ("/pods", "sesame", 200),
        ("/pods", "guess", 401),
        ("/metrics", "sesame", 401),
    ] {
        let connected = async {
            loop {
                if let Ok(stream) = tokio::net::TcpStream::connect(address).await {
                    return stream;
                }
                tokio::task::yield_now().await;
            }
        };
        let limit = std::time::Duration::from_secs(10);
        let stream = tokio::time::timeout(limit, connected)
            .await
            .expect("waited for the kubelet to listen");
        let stream = connector
            .connect(ServerName::try_from("node-1").unwrap(), stream)
            .await
            .unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        node.env.tasks.spawn("client", async move {
            let _ = connection.await;
        });
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        let answer = sender
            .send_request(request.body(Empty::<Bytes>::new()).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), code, "{path} {token}");
    }
}
