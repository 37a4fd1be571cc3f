//! Stories of audit.
#![expect(clippy::disallowed_types, reason = "events are looked into")]

mod elsewhere;
mod issued;
mod policies;
mod slow;

use super::{Audit, Batch, Format, LogSettings, Mode, Settings, Stage, Truncate, WebhookSettings};
use crate::{
    Server, fixture,
    http::stories::Http,
    security::{Attributes, Security, User},
};
use api::{Gvr, Key};
use bytes::Bytes;
use client::Patch;
use component::Env;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use resources::Row;
use serde_json::{Value as Json, json};
use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;

const WIDGETS: &str = "/apis/test.io/v1/namespaces/default/widgets";

fn policy(rules: &str) -> String {
    format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}")
}

fn log(path: &Path, mode: Mode) -> LogSettings {
    LogSettings {
        path: path.to_owned(),
        format: Format::Json,
        max_age: 0,
        max_backups: 0,
        max_size: 0,
        compress: false,
        mode,
        truncate: None,
    }
}

/// A server that tells what is done.
struct Told {
    dir: tempfile::TempDir,
    server: Arc<Server>,
    env: Env,
}

impl Told {
    async fn new(rules: &str, change: impl FnOnce(&mut Settings)) -> Self {
        Self::of(fixture::small_table(), rules, change).await
    }

    /// One that serves these.
    async fn of(rows: Vec<&'static Row>, rules: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::simulated(23);
        std::fs::write(dir.path().join("policy.yaml"), policy(rules)).unwrap();
        let mut settings = Settings {
            policy_file: Some(dir.path().join("policy.yaml")),
            log: Some(log(&dir.path().join("audit.log"), Mode::Blocking)),
            webhook: None,
        };
        change(&mut settings);
        let audit = Audit::open(&settings, &env).unwrap();
        let store = etcd::Engine::in_memory(env.clone()).unwrap();
        let mut config = fixture::config(store, rows, fixture::no_nodes());
        let make = config.security;
        config.security = Box::new(move |reader| {
            let security = make(reader)?;
            Ok(Security { audit, ..security })
        });
        let server = Server::start(config, env.clone()).await.unwrap();
        Self { dir, server, env }
    }

    /// With the namespace `default`; nothing is told of it.
    async fn inhabited(self) -> Self {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
        let client = fixture::client(&self.server);
        client
            .create(&Gvr::new("", "v1", "namespaces"), "", &body)
            .await
            .unwrap();
        self.events();
        self
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("audit.log")
    }

    /// What was told since the last time.
    fn events(&self) -> Vec<Json> {
        let text = std::fs::read_to_string(self.path()).unwrap();
        std::fs::write(self.path(), "").unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The same, when the server has ended.
    async fn last_events(&self) -> Vec<Json> {
        assert!(self.env.tasks.drain(Duration::from_secs(60)).await);
        self.events()
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        self.env.metrics.write(&mut text);
        text
    }
}

fn widget(name: &str) -> String {
    json!({"apiVersion": "test.io/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 3}})
        .to_string()
}

fn stages(events: &[Json]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["stage"].as_str().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_policy_says_how_much_is_told() {
    let rules = "- {level: None, users: [quiet]}\n- {level: Metadata, users: [brief], omitStages: [RequestReceived]}\n\
         - {level: Request, users: [ann], omitStages: [RequestReceived]}\n\
         - {level: RequestResponse, resources: [{group: test.io}], omitManagedFields: true}\n- {level: Metadata}\n";
    let told = Told::new(rules, |_| {}).await.inhabited().await;
    let mut http = Http::new(&told.server).await;
    let as_user = |name: &str| format!("Bearer {name}");
    http.ask(
        "POST",
        WIDGETS,
        &[("authorization", &as_user("quiet"))],
        &widget("a"),
    )
    .await;
    assert!(told.events().is_empty());

    let headers = [
        ("authorization", "Bearer ann"),
        ("user-agent", "teller/1"),
        ("x-forwarded-for", "192.0.2.7, 192.0.2.8"),
        ("audit-id", "one-of-mine"),
    ];
    let answer = http.ask("POST", WIDGETS, &headers, &widget("b")).await;
    assert_eq!(
        (answer.code, answer.headers["audit-id"].to_str().unwrap()),
        (201, "one-of-mine")
    );
    let events = told.events();
    assert_eq!(stages(&events), ["ResponseComplete"]);
    let event = &events[0];
    for (part, wanted) in [
        ("kind", json!("Event")),
        ("apiVersion", json!("audit.k8s.io/v1")),
        ("level", json!("Request")),
        ("auditID", json!("one-of-mine")),
        ("requestURI", json!(WIDGETS)),
        ("verb", json!("create")),
        (
            "user",
            json!({"username": "ann", "groups": ["system:authenticated"]}),
        ),
        ("sourceIPs", json!(["192.0.2.7", "192.0.2.8"])),
        ("userAgent", json!("teller/1")),
        ("responseStatus", json!({"metadata": {}, "code": 201})),
        ("requestObject", serde_json::from_str(&widget("b")).unwrap()),
        ("responseObject", Json::Null),
        (
            "annotations",
            json!({"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "test"}),
        ),
        (
            "objectRef",
            json!({"resource": "widgets", "namespace": "default", "name": "b", "apiGroup": "test.io", "apiVersion": "v1"}),
        ),
    ] {
        assert_eq!(event[part], wanted, "{part}");
    }
    assert!(
        event["requestReceivedTimestamp"]
            .as_str()
            .unwrap()
            .ends_with("000Z")
    );

    http.ask(
        "POST",
        WIDGETS,
        &[("authorization", "Bearer brief")],
        &widget("c"),
    )
    .await;
    let events = told.events();
    assert!(events[0]["requestObject"].is_null());
    assert_eq!(events[0]["objectRef"]["name"], "c");

    let got = http
        .ask("GET", &format!("{WIDGETS}/b?pretty=true"), &[], "")
        .await;
    assert_eq!(got.code, 200);
    let events = told.events();
    assert_eq!(stages(&events), ["RequestReceived", "ResponseComplete"]);
    assert_eq!(events[1]["responseObject"]["metadata"]["name"], "b");
    assert!(events[1]["responseObject"]["metadata"]["managedFields"].is_null());
    assert!(events[0]["responseStatus"].is_null());

    let list = http.get(WIDGETS).await;
    assert!(
        list.text.contains("managedFields"),
        "only what is told is without them"
    );
    let events = told.events();
    let items = events[1]["responseObject"]["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    assert!(
        items
            .iter()
            .all(|item| item["metadata"]["managedFields"].is_null())
    );

    http.ask("DELETE", &format!("{WIDGETS}/b"), &[], "").await;
    assert_eq!(told.events()[1]["responseStatus"]["status"], "Success");
    http.get(&format!("{WIDGETS}/b")).await;
    let missing = told.events().remove(1);
    let status = &missing["responseStatus"];
    assert_eq!(
        (&status["code"], &status["reason"], &status["status"]),
        (&json!(404), &json!("NotFound"), &json!("Failure"))
    );
}

#[tokio::test(start_paused = true)]
async fn who_may_not_and_who_is_not_known_are_told() {
    let told = Told::new("- {level: Metadata, omitStages: [RequestReceived]}\n", |_| {}).await;
    let mut http = Http::new(&told.server).await;
    let nobody = http
        .ask("GET", WIDGETS, &[("authorization", "Bearer nobody")], "")
        .await;
    assert_eq!(nobody.code, 403);
    let event = told.events().remove(0);
    assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(event["responseStatus"]["reason"], "Forbidden");
    let bad = http
        .ask("GET", WIDGETS, &[("authorization", "Bearer bad")], "")
        .await;
    assert_eq!(bad.code, 401);
    let events = told.events();
    assert_eq!(stages(&events), ["ResponseStarted"]);
    assert_eq!(events[0]["user"], json!({}));
    assert_eq!(events[0]["responseStatus"]["code"], 401);
    assert_eq!(
        events[0]["responseStatus"]["message"],
        "Authentication failed, attempted: bearer"
    );
    http.ask(
        "GET",
        WIDGETS,
        &[("impersonate-user", "eve"), ("impersonate-group", "dev")],
        "",
    )
    .await;
    let event = told.events().remove(0);
    assert_eq!(event["user"]["username"], "admin");
    assert_eq!(event["impersonatedUser"]["username"], "eve");
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_told_when_it_begins_and_when_it_ends() {
    let told = Told::new(
        "- {level: RequestResponse, resources: [{group: test.io}]}\n",
        |_| {},
    )
    .await;
    let mut http = Http::new(&told.server).await;
    let answer = http
        .send("GET", &format!("{WIDGETS}?watch=1&timeoutSeconds=5"), &[], "")
        .await;
    assert_eq!(stages(&told.events()), ["RequestReceived", "ResponseStarted"]);
    answer.into_body().collect().await.unwrap();
    // The end is told by a task of its own.
    told.env.clock.sleep(Duration::from_secs(1)).await;
    let events = told.events();
    assert_eq!(stages(&events), ["ResponseComplete"]);
    assert_eq!(
        (&events[0]["verb"], &events[0]["responseStatus"]["code"]),
        (&json!("watch"), &json!(200))
    );
}

#[tokio::test(start_paused = true)]
async fn clients_of_this_process_are_told_as_any() {
    let rules = "- {level: RequestResponse, omitStages: [RequestReceived]}\n";
    let told = Told::new(rules, |_| {}).await.inhabited().await;
    let client = fixture::client(&told.server);
    let widgets = Gvr::new("test.io", "v1", "widgets");
    let body: Json = serde_json::from_str(&widget("x")).unwrap();
    client.create(&widgets, "default", &body).await.unwrap();
    let event = told.events().remove(0);
    assert_eq!(
        (&event["verb"], &event["requestURI"]),
        (&json!("create"), &json!(WIDGETS))
    );
    assert_eq!(event["requestObject"]["metadata"]["name"], "x");
    assert_eq!(event["responseObject"]["metadata"]["name"], "x");
    assert_eq!(event["responseStatus"]["code"], 201);
    let patch = json!({"spec": {"size": 4}});
    client
        .patch(&widgets, &Key::new("default", "x"), "", Patch::Merge, &patch)
        .await
        .unwrap();
    assert_eq!(told.events()[0]["requestObject"], patch);
    client.get(&widgets, &Key::new("default", "y")).await.unwrap_err();
    assert_eq!(told.events()[0]["responseStatus"]["code"], 404);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_told_is_refused_by_a_strict_log() {
    let full =
        |mode: Mode| move |settings: &mut Settings| settings.log = Some(log(Path::new("/dev/full"), mode));
    let strict = Told::new("- {level: Metadata}\n", full(Mode::BlockingStrict)).await;
    let answer = Http::new(&strict.server).await.get(WIDGETS).await;
    assert_eq!(answer.code, 500);
    assert!(
        answer.text.contains("failed to store audit event"),
        "{}",
        answer.text
    );
    assert!(
        strict
            .metrics()
            .contains("apiserver_audit_requests_rejected_total 1")
    );
    let lax = Told::new("- {level: Metadata}\n", full(Mode::Blocking)).await;
    assert_eq!(Http::new(&lax.server).await.get(WIDGETS).await.code, 200);
    assert!(
        lax.metrics()
            .contains(r#"apiserver_audit_error_total{plugin="log"} 2"#),
        "{}",
        lax.metrics()
    );
}

#[tokio::test(start_paused = true)]
async fn large_events_are_made_smaller_or_lost() {
    let told = Told::new(
        "- {level: RequestResponse, omitStages: [RequestReceived]}\n",
        |settings| {
            let log = settings.log.as_mut().unwrap();
            log.truncate = Some(Truncate {
                max_batch_size: 4096,
                max_event_size: 1500,
            });
        },
    )
    .await
    .inhabited()
    .await;
    let mut http = Http::new(&told.server).await;
    let large = widget("a").replace(
        r#""size":3"#,
        &format!(r#""size":3,"text":"{}""#, "x".repeat(4000)),
    );
    assert_eq!(http.ask("POST", WIDGETS, &[], &large).await.code, 201);
    let event = told.events().remove(0);
    assert!(event["requestObject"].is_null() && event["responseObject"].is_null());
    assert_eq!(event["annotations"]["audit.k8s.io/truncated"], "true");
    http.get(&format!("{WIDGETS}?x={}", "y".repeat(3000))).await;
    assert!(told.events().is_empty());
    assert!(
        told.metrics()
            .contains(r#"apiserver_audit_error_total{plugin="truncate"} 1"#)
    );
}

#[tokio::test(start_paused = true)]
async fn lines_of_words() {
    let told = Told::new("- {level: Metadata}\n", |settings| {
        settings.log.as_mut().unwrap().format = Format::Legacy
    })
    .await;
    let mut http = Http::new(&told.server).await;
    http.ask("GET", WIDGETS, &[("audit-id", "7"), ("user-agent", "u")], "")
        .await;
    let text = std::fs::read_to_string(told.path()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let words = concat!(
        r#" AUDIT: id="7" stage="RequestReceived" ip="<unknown>" method="list" user="admin" "#,
        r#"groups="\"system:authenticated\"" as="<self>" asgroups="<lookup>" user-agent="u" namespace="default" "#,
        r#"uri="/apis/test.io/v1/namespaces/default/widgets" response="<deferred>""#
    );
    assert!(lines[0].ends_with(words), "{}", lines[0]);
    assert!(lines[1].ends_with(r#"response="200""#));
}

/// A server that takes batches of events; the first it refuses.
async fn taker(env: &Env, dir: &Path) -> (WebhookSettings, Arc<Mutex<Vec<Json>>>) {
    let taken: Arc<Mutex<Vec<Json>>> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config_file = dir.join("kubeconfig");
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: \"http://{}/events\"}}}}]\nusers: [{{name: u, user: {{}}}}]\n",
        listener.local_addr().unwrap()
    );
    std::fs::write(&config_file, kubeconfig).unwrap();
    let (kept, tasks) = (taken.clone(), env.tasks.clone());
    env.tasks.spawn("taker", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = kept.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let kept = kept.clone();
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let mut kept = kept.lock().unwrap();
                    kept.push(serde_json::from_slice(&body).unwrap());
                    let code = if kept.len() == 1 { 403 } else { 200 };
                    let response = Response::builder()
                        .status(code)
                        .body(Full::new(Bytes::from_static(b"{}")));
                    Ok::<_, Infallible>(response.unwrap())
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tasks.spawn("taker-connection", async move {
                let _ = connection.await;
            });
        }
    });
    let settings = WebhookSettings {
        config_file,
        initial_backoff: Duration::from_millis(10),
        mode: Mode::Batch(Batch {
            buffer_size: 3,
            max_size: 2,
            max_wait: Duration::from_millis(10),
            throttle: None,
            several: false,
        }),
        truncate: None,
    };
    (settings, taken)
}

fn asked(verb: &str, resource: &str, namespace: &str) -> Attributes {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Attributes {
        user: Arc::new(User::new("ann", &["dev", "system:authenticated"])),
        verb: verb.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: "x".to_owned(),
        is_resource: true,
        ..Attributes::default()
    }
}

#[tokio::test]
async fn batches_are_posted_until_they_arrive_and_what_has_no_room_is_counted() {
    let env = Env::system();
    let dir = tempfile::tempdir().unwrap();
    let (webhook, taken) = taker(&env, dir.path()).await;
    std::fs::write(dir.path().join("policy"), policy("- {level: Metadata}\n")).unwrap();
    let settings = Settings {
        policy_file: Some(dir.path().join("policy")),
        log: None,
        webhook: Some(webhook),
    };
    let audit = Audit::open(&settings, &env).unwrap().unwrap();
    let records: Vec<_> = (0..6)
        .map(|_| {
            audit
                .record(&asked("get", "pods", "a"), super::Outside::default(), false)
                .unwrap()
        })
        .collect();
    // The queue takes three while nobody runs; no request waits.
    for record in &records {
        assert!(record.stage(Stage::RequestReceived).await);
    }
    let mut text = String::new();
    env.metrics.write(&mut text);
    assert!(
        text.contains(r#"apiserver_audit_error_total{plugin="buffered"} 3"#),
        "{text}"
    );
    assert!(text.contains("apiserver_audit_event_total 6"), "{text}");
    records.into_iter().for_each(std::mem::forget);
    // What is queued is still posted when all is over.
    assert!(env.tasks.drain(Duration::from_secs(20)).await || !taken.lock().unwrap().is_empty());
    let taken = taken.lock().unwrap();
    assert!(
        taken
            .iter()
            .all(|list| list["kind"] == "EventList" && list["apiVersion"] == "audit.k8s.io/v1")
    );
}
