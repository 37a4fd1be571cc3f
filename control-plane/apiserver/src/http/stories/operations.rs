//! What those who run a server ask of it.

use super::{Http, WIDGETS, lines};
use crate::{Server, fixture};
use component::Env;
use etcd::{
    Observer, RangeRequest, RangeResponse, Revision, Store, TxnOutcome, TxnRequest, WatchItem, WatchRequest,
};
use futures::{FutureExt, future::BoxFuture, stream::BoxStream};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(start_paused = true)]
async fn metrics_have_upstreams_names_and_labels() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    http.make("a").await;
    http.get(WIDGETS).await;
    http.get(&format!("{WIDGETS}/a")).await;
    http.get("/readyz").await;
    http.get("/apis/made.up/v7/things").await;
    let mut watching = Http::new(&server).await;
    let url = format!("{WIDGETS}?watch=1&timeoutSeconds=60");
    let mut watch = watching.send("GET", &url, &[], "").await.into_body();
    lines(&mut watch, 1).await;
    let told = http.get("/metrics").await;
    assert_eq!(
        told.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let of = r#"group="test.io",resource="widgets""#;
    for line in [
        format!(
            r#"apiserver_request_total{{code="201",component="apiserver",dry_run="",{of},scope="resource",subresource="",verb="POST",version="v1"}} 1"#
        ),
        format!(
            r#"apiserver_request_duration_seconds_bucket{{component="apiserver",dry_run="",{of},scope="namespace",subresource="",verb="LIST",version="v1",le="0.005"}} 1"#
        ),
        format!(
            r#"apiserver_request_sli_duration_seconds_count{{component="apiserver",{of},scope="resource",subresource="",verb="GET",version="v1"}} 1"#
        ),
        format!(
            r#"apiserver_response_sizes_bucket{{component="apiserver",{of},scope="resource",subresource="",verb="GET",version="v1",le="1000"}} 1"#
        ),
        format!(
            r#"apiserver_longrunning_requests{{component="apiserver",{of},scope="namespace",subresource="",verb="WATCH",version="v1"}} 1"#
        ),
        format!(r#"apiserver_watch_events_total{{{of},version="v1"}} 1"#),
        format!(r#"apiserver_resource_objects{{{of}}} 1"#),
        r#"apiserver_storage_objects{resource="widgets.test.io"} 1"#.to_owned(),
        r#"apiserver_current_inflight_requests{request_kind="readOnly"} 1"#.to_owned(),
        r#"etcd_request_duration_seconds_count{group="test.io",operation="create",resource="widgets"} 1"#
            .to_owned(),
        r#"apiserver_request_total{code="200",component="",dry_run="",group="",resource="",scope="",subresource="/readyz",verb="GET",version=""} 1"#
            .to_owned(),
    ] {
        let found = told.text.lines().any(|told| told == line);
        assert!(found, "{line} is not in\n{}", told.text);
    }
    assert!(told.text.contains("\nprocess_resident_memory_bytes "));
    assert!(told.text.contains(r#"git_version="v1.37.0+ferrokube."#));
    assert!(!told.text.contains("made.up"), "labels are not made by clients");
    drop(watch);
    drop(watching);
    let refused = http
        .ask("GET", "/metrics", &[("authorization", "Bearer nobody")], "")
        .await;
    assert_eq!(refused.code, 403);
}

#[tokio::test(start_paused = true)]
async fn health_is_checked_whole_and_one_by_one() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    let verbose = http.get("/livez?verbose").await;
    assert_eq!(verbose.text, "[+]ping ok\n[+]etcd ok\nlivez check passed\n");
    let excluded = http.get("/livez?verbose&exclude=etcd&exclude=other").await;
    let warning = "warn: some health checks cannot be excluded: no matches for \"other\"\n";
    let told = format!("[+]ping ok\n[+]etcd excluded: ok\n{warning}livez check passed\n");
    assert_eq!(excluded.text, told);
    assert_eq!(http.get("/readyz/etcd-readiness").await.text, "ok");
    assert_eq!(http.get("/livez/shutdown").await.code, 404);
    assert_eq!(http.get("/readyz/shutdown").await.text, "ok");
}

/// A store that no longer says where it stands.
struct Stuck(Arc<etcd::Engine>, AtomicBool);

impl Store for Stuck {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, etcd::Error>> {
        self.0.range(request)
    }

    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, Result<TxnOutcome, etcd::Error>> {
        self.0.txn(request)
    }

    fn watch(&self, request: WatchRequest) -> BoxStream<'static, Result<WatchItem, etcd::Error>> {
        self.0.watch(request)
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), etcd::Error>> {
        self.0.compact(revision)
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<i64, etcd::Error>> {
        self.0.grant(ttl)
    }

    fn keep_alive(&self, lease: i64) -> BoxFuture<'_, Result<(), etcd::Error>> {
        self.0.keep_alive(lease)
    }

    fn revoke(&self, lease: i64) -> BoxFuture<'_, Result<(), etcd::Error>> {
        self.0.revoke(lease)
    }

    fn observe(&self, observer: Arc<dyn Observer>) -> bool {
        self.0.observe(observer)
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision, etcd::Error>> {
        match self.1.load(Ordering::Relaxed) {
            true => std::future::pending().boxed(),
            false => self.0.revision(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_not_waited_for() {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let store = Arc::new(Stuck(store, AtomicBool::new(false)));
    let mut config = fixture::config(store.clone(), fixture::small_table(), fixture::no_nodes());
    config.limits.ready_timeout = Duration::from_secs(1);
    let server = Server::start(config, env.clone()).await.unwrap();
    server.bootstrap().await.unwrap();
    let mut http = Http::new(&server).await;
    assert_eq!(http.get("/readyz").await.code, 200);
    store.1.store(true, Ordering::Relaxed);
    for (path, seconds) in [("/healthz", 2), ("/livez", 2), ("/readyz", 2)] {
        let start = env.clock.now();
        let told = http.get(path).await;
        assert!(
            told.code == 500 && told.text.contains("[-]etcd failed"),
            "{}",
            told.text
        );
        assert_eq!((env.clock.now() - start).as_secs(), seconds, "{path}");
    }
    let told = http.get("/livez?exclude=etcd").await;
    assert_eq!(told.code, 200, "{}", told.text);
    let told = http.get("/readyz/etcd-readiness").await;
    let why = "internal server error: error getting data from etcd: context deadline exceeded\n";
    assert_eq!((told.code, told.text.as_str()), (500, why));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_says_so_first() {
    let (server, env) = fixture::server().await;
    env.tasks.stop();
    let query = super::super::query::Query::default();
    let of = async |path: &str| {
        super::super::health::health(&server, path, &query)
            .await
            .status()
            .as_u16()
    };
    assert_eq!([of("/readyz").await, of("/readyz/shutdown").await], [500, 500]);
    assert_eq!([of("/livez").await, of("/healthz").await], [200, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_version_is_gone_goes_on_with_what_is_there() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    for name in ["a", "b", "c"] {
        http.make(name).await;
    }
    let token = |text: &str| {
        let (_, rest) = text.split_once(r#""continue":""#).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let first = http.get(&format!("{WIDGETS}?limit=1")).await;
    http.make("d").await;
    server.handler.cache("test.io", "widgets").unwrap().forget_all();
    let url = |token: &str| format!("{WIDGETS}?limit=2&continue={token}");
    let gone = http.get(&url(&token(&first.text))).await;
    assert_eq!(gone.code, 410);
    assert!(
        gone.text.contains("or use the continue token in this response"),
        "{}",
        gone.text
    );
    let second = http.get(&url(&token(&gone.text))).await;
    assert!(
        second.text.contains(r#""name":"b""#) && second.text.contains(r#""name":"c""#),
        "{}",
        second.text
    );
    let last = http.get(&url(&token(&second.text))).await;
    assert!(last.text.contains(r#""name":"d""#), "what was made since shows");
    let bad = http.get(&url("eyJ9")).await;
    let told = r#""message":"invalid continue token: continue key is not valid: "#;
    assert!(bad.code == 400 && bad.text.contains(told), "{}", bad.text);
}

#[tokio::test(start_paused = true)]
async fn options_of_lists_and_watches_go_together() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    for name in ["a", "b"] {
        http.make(name).await;
    }
    let all = http.get(&format!("{WIDGETS}?limit=-1")).await;
    assert!(all.code == 200 && all.text.contains(r#""name":"b""#), "no limit");
    let matched = |why: &str| {
        format!(r#""message":"ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: {why}"#)
    };
    for (query, code, told) in [
        (
            "resourceVersionMatch=Exact",
            422,
            matched("Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=0",
            422,
            matched(r#"Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""#),
        ),
        (
            "resourceVersionMatch=Newest&resourceVersion=1",
            422,
            matched(r#"Unsupported value: \"Newest\": supported values: \"Exact\", \"NotOlderThan\", \"\""#),
        ),
        (
            "resourceVersion=x",
            400,
            r#""message":"invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax""#.to_owned(),
        ),
        (
            "watch=1&resourceVersion=x",
            422,
            r#""message":"widgets.test.io \"\" is invalid: resourceVersion: Invalid value: \"x\""#.to_owned(),
        ),
        (
            "watch=1&resourceVersionMatch=NotOlderThan",
            422,
            matched("Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"),
        ),
        (
            "sendInitialEvents=true",
            422,
            r#"sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list""#.to_owned(),
        ),
        (
            "resourceVersion=999999999&resourceVersionMatch=NotOlderThan",
            504,
            r#""message":"Timeout: Too large resource version: 999999999, current: "#.to_owned(),
        ),
    ] {
        let answer = http.get(&format!("{WIDGETS}?{query}")).await;
        assert!(answer.code == code && answer.text.contains(&told), "{query}: {}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_has_a_minute() {
    let (server, _env) = fixture::server().await;
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let serving = server.clone();
    let tasks = server.handler.env.tasks.clone();
    tasks.spawn("test-connection", async move {
        serving.serve_stream(theirs, Vec::new()).await;
    });
    let start = server.handler.env.clock.now();
    let head = format!(
        "POST {WIDGETS} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer admin\r\ncontent-length: 9\r\n\r\n{{"
    );
    ours.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = ours.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 504 Gateway Timeout"), "{answer}");
    assert_eq!((server.handler.env.clock.now() - start).as_secs(), 60);
}
