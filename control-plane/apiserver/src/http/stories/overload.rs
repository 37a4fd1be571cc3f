//! More requests than the server can take.

use super::Http;
use crate::{Limits, Server, fixture};
use component::Env;
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A server of the whole table with these limits.
async fn server(limits: Limits) -> (Arc<Server>, Env) {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let mut config = fixture::config(store, resources::table().to_vec(), fixture::no_nodes());
    config.limits = limits;
    let server = Server::start(config, env.clone()).await.unwrap();
    server.bootstrap().await.unwrap();
    (server, env)
}

/// A request whose body does not end yet: it keeps its seat.
struct Slow {
    stream: DuplexStream,
}

impl Slow {
    /// `noisy` creates a ConfigMap of this name.
    async fn new(server: &Arc<Server>, name: &str) -> Self {
        let mut stream = Self::connect(server);
        let body = format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}}}}"#);
        let head = format!(
            "POST {CONFIG_MAPS} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer noisy\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len() + 1
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Self { stream }
    }

    fn connect(server: &Arc<Server>) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (serving, tasks) = (server.clone(), server.handler.env.tasks.clone());
        tasks.spawn("test-connection", async move {
            serving.serve_stream(theirs, Vec::new()).await;
        });
        ours
    }

    /// Ends the body.
    async fn end(&mut self) {
        self.stream.write_all(b"\n").await.unwrap();
    }

    /// The answer's head.
    async fn answer(&mut self) -> String {
        let mut answer = vec![0; 8192];
        let length = self.stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }
}

/// A level of one seat, in which one request may wait, for the user `noisy`.
async fn tiny(http: &mut Http) {
    let level = r#"{"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"PriorityLevelConfiguration","metadata":{"name":"tiny"},
        "spec":{"type":"Limited","limited":{"nominalConcurrencyShares":1,"borrowingLimitPercent":0,
        "limitResponse":{"type":"Queue","queuing":{"queues":1,"handSize":1,"queueLengthLimit":1}}}}}"#;
    let schema = r#"{"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"FlowSchema","metadata":{"name":"noisy"},
        "spec":{"priorityLevelConfiguration":{"name":"tiny"},"matchingPrecedence":900,"distinguisherMethod":{"type":"ByUser"},
        "rules":[{"subjects":[{"kind":"User","user":{"name":"noisy"}}],
        "resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],"namespaces":["*"],"clusterScope":true}]}]}}"#;
    for (url, body) in [(LEVELS, level), (SCHEMAS, schema)] {
        let made = http.ask("POST", url, &[], body).await;
        assert_eq!(made.code, 201, "{}", made.text);
    }
}

/// Waits until the condition of a schema is so.
async fn dangles(http: &mut Http, name: &str, status: &str) -> String {
    for _ in 0..100 {
        let schema = http.get(&format!("{SCHEMAS}/{name}")).await.text;
        if schema.contains(&format!(r#""status":"{status}","type":"Dangling""#))
            || schema.contains(&format!(r#""type":"Dangling","status":"{status}""#))
        {
            return schema;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("{name} never had the condition Dangling={status}")
}

fn uid(text: &str) -> &str {
    let (_, rest) = text.split_once(r#""uid":""#).unwrap();
    rest.split_once('"').unwrap().0
}

#[tokio::test(start_paused = true)]
async fn a_noisy_client_waits_is_refused_and_others_are_served() {
    let (server, env) = server(Limits::default()).await;
    let mut http = Http::new(&server).await;
    tiny(&mut http).await;
    let schema = dangles(&mut http, "noisy", "False").await;
    let level = http.get(&format!("{LEVELS}/tiny")).await.text;
    // Three seats of 600 are one share of 246; they are taken, and one waits.
    let mut slow = Vec::new();
    for at in 0..4 {
        slow.push(Slow::new(&server, &format!("slow-{at}")).await);
    }
    env.clock.sleep(Duration::from_secs(1)).await;
    let noisy = [("authorization", "Bearer noisy")];
    let refused = http.ask("GET", CONFIG_MAPS, &noisy, "").await;
    assert_eq!(
        (refused.code, refused.text.as_str()),
        (429, "Too many requests, please try again later.\n")
    );
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["x-kubernetes-pf-flowschema-uid"], uid(&schema));
    assert_eq!(refused.headers["x-kubernetes-pf-prioritylevel-uid"], uid(&level));
    let served = http.get(CONFIG_MAPS).await;
    assert!(served.code == 200 && served.headers["x-kubernetes-pf-flowschema-uid"] != uid(&schema));
    let metrics = http.get("/metrics").await.text;
    for line in [
        r#"apiserver_flowcontrol_rejected_requests_total{priority_level="tiny",flow_schema="noisy",reason="queue-full"} 1"#,
        r#"apiserver_flowcontrol_current_inqueue_requests{priority_level="tiny",flow_schema="noisy"} 1"#,
        r#"apiserver_flowcontrol_current_executing_requests{priority_level="tiny",flow_schema="noisy"} 3"#,
        r#"apiserver_flowcontrol_nominal_limit_seats{priority_level="tiny"} 3"#,
        r#"apiserver_flowcontrol_current_limit_seats{priority_level="tiny"} 3"#,
        r#"apiserver_dropped_requests_total{request_kind="readOnly"} 1"#,
        r#"apiserver_current_inqueue_requests{request_kind="mutating"} 1"#,
        r#"apiserver_current_inflight_requests{request_kind="mutating"} 3"#,
        r#"apiserver_request_terminations_total{code="429",component="apiserver",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"} 1"#,
    ] {
        assert!(
            metrics.lines().any(|told| told == line),
            "{line} is not in\n{metrics}"
        );
    }
    let dump = |name: &str| format!("/debug/api_priority_and_fairness/{name}");
    let levels = http.get(&dump("dump_priority_levels")).await.text;
    let row = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("tiny,")).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row(&levels), "tiny, 1, false, false, 1, 3, 3, 1, 0, 0");
    assert!(row(&http.get(&dump("dump_queues")).await.text).starts_with("tiny, 0, 1, 3, 3, "));
    let requests = http
        .get(&dump("dump_requests?includeRequestDetails=1"))
        .await
        .text;
    let waiting = "/api/v1/namespaces/default/configmaps, default, , v1, configmaps, ";
    assert!(
        row(&requests).starts_with("tiny, noisy, 0, 0, noisy, "),
        "{requests}"
    );
    assert!(
        requests.contains("noisy,") && row(&requests).ends_with(waiting.trim_end()),
        "{}",
        row(&requests)
    );
    let refused = http
        .ask(
            "GET",
            &dump("dump_queues"),
            &[("authorization", "Bearer nobody")],
            "",
        )
        .await;
    assert_eq!(refused.code, 403);
    // A seat is free: who waited is served.
    slow[0].end().await;
    assert!(slow[0].answer().await.starts_with("HTTP/1.1 201 Created"));
    slow[3].end().await;
    assert!(slow[3].answer().await.starts_with("HTTP/1.1 201 Created"));
    drop(slow);
    let top = http.get("/debug/clients").await.text;
    let noisy = top.lines().find(|line| line.starts_with("noisy,")).unwrap();
    assert!(
        noisy.contains(", ") && top.lines().nth(1) == Some(noisy),
        "who costs most is first:\n{top}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_refused_and_who_leaves_makes_room() {
    let (server, env) = server(Limits::default()).await;
    let mut http = Http::new(&server).await;
    tiny(&mut http).await;
    dangles(&mut http, "noisy", "False").await;
    let mut slow = Vec::new();
    for at in 0..3 {
        slow.push(Slow::new(&server, &format!("slow-{at}")).await);
    }
    let mut waits = Slow::connect(&server);
    let head = format!("GET {CONFIG_MAPS} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer noisy\r\n\r\n");
    waits.write_all(head.as_bytes()).await.unwrap();
    env.clock.sleep(Duration::from_secs(1)).await;
    let full = http
        .ask("GET", CONFIG_MAPS, &[("authorization", "Bearer noisy")], "")
        .await;
    assert_eq!(full.code, 429);
    drop(waits);
    env.clock.sleep(Duration::from_secs(1)).await;
    let (start, noisy) = (env.clock.now(), [("authorization", "Bearer noisy")]);
    let refused = http.ask("GET", CONFIG_MAPS, &noisy, "").await;
    assert_eq!(
        (refused.code, (env.clock.now() - start).as_secs()),
        (429, 15),
        "a quarter of a minute"
    );
    let start = env.clock.now();
    let url = format!("{CONFIG_MAPS}?timeout=8s");
    let refused = http.ask("GET", &url, &noisy, "").await;
    assert_eq!((refused.code, (env.clock.now() - start).as_secs()), (429, 2));
    let metrics = http.get("/metrics").await.text;
    let line = r#"{priority_level="tiny",flow_schema="noisy",reason="time-out"} 3"#;
    assert!(metrics.contains(line), "{metrics}");
    let wrong = http.get(&format!("{CONFIG_MAPS}?timeout=8")).await;
    let why = r#"invalid timeout specified in the request URL - time: missing unit in duration \"8\""#;
    assert!(wrong.code == 400 && wrong.text.contains(why), "{}", wrong.text);
}

#[tokio::test(start_paused = true)]
async fn the_objects_of_fairness_are_kept_as_upstream_has_them() {
    let (server, env) = server(Limits::default()).await;
    let mut http = Http::new(&server).await;
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let shown = http.ask("GET", SCHEMAS, &table, "").await.text;
    for cells in [
        r#"["exempt","exempt",1,"<none>","0s","False"]"#,
        r#"["probes","exempt",2,"<none>","0s","False"]"#,
        r#"["system-leader-election","leader-election",100,"ByUser","0s","False"]"#,
        r#"["catch-all","catch-all",10000,"ByUser","0s","False"]"#,
    ] {
        assert!(shown.contains(cells), "{cells} is not in {shown}");
    }
    let shown = http.ask("GET", LEVELS, &table, "").await.text;
    for cells in [
        r#"["exempt","Exempt","<none>","<none>","<none>","<none>","0s"]"#,
        r#"["catch-all","Limited",5,"<none>","<none>","<none>","0s"]"#,
        r#"["workload-low","Limited",100,128,6,50,"0s"]"#,
    ] {
        assert!(shown.contains(cells), "{cells} is not in {shown}");
    }
    let merge = [("content-type", "application/merge-patch+json")];
    let level = |name: &str| format!("{LEVELS}/{name}");
    let wait = async || env.clock.sleep(Duration::from_secs(30)).await;
    // A suggested object is put right, unless it says that it is the operator's.
    let more = r#"{"spec":{"limited":{"nominalConcurrencyShares":7}}}"#;
    let own = r#"{"metadata":{"annotations":{"apf.kubernetes.io/autoupdate-spec":"false"}},"spec":{"limited":{"nominalConcurrencyShares":7}}}"#;
    assert_eq!(http.ask("PATCH", &level("system"), &merge, more).await.code, 200);
    assert_eq!(
        http.ask("PATCH", &level("workload-low"), &merge, own).await.code,
        200
    );
    assert_eq!(http.ask("DELETE", &level("node-high"), &[], "").await.code, 200);
    assert_eq!(
        http.ask("DELETE", &format!("{SCHEMAS}/catch-all"), &[], "")
            .await
            .code,
        200
    );
    wait().await;
    for (name, shares) in [("system", 30), ("workload-low", 7), ("node-high", 40)] {
        let text = http.get(&level(name)).await.text;
        assert!(
            text.contains(&format!(r#""nominalConcurrencyShares":{shares}"#)),
            "{text}"
        );
    }
    assert_eq!(http.get(&format!("{SCHEMAS}/catch-all")).await.code, 200);
    // What this server does not know any more, and kept, goes.
    let old = r#"{"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"PriorityLevelConfiguration","metadata":{"name":"old",
        "annotations":{"apf.kubernetes.io/autoupdate-spec":"true"}},"spec":{"type":"Limited","limited":{"limitResponse":{"type":"Reject"}}}}"#;
    assert_eq!(http.ask("POST", LEVELS, &[], old).await.code, 201);
    wait().await;
    assert_eq!(http.get(&level("old")).await.code, 404);
    // A schema without its level says so, and is not used.
    tiny(&mut http).await;
    assert_eq!(http.ask("DELETE", &level("tiny"), &[], "").await.code, 200);
    let schema = dangles(&mut http, "noisy", "True").await;
    let why = r#"This FlowSchema references the PriorityLevelConfiguration object named \"tiny\" but there is no such object"#;
    assert!(
        schema.contains(why) && schema.contains(r#""reason":"NotFound""#),
        "{schema}"
    );
    let noisy = [("authorization", "Bearer noisy")];
    let served = http.ask("GET", CONFIG_MAPS, &noisy, "").await;
    assert_ne!(served.headers["x-kubernetes-pf-flowschema-uid"], uid(&schema));
}

#[tokio::test(start_paused = true)]
async fn without_fairness_there_is_room_for_so_many() {
    let limits = Limits {
        reads: 1,
        writes: 1,
        fairness: false,
        ..Limits::default()
    };
    let (server, env) = server(limits).await;
    let mut slow = Slow::new(&server, "slow").await;
    env.clock.sleep(Duration::from_secs(1)).await;
    let mut http = Http::new(&server).await;
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"next"}}"#;
    let refused = http.ask("POST", CONFIG_MAPS, &[], body).await;
    assert_eq!(
        (refused.code, &refused.headers["retry-after"]),
        (429, &http::HeaderValue::from_static("1"))
    );
    let served = http.get(SCHEMAS).await;
    assert!(served.code == 200 && !served.headers.contains_key("x-kubernetes-pf-flowschema-uid"));
    assert!(served.text.contains(r#""items":[]"#), "{}", served.text);
    assert_eq!(
        http.get("/debug/api_priority_and_fairness/dump_queues")
            .await
            .code,
        404
    );
    slow.end().await;
    assert!(slow.answer().await.starts_with("HTTP/1.1 201 Created"));
    assert_eq!(http.ask("POST", CONFIG_MAPS, &[], body).await.code, 201);
}

#[tokio::test(start_paused = true)]
async fn lists_that_are_too_much_for_the_memory_are_refused() {
    let limits = Limits {
        list_bytes: 256 << 10,
        ..Limits::default()
    };
    let (server, env) = server(limits).await;
    let mut http = Http::new(&server).await;
    let text = "x".repeat(100 << 10);
    for name in ["a", "b"] {
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"x":"{text}"}}}}"#
        );
        assert_eq!(http.ask("POST", CONFIG_MAPS, &[], &body).await.code, 201);
    }
    let taken = server
        .lists
        .take(128 << 10, Duration::from_secs(60))
        .await
        .unwrap();
    let start = env.clock.now();
    let refused = http.get(CONFIG_MAPS).await;
    let why = r#""reason":"TooManyRequests""#;
    assert!(
        refused.code == 429 && refused.text.contains(why),
        "{}",
        refused.text
    );
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(
        (env.clock.now() - start).as_secs(),
        15,
        "a quarter of the time it has"
    );
    let one = http
        .get(&format!(
            "{CONFIG_MAPS}?limit=1&fieldSelector=metadata.name=nobody"
        ))
        .await;
    assert_eq!(one.code, 200, "small ones are answered");
    drop(taken);
    let served = http.get(CONFIG_MAPS).await;
    assert!(served.code == 200 && served.text.len() > 200 << 10);
}

#[tokio::test(start_paused = true)]
async fn clients_in_memory_wait_as_others_do() {
    let (server, env) = server(Limits::default()).await;
    let mut http = Http::new(&server).await;
    tiny(&mut http).await;
    dangles(&mut http, "noisy", "False").await;
    let mut slow = Vec::new();
    for at in 0..3 {
        slow.push(Slow::new(&server, &format!("slow-{at}")).await);
    }
    env.clock.sleep(Duration::from_secs(1)).await;
    let noisy = crate::security::User::new("noisy", &[]);
    let client = client::Client::new(server.local(noisy), "test");
    let config_maps = api::Gvr::new("", "v1", "configmaps");
    let list = || client.list(&config_maps, "default", client::ListParams::default());
    let refused = list().await.map(drop).unwrap_err();
    assert_eq!(
        (refused.code, refused.details.unwrap().retry_after_seconds),
        (429, 1)
    );
    let (listed, ()) = tokio::join!(list(), async {
        env.clock.sleep(Duration::from_secs(1)).await;
        slow[0].end().await;
    });
    assert!(listed.is_ok(), "it waits until there is a seat");
}
