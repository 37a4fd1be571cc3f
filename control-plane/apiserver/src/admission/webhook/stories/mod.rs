//! Stories of webhooks, told over HTTP; the webhooks are a server of their own behind TLS, reached as a service.
#![expect(clippy::disallowed_types, reason = "reviews are looked into")]

mod configurations;
mod failures;
mod notes;
mod reviews;

use crate::{Server, admission::bad_input, fixture, http::stories::Http};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use client::{Dial, Duplex, Peer};
use component::{
    Env,
    pki::{Authority, Leaf, Purpose},
};
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

pub const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: (&str, &str) = ("content-type", "application/json");

/// What was asked: the path, and the request of the review.
type Asked = Arc<Mutex<Vec<(String, Json)>>>;

/// The server of the webhooks. What one answers follows from its path.
pub struct Hooks {
    env: Env,
    tls: Mutex<Option<Arc<rustls::ServerConfig>>>,
    asked: Asked,
    connections: Arc<AtomicUsize>,
}

impl Dial for Hooks {
    fn dial(&self, peer: &Peer) -> BoxFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        if *peer != Peer::Service("default".to_owned(), "hooks".to_owned(), 443) {
            return async { Err(std::io::ErrorKind::ConnectionRefused.into()) }.boxed();
        }
        let tls = self.tls.lock().unwrap().clone().unwrap();
        let (asked, clock) = (self.asked.clone(), self.env.clock.clone());
        self.connections.fetch_add(1, Ordering::SeqCst);
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        self.env.tasks.spawn("hooks", async move {
            let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls).accept(theirs).await else {
                return;
            };
            let service = service_fn(move |request: Request<Incoming>| {
                let (asked, clock) = (asked.clone(), clock.clone());
                async move {
                    let path = request.uri().path().to_owned();
                    assert!(request.uri().query().unwrap().starts_with("timeout="));
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let review: Json = serde_json::from_slice(&body).unwrap();
                    asked
                        .lock()
                        .unwrap()
                        .push((path.clone(), review["request"].clone()));
                    if path == "/slow" {
                        clock.sleep(std::time::Duration::from_millis(100)).await;
                    }
                    if path == "/hang" {
                        clock.sleep(std::time::Duration::from_secs(3600)).await;
                    }
                    let (code, text) = answer(&path, &review);
                    let response = Response::builder()
                        .status(code)
                        .header("location", "https://elsewhere.example.com/");
                    Ok::<_, Infallible>(response.body(Full::new(Bytes::from(text))).unwrap())
                }
            });
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        async { Ok(Box::new(ours) as Box<dyn Duplex>) }.boxed()
    }

    fn trusted(&self, _: &Peer) -> bool {
        false
    }
}

fn reply(review: &Json, response: Json) -> (u16, String) {
    let mut response = response;
    if response["uid"].is_null() {
        response["uid"] = review["request"]["uid"].clone();
    }
    let answer = json!({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response});
    (200, answer.to_string())
}

/// Yes, with a JSON patch.
pub fn patch(review: &Json, patch: &str) -> (u16, String) {
    reply(
        review,
        json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch)}),
    )
}

/// What the webhook at `path` answers.
fn answer(path: &str, review: &Json) -> (u16, String) {
    let status = |status: Json| json!({"allowed": false, "status": status});
    match path {
        "/allow" => reply(review, json!({"allowed": true, "warnings": ["mind the gap"]})),
        "/deny" => reply(review, json!({"allowed": false, "warnings": ["this ends badly"]})),
        "/forbid" => reply(
            review,
            status(json!({"code": 403, "reason": "Forbidden", "message": "not on a Sunday"})),
        ),
        "/reason" => reply(review, status(json!({"code": 200, "status": "Success", "reason": "Invalid"}))),
        "/mark" => patch(review, r#"[{"op":"add","path":"/data/mark","value":"yes"}]"#),
        // Says in how many marks it saw before its own.
        "/count" => {
            let data = review["request"]["object"]["data"].as_object().unwrap();
            let seen = data.keys().filter(|key| key.starts_with("mark")).count();
            let key = format!("count{seen}");
            patch(review, &json!([{"op": "add", "path": format!("/data/{key}"), "value": "1"}]).to_string())
        }
        "/label" => patch(review, r#"[{"op":"add","path":"/metadata/labels","value":{"by":"hook"}}]"#),
        "/scale" => patch(review, r#"[{"op":"replace","path":"/spec/replicas","value":7}]"#),
        "/older" => patch(
            review,
            r#"[{"op":"replace","path":"/apiVersion","value":"autoscaling/v1"},{"op":"remove","path":"/spec/metrics"},
                {"op":"add","path":"/spec/targetCPUUtilizationPercentage","value":42}]"#,
        ),
        "/spoil" => patch(
            review,
            r#"[{"op":"replace","path":"/metadata/managedFields","value":[{"fieldsType":"nonsense"}]}]"#,
        ),
        "/name" => patch(review, r#"[{"op":"add","path":"/metadata/namespace","value":"elsewhere"}]"#),
        "/invalid" => patch(review, r#"[{"op":"add","path":"/data","value":{"not a key":"x"}}]"#),
        "/type" => patch(review, r#"[{"op":"add","path":"/data","value":["a","list"]}]"#),
        "/test" => patch(review, r#"[{"op":"test","path":"/data","value":"never"}]"#),
        "/no-list" => patch(review, r#"{"op":"add"}"#),
        "/nothing" => patch(review, "[]"),
        "/merge" => reply(
            review,
            json!({"allowed": true, "patchType": "MergePatch", "patch": STANDARD.encode("[{}]")}),
        ),
        "/base64" => reply(review, json!({"allowed": true, "patchType": "JSONPatch", "patch": "*"})),
        "/no-type" => reply(review, json!({"allowed": true, "patch": STANDARD.encode("[{}]")})),
        "/only-type" => reply(review, json!({"allowed": true, "patchType": "JSONPatch"})),
        "/uid" => reply(review, json!({"allowed": true, "uid": "another"})),
        "/absent" => (200, json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).to_string()),
        "/kind" => (
            200,
            json!({"kind": "Pod", "apiVersion": "v1", "response": {"allowed": true, "uid": review["request"]["uid"]}})
                .to_string(),
        ),
        "/slow" => reply(review, json!({"allowed": true})),
        "/annotate" => reply(review, json!({"allowed": true, "auditAnnotations": {"who": "me"}})),
        "/garbage" => (200, "<html>".to_owned()),
        "/empty" => (200, String::new()),
        "/500" => (500, "out of order".to_owned()),
        "/404" => (404, String::new()),
        "/302" => (302, String::new()),
        other => bad_input::answer(other, review).unwrap_or_else(|| (418, other.to_owned())),
    }
}

fn tls(leaf: &Leaf) -> Arc<rustls::ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (chain, key) = leaf.der().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.unwrap())
}

/// A server, a client, and the webhooks.
pub struct Story {
    pub http: Http,
    pub server: Arc<Server>,
    hooks: Arc<Hooks>,
    bundle: String,
}

impl Story {
    pub async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    /// Of a server whose configuration is changed.
    pub async fn with(change: impl FnOnce(&mut crate::Config, &Env)) -> Self {
        let env = Env::simulated(11);
        let folder = tempfile::tempdir().unwrap();
        // TLS looks at the clock of the machine.
        let now = component::Clock::system().wall();
        let authority = Authority::open(folder.path(), now).unwrap();
        let purpose = Purpose::server("hooks", vec!["hooks.default.svc".to_owned()]);
        let leaf = authority.leaf("hooks", &purpose, now).unwrap();
        let hooks = Arc::new(Hooks {
            env: env.clone(),
            tls: Mutex::new(Some(tls(&leaf))),
            asked: Arc::default(),
            connections: Arc::default(),
        });
        let store = etcd::Engine::in_memory(env.clone()).unwrap();
        let mut config = fixture::config(store, resources::table().to_vec(), hooks.clone());
        change(&mut config, &env);
        let server = Server::start(config, env.clone()).await.unwrap();
        server.bootstrap().await.unwrap();
        Self {
            http: Http::new(&server).await,
            server,
            hooks,
            bundle: STANDARD.encode(authority.certificate()),
        }
    }

    /// Makes a configuration of the webhooks `hooks`: their paths, and what they have beside the usual.
    pub async fn configure(&mut self, sort: &str, name: &str, hooks: &[(&str, Json)]) {
        let hooks: Vec<Json> = hooks.iter().map(|(path, more)| self.hook(path, more)).collect();
        let (plural, kind) = match sort {
            "mutating" => ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
            _ => (
                "validatingwebhookconfigurations",
                "ValidatingWebhookConfiguration",
            ),
        };
        let body = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": {"name": name}, "webhooks": hooks});
        let (code, text, _) = self.send("POST", &format!("{GROUP}/{plural}"), &body).await;
        assert_eq!(code, 201, "{text}");
    }

    /// A webhook: its path, and what it has beside the usual.
    pub fn hook(&self, path: &str, more: &Json) -> Json {
        let mut hook = json!({
            "name": format!("{}.example.com", path.trim_start_matches('/')),
            "clientConfig": {"caBundle": self.bundle,
                "service": {"namespace": "default", "name": "hooks", "path": path}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["configmaps"]}],
            "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 3,
        });
        for (key, value) in more.as_object().unwrap() {
            hook[key] = value.clone();
        }
        hook
    }

    /// Deletes all configurations.
    pub async fn clear(&mut self) {
        for plural in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
            let (code, text, _) = self
                .send("DELETE", &format!("{GROUP}/{plural}"), &json!({}))
                .await;
            assert_eq!(code, 200, "{text}");
        }
        self.asked();
    }

    /// Sends JSON; the answer, and the warnings.
    pub async fn send(&mut self, method: &str, url: &str, body: &Json) -> (u16, Json, Vec<String>) {
        self.send_as(method, url, JSON, body).await
    }

    pub async fn send_as(
        &mut self,
        method: &str,
        url: &str,
        kind: (&str, &str),
        body: &Json,
    ) -> (u16, Json, Vec<String>) {
        let answer = self.http.ask(method, url, &[kind], &body.to_string()).await;
        let warnings = answer.headers.get_all("warning").iter();
        let warnings = warnings.map(|text| text.to_str().unwrap().to_owned()).collect();
        let body = serde_json::from_str(&answer.text).unwrap_or(Json::Null);
        (answer.code, body, warnings)
    }

    /// Makes a ConfigMap.
    pub async fn map(&mut self, name: &str) -> (u16, Json, Vec<String>) {
        self.send("POST", MAPS, &map(name)).await
    }

    /// What was asked since this was asked last.
    pub fn asked(&self) -> Vec<(String, Json)> {
        std::mem::take(&mut self.hooks.asked.lock().unwrap())
    }

    /// The same, but for what: the paths.
    pub fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|(path, _)| path).collect()
    }

    pub fn connections(&self) -> usize {
        self.hooks.connections.load(Ordering::SeqCst)
    }

    pub fn metric(&self, start: &str) -> Option<String> {
        let told = crate::metrics::told(&self.server);
        let line = told.lines().find(|line| line.starts_with(start))?;
        line.rsplit(' ').next().map(str::to_owned)
    }
}

pub fn map(name: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
}

pub fn rule(group: &str, resource: &str, operations: &[&str]) -> Json {
    json!([{"apiGroups": [group], "apiVersions": ["*"], "operations": operations, "resources": [resource]}])
}

fn message(body: &Json) -> &str {
    body["message"].as_str().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_webhook_denies_a_write() {
    let mut story = Story::new().await;
    story
        .configure(
            "validating",
            "one",
            &[("/allow", json!({})), ("/deny", json!({}))],
        )
        .await;
    let (code, body, mut warnings) = story.map("a").await;
    assert_eq!(
        (code, message(&body)),
        (
            400,
            r#"admission webhook "deny.example.com" denied the request without explanation"#
        )
    );
    warnings.sort();
    assert_eq!(
        warnings,
        [r#"299 - "mind the gap""#, r#"299 - "this ends badly""#]
    );
    story.clear().await;
    story
        .configure("validating", "one", &[("/forbid", json!({}))])
        .await;
    let (code, body, _) = story.map("a").await;
    let denied = r#"admission webhook "forbid.example.com" denied the request: not on a Sunday"#;
    assert_eq!(
        (code, message(&body), &body["reason"]),
        (403, denied, &json!("Forbidden"))
    );
    story.clear().await;
    story
        .configure("validating", "one", &[("/reason", json!({}))])
        .await;
    let (code, body, _) = story.map("a").await;
    let denied = r#"admission webhook "reason.example.com" denied the request: Invalid"#;
    assert_eq!((code, message(&body)), (400, denied));
    let rejected = r#"apiserver_admission_webhook_rejection_count{error_type="no_error",name="forbid.example.com",operation="CREATE",rejection_code="403",type="validating"}"#;
    assert_eq!(story.metric(rejected).as_deref(), Some("1"));
    story.clear().await;
    story
        .configure("validating", "one", &[("/allow", json!({}))])
        .await;
    let (code, _, warnings) = story.map("a").await;
    assert_eq!(
        (code, warnings),
        (201, vec![r#"299 - "mind the gap""#.to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn webhooks_change_a_write_in_their_order() {
    let mut story = Story::new().await;
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    story.configure("mutating", "a", &[("/count", again)]).await;
    story.configure("mutating", "b", &[("/mark", json!({}))]).await;
    let (code, body, _) = story.map("a").await;
    assert_eq!(code, 201, "{body}");
    assert_eq!(
        story.paths(),
        ["/count", "/mark", "/count"],
        "the first is asked again"
    );
    assert_eq!(
        body["data"],
        json!({"a": "b", "count0": "1", "count1": "1", "mark": "yes"})
    );
    let fields = body["metadata"]["managedFields"].to_string();
    assert!(
        fields.contains("f:a") && !fields.contains("f:mark"),
        "the client owns what it sent: {fields}"
    );

    let (code, body, _) = story
        .send_as(
            "PATCH",
            &format!("{MAPS}/a"),
            ("content-type", "application/merge-patch+json"),
            &json!({"data": {"mark": null, "c": "d"}}),
        )
        .await;
    assert_eq!(
        (code, &body["data"]["mark"], &body["data"]["c"]),
        (200, &json!("yes"), &json!("d"))
    );
    story.asked();
    let applied = ("content-type", "application/apply-patch+yaml");
    let url = format!("{MAPS}/new?fieldManager=me");
    let (code, body, _) = story.send_as("PATCH", &url, applied, &map("new")).await;
    assert_eq!((code, &body["data"]["mark"]), (201, &json!("yes")), "{body}");
    assert_eq!(story.paths(), ["/count", "/mark", "/count"]);
    assert_eq!(
        story.connections(),
        2,
        "connections are kept, one for each webhook"
    );
}

#[tokio::test(start_paused = true)]
async fn a_changed_object_is_defaulted_and_validated() {
    let mut story = Story::new().await;
    story.configure("mutating", "a", &[("/invalid", json!({}))]).await;
    let (code, body, _) = story.map("a").await;
    assert_eq!((code, &body["reason"]), (422, &json!("Invalid")), "{body}");
    story.clear().await;
    story.configure("mutating", "a", &[("/spoil", json!({}))]).await;
    let (code, body, warnings) = story.map("a").await;
    assert_eq!(code, 201, "{body}");
    let odd = ".metadata.managedFields was in an invalid state after admission";
    assert!(
        warnings.iter().any(|warning| warning.contains(odd)),
        "{warnings:?}"
    );
    assert!(body["metadata"]["managedFields"].to_string().contains("f:a"));
    story.clear().await;
    story.configure("mutating", "a", &[("/name", json!({}))]).await;
    let (code, body, _) = story.map("b").await;
    assert_eq!(code, 400, "{body}");
    assert!(message(&body).starts_with("the namespace of the provided object does not match"));
    story.clear().await;
    story.configure("mutating", "a", &[("/nothing", json!({}))]).await;
    assert_eq!(story.map("c").await.0, 201);
}

#[tokio::test(start_paused = true)]
async fn webhooks_are_asked_about_what_they_want() {
    let mut story = Story::new().await;
    let matching = |more: Json| vec![("/allow", more)];
    let cases = [
        (json!({}), true),
        (json!({"rules": rule("", "configmaps", &["UPDATE"])}), false),
        (json!({"rules": rule("apps", "*", &["*"])}), false),
        (json!({"rules": rule("*", "*/*", &["*"])}), true),
        (json!({"rules": rule("*", "configmaps/status", &["*"])}), false),
        (
            json!({"rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"],
            "resources": ["*"], "scope": "Cluster"}]}),
            false,
        ),
        (json!({"objectSelector": {"matchLabels": {"x": "y"}}}), false),
        (
            json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}),
            true,
        ),
        (
            json!({"namespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["default"]}]}}),
            false,
        ),
        (
            json!({"matchConditions": [{"name": "b", "expression": "object.data.a == 'b'"}]}),
            true,
        ),
        (
            json!({"matchConditions": [{"name": "c", "expression": "object.data.a == 'c'"}]}),
            false,
        ),
        (
            json!({"matchConditions": [
            {"name": "b", "expression": "request.operation == 'CREATE' && request.resource.resource == 'configmaps'"},
            {"name": "c", "expression": "request.userInfo.username == 'nobody'"}]}),
            false,
        ),
    ];
    for (more, asked) in cases {
        story
            .configure("validating", "one", &matching(more.clone()))
            .await;
        let (code, body, _) = story.send("POST", &format!("{MAPS}?dryRun=All"), &map("x")).await;
        assert_eq!(code, 201, "{more}: {body}");
        assert_eq!(!story.paths().is_empty(), asked, "{more}");
        story.clear().await;
    }
    let broken = json!({"matchConditions": [{"name": "b", "expression": "object.nothing == 'b'"}]});
    story
        .configure("validating", "one", &matching(broken.clone()))
        .await;
    let (code, body, _) = story.map("x").await;
    assert_eq!(code, 403, "{body}");
    assert!(message(&body).contains("no such key: nothing"), "{body}");
    story.clear().await;
    let mut open = broken;
    open["failurePolicy"] = "Ignore".into();
    story.configure("validating", "one", &matching(open)).await;
    assert_eq!(story.map("x").await.0, 201);
    assert!(story.paths().is_empty());
}

#[tokio::test(start_paused = true)]
async fn configurations_of_webhooks_are_never_refused_by_webhooks() {
    let mut story = Story::new().await;
    let all = json!({"rules": rule("*", "*/*", &["*"])});
    story
        .configure("mutating", "all", &[("/hang", all.clone())])
        .await;
    story.configure("validating", "all", &[("/deny", all)]).await;
    assert_eq!(story.map("a").await.0, 500);
    let url = format!("{GROUP}/validatingwebhookconfigurations");
    let (code, list, _) = story.send("GET", &url, &json!({})).await;
    assert_eq!((code, list["items"].as_array().unwrap().len()), (200, 1));
    let (code, _, _) = story
        .send(
            "DELETE",
            &format!("{GROUP}/mutatingwebhookconfigurations/all"),
            &json!({}),
        )
        .await;
    assert_eq!(code, 200);
    assert_eq!(story.map("a").await.0, 400);
    story.clear().await;
    assert_eq!(story.map("a").await.0, 201);
}
