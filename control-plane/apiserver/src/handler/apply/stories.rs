//! Stories of managed fields and server-side apply, over the real kinds.

use crate::{Server, fixture, security::User};
use api::{Gvr, Key, Object, Status};
use bytes::Bytes;
use client::{Client, DeleteOptions, Patch, Target, Write, WriteOptions};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

const DEPLOYMENTS: Gvr = Gvr::new("apps", "v1", "deployments");
const MAPS: Gvr = Gvr::new("", "v1", "configmaps");
const PODS: Gvr = Gvr::new("", "v1", "pods");
const SERVICES: Gvr = Gvr::new("", "v1", "services");

struct Story {
    server: Arc<Server>,
    env: component::Env,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    metadata: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    managed_fields: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    manager: String,
    operation: String,
    api_version: String,
    #[serde(default)]
    subresource: String,
    #[serde(rename = "fieldsV1")]
    fields: Box<serde_json::value::RawValue>,
}

/// A line a manager.
fn owners(object: &Object) -> String {
    let view: View = object.view().unwrap();
    let line = |entry: &Entry| {
        let sub = if entry.subresource.is_empty() { "" } else { "/" };
        format!(
            "{}{sub}{} {} {} {}\n",
            entry.manager, entry.subresource, entry.operation, entry.api_version, entry.fields
        )
    };
    view.metadata.managed_fields.iter().map(line).collect()
}

fn text(object: &Object) -> String {
    String::from_utf8(object.unmanaged().to_vec()).unwrap()
}

impl Story {
    async fn new() -> Self {
        let (server, env) = fixture::whole().await;
        let story = Self { server, env };
        let account = r#"{"metadata":{"name":"default"}}"#;
        story
            .create("test", &Gvr::new("", "v1", "serviceaccounts"), account)
            .await
            .unwrap();
        story
    }

    async fn write(
        &self,
        options: WriteOptions,
        target: Target,
        write: Write,
    ) -> Result<Arc<Object>, Status> {
        // Each write in a second of its own.
        self.env.clock.sleep(Duration::from_secs(1)).await;
        let transport = self.server.local(User::new("admin", &[]));
        transport.write(target, write, options).await
    }

    async fn create(&self, manager: &str, gvr: &Gvr, body: &str) -> Result<Arc<Object>, Status> {
        let options = WriteOptions {
            field_manager: manager.to_owned(),
            ..WriteOptions::default()
        };
        let body = Bytes::from(body.to_owned());
        self.write(options, Target::collection(gvr, "default"), Write::Create(body))
            .await
    }

    async fn patch(
        &self,
        manager: &str,
        (gvr, name, subresource): (&Gvr, &str, &'static str),
        (kind, body): (Patch, &str),
        force: bool,
    ) -> Result<Arc<Object>, Status> {
        let options = WriteOptions {
            field_manager: manager.to_owned(),
            force,
            ..WriteOptions::default()
        };
        let target = Target::object(gvr, &Key::new("default", name)).sub(subresource);
        self.write(options, target, Write::Patch(kind, Bytes::from(body.to_owned())))
            .await
    }

    async fn apply(&self, manager: &str, gvr: &Gvr, rest: &str) -> Result<Arc<Object>, Status> {
        self.patch(manager, (gvr, "x", ""), (Patch::Apply, &config(gvr, rest)), false)
            .await
    }

    async fn force(&self, manager: &str, gvr: &Gvr, rest: &str) -> Result<Arc<Object>, Status> {
        self.patch(manager, (gvr, "x", ""), (Patch::Apply, &config(gvr, rest)), true)
            .await
    }

    async fn merge(&self, manager: &str, gvr: &Gvr, sub: &'static str, patch: &str) -> Arc<Object> {
        self.patch(manager, (gvr, "x", sub), (Patch::Merge, patch), false)
            .await
            .unwrap()
    }

    async fn read(&self, gvr: &Gvr) -> Arc<Object> {
        fixture::client(&self.server)
            .get(gvr, &Key::new("default", "x"))
            .await
            .unwrap()
    }
}

/// The configuration of the object `x`.
fn config(gvr: &Gvr, rest: &str) -> String {
    let kind = match gvr.resource.as_ref() {
        "deployments" => "Deployment",
        "configmaps" => "ConfigMap",
        "services" => "Service",
        "horizontalpodautoscalers" => "HorizontalPodAutoscaler",
        _ => "Pod",
    };
    let version = if gvr.group.is_empty() {
        gvr.version.to_string()
    } else {
        format!("{}/{}", gvr.group, gvr.version)
    };
    let comma = if rest.is_empty() { "" } else { "," };
    format!(r#"{{"apiVersion":"{version}","kind":"{kind}","metadata":{{"name":"x"}}{comma}{rest}}}"#)
}

const WEB: &str = r#""spec":{"replicas":1,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"image":"a","name":"c"}]}}}"#;

#[tokio::test(start_paused = true)]
async fn apply_creates_changes_and_takes_away() {
    let story = Story::new().await;
    let made = story
        .apply("me", &MAPS, r#""data":{"a":"1","b":"2"}"#)
        .await
        .unwrap();
    assert_eq!(
        owners(&made),
        "me Apply v1 {\"f:data\":{\"f:a\":{},\"f:b\":{}}}\n"
    );
    let same = story
        .apply("me", &MAPS, r#""data":{"a":"1","b":"2"}"#)
        .await
        .unwrap();
    assert_eq!(
        same.resource_version(),
        made.resource_version(),
        "nothing changed, nothing is written"
    );
    let less = story.apply("me", &MAPS, r#""data":{"a":"3"}"#).await.unwrap();
    assert!(text(&less).contains(r#""data":{"a":"3"}"#), "{}", text(&less));
    let stale = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"x","resourceVersion":"{}"}}}}"#,
        made.resource_version()
    );
    let stale = story
        .patch("me", (&MAPS, "x", ""), (Patch::Apply, &stale), false)
        .await
        .unwrap_err();
    assert!(stale.is_conflict() && stale.message.contains("the object has been modified"));
    let nameless = r#"{"apiVersion":"v1","kind":"ConfigMap"}"#;
    let nameless = story
        .patch("me", (&MAPS, "y", ""), (Patch::Apply, nameless), false)
        .await
        .unwrap_err();
    assert_eq!((nameless.code, nameless.reason.as_str()), (400, "BadRequest"));
}

#[tokio::test(start_paused = true)]
async fn a_conflict_says_who_and_which_fields() {
    let story = Story::new().await;
    story
        .create(
            "kubectl-client-side-apply",
            &DEPLOYMENTS,
            &config(&DEPLOYMENTS, WEB),
        )
        .await
        .unwrap();
    let wish = r#""spec":{"replicas":2,"template":{"spec":{"containers":[{"image":"b","name":"c"}]}}}"#;
    let refused = story.apply("me", &DEPLOYMENTS, wish).await.unwrap_err();
    assert_eq!(
        refused.message,
        "Apply failed with 2 conflicts: conflicts with \"kubectl-client-side-apply\" using apps/v1:\n\
         - .spec.replicas\n- .spec.template.spec.containers[name=\"c\"].image"
    );
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    let causes = refused.details.unwrap().causes;
    assert_eq!(
        (
            causes[0].reason.as_str(),
            causes[0].message.as_str(),
            causes[0].field.as_str()
        ),
        (
            "FieldManagerConflict",
            "conflict with \"kubectl-client-side-apply\" using apps/v1",
            ".spec.replicas"
        )
    );
    let forced = story.force("me", &DEPLOYMENTS, wish).await.unwrap();
    assert!(text(&forced).contains(r#""replicas":2"#) && forced.generation() == 2);
    assert!(owners(&forced).starts_with(concat!(
        "me Apply apps/v1 {\"f:spec\":{\"f:replicas\":{},\"f:template\":{\"f:spec\":{\"f:containers\":",
        "{\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{},\"f:image\":{},\"f:name\":{}}}}}}}\n",
        "kubectl-client-side-apply Update apps/v1 {"
    )));
}

#[tokio::test(start_paused = true)]
async fn a_created_object_is_owned_without_what_the_server_adds() {
    let story = Story::new().await;
    let pod = r#"{"metadata":{"name":"x","labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]},"status":{"phase":"Failed"}}"#;
    let made = story.create("kubectl-run", &PODS, pod).await.unwrap();
    assert_eq!(
        owners(&made),
        concat!(
            "kubectl-run Update v1 {\"f:metadata\":{\"f:labels\":{\".\":{},\"f:a\":{}}},\"f:spec\":{\"f:containers\":",
            "{\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{},\"f:image\":{},\"f:imagePullPolicy\":{},\"f:name\":{},\"f:resources\":{},",
            "\"f:terminationMessagePath\":{},\"f:terminationMessagePolicy\":{}}},\"f:dnsPolicy\":{},\"f:enableServiceLinks\":{},",
            "\"f:restartPolicy\":{},\"f:schedulerName\":{},\"f:securityContext\":{},\"f:terminationGracePeriodSeconds\":{}}}\n"
        )
    );
    let service = r#"{"metadata":{"name":"x"},"spec":{"selector":{"a":"b"},"ports":[{"port":80}]}}"#;
    let made = story.create("kubectl-expose", &SERVICES, service).await.unwrap();
    let ports = concat!(
        "\"f:ports\":{\".\":{},\"k:{\\\"port\\\":80,\\\"protocol\\\":\\\"TCP\\\"}\":",
        "{\".\":{},\"f:port\":{},\"f:protocol\":{},\"f:targetPort\":{}}},\"f:selector\":{},"
    );
    assert!(owners(&made).contains(ports), "{}", owners(&made));
    assert!(
        !owners(&made).contains("clusterIP"),
        "what is allocated is nobody's"
    );
}

#[tokio::test(start_paused = true)]
async fn status_and_scale_have_managers_of_their_own() {
    let story = Story::new().await;
    story.apply("me", &DEPLOYMENTS, WEB).await.unwrap();
    let status = r#"{"spec":{"replicas":9},"status":{"observedGeneration":1,"replicas":1}}"#;
    let told = story.merge("controller", &DEPLOYMENTS, "status", status).await;
    let lines = owners(&told);
    let line = lines.lines().nth(1).unwrap();
    assert_eq!(
        line,
        r#"controller/status Update apps/v1 {"f:status":{"f:observedGeneration":{},"f:replicas":{}}}"#
    );
    story
        .merge("hpa", &DEPLOYMENTS, "scale", r#"{"spec":{"replicas":4}}"#)
        .await;
    let scaled = story.read(&DEPLOYMENTS).await;
    let lines = owners(&scaled);
    assert!(
        lines.contains(r#"hpa/scale Update apps/v1 {"f:spec":{"f:replicas":{}}}"#),
        "{lines}"
    );
    assert!(
        lines.starts_with(r#"me Apply apps/v1 {"f:spec":{"f:selector":{}"#),
        "{lines}"
    );
    let refused = story.apply("me", &DEPLOYMENTS, WEB).await.unwrap_err();
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"hpa\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
    let scale =
        r#"{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"x"},"spec":{"replicas":5}}"#;
    let at = (&DEPLOYMENTS, "x", "scale");
    let refused = story
        .patch("me", at, (Patch::Apply, scale), false)
        .await
        .unwrap_err();
    assert!(
        refused
            .message
            .contains(r#"conflict with "hpa" with subresource "scale""#)
    );
    let scaled = story.patch("me", at, (Patch::Apply, scale), true).await.unwrap();
    assert!(
        text(&scaled).contains(r#""spec":{"replicas":5}"#),
        "{}",
        text(&scaled)
    );
    let whole = story.read(&DEPLOYMENTS).await;
    let lines = owners(&whole);
    assert!(
        lines.contains(r#"me/scale Apply apps/v1 {"f:spec":{"f:replicas":{}}}"#),
        "{lines}"
    );
    assert!(!lines.contains("hpa"), "{lines}");
    let wish = r#""status":{"replicas":1,"readyReplicas":1}"#;
    let wish = config(&DEPLOYMENTS, wish);
    let applied = story
        .patch("me", (&DEPLOYMENTS, "x", "status"), (Patch::Apply, &wish), false)
        .await
        .unwrap();
    let line = r#"me/status Apply apps/v1 {"f:status":{"f:readyReplicas":{},"f:replicas":{}}}"#;
    assert!(owners(&applied).contains(line), "{}", owners(&applied));
}

#[tokio::test(start_paused = true)]
async fn managed_fields_may_be_reset_and_are_kept_from_those_who_do_not_know_them() {
    let story = Story::new().await;
    let made = story
        .create("a", &MAPS, &config(&MAPS, r#""data":{"k":"1"}"#))
        .await
        .unwrap();
    let client = Client::new(story.server.local(User::new("admin", &[])), "b");
    let body = Bytes::from(config(&MAPS, r#""data":{"k":"1","l":"2"}"#));
    let target = Target::object(&MAPS, &Key::new("default", "x"));
    let put = client.write(target.clone(), Write::Update(body)).await.unwrap();
    assert_eq!(
        owners(&put),
        "a Update v1 {\"f:data\":{\".\":{},\"f:k\":{}}}\nb Update v1 {\"f:data\":{\"f:l\":{}}}\n"
    );
    let same = story.merge("c", &MAPS, "", r#"{"data":{"l":"2"}}"#).await;
    assert_eq!(
        (same.resource_version(), owners(&same)),
        (put.resource_version(), owners(&put))
    );
    assert!(made.resource_version() < put.resource_version());
    let long = format!(
        r#"{{"metadata":{{"managedFields":[{{"manager":"{}","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{{}}}}]}}}}"#,
        "m".repeat(129)
    );
    let at = (&MAPS, "x", "");
    let long = story
        .patch("c", at, (Patch::Merge, &long), false)
        .await
        .unwrap_err();
    let why = "metadata.managedFields[0].manager: Too long: may not be more than 128 bytes";
    assert!(long.message.contains(why), "{}", long.message);
    let reset = story
        .merge("c", &MAPS, "", r#"{"metadata":{"managedFields":[{}]}}"#)
        .await;
    assert_eq!(owners(&reset), "");
    let still = story.merge("c", &MAPS, "", r#"{"data":{"m":"3"}}"#).await;
    assert_eq!(
        owners(&still),
        "",
        "what is not tracked stays so until the first apply"
    );
    let applied = story.apply("me", &MAPS, r#""data":{"n":"4"}"#).await.unwrap();
    assert_eq!(
        owners(&applied),
        "me Apply v1 {\"f:data\":{\"f:n\":{}}}\n\
         before-first-apply Update v1 {\"f:data\":{\".\":{},\"f:k\":{},\"f:l\":{},\"f:m\":{}}}\n"
    );
    client
        .delete(&MAPS, &Key::new("default", "x"), DeleteOptions::default())
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_version_of_a_kind_has_its_fields() {
    let story = Story::new().await;
    let (v1, v2) = (
        Gvr::new("autoscaling", "v1", "horizontalpodautoscalers"),
        Gvr::new("autoscaling", "v2", "horizontalpodautoscalers"),
    );
    let of = r#""scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}"#;
    let spec = format!(r#""spec":{{"maxReplicas":3,{of},"targetCPUUtilizationPercentage":50}}"#);
    let made = story.apply("old", &v1, &spec).await.unwrap();
    assert_eq!(
        owners(&made),
        r#"old Apply autoscaling/v1 {"f:spec":{"f:maxReplicas":{},"f:scaleTargetRef":{},"f:targetCPUUtilizationPercentage":{}}}"#.to_owned() + "\n"
    );
    let refused = story
        .apply("new", &v2, r#""spec":{"maxReplicas":4}"#)
        .await
        .unwrap_err();
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"old\": .spec.maxReplicas"
    );
    let changed = story
        .force("new", &v2, r#""spec":{"maxReplicas":4}"#)
        .await
        .unwrap();
    assert!(owners(&changed).ends_with(concat!(
        "new Apply autoscaling/v2 {\"f:spec\":{\"f:maxReplicas\":{}}}\n",
        "old Apply autoscaling/v1 {\"f:spec\":{\"f:scaleTargetRef\":{},\"f:targetCPUUtilizationPercentage\":{}}}\n"
    )) || owners(&changed).starts_with("old Apply autoscaling/v1"), "{}", owners(&changed));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_applies_nothing() {
    let story = Story::new().await;
    let options = WriteOptions {
        field_manager: "me".to_owned(),
        dry_run: true,
        force: false,
    };
    let target = Target::object(&MAPS, &Key::new("default", "x"));
    let write = Write::Patch(Patch::Apply, Bytes::from(config(&MAPS, r#""data":{"a":"1"}"#)));
    let shown = story.write(options, target.clone(), write).await.unwrap();
    assert!(owners(&shown).starts_with("me Apply v1"));
    let client = fixture::client(&story.server);
    assert!(
        client
            .get(&MAPS, &Key::new("default", "x"))
            .await
            .unwrap_err()
            .is_not_found()
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_the_type_is_refused() {
    let story = Story::new().await;
    let refused = story
        .apply("me", &DEPLOYMENTS, r#""spec":{"replica":1}"#)
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (
            500,
            "failed to create typed patch object (/x; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema"
        )
    );
    let refused = story
        .apply("me", &DEPLOYMENTS, r#""spec":{"replicas":1}"#)
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (422, "Invalid"),
        "{}",
        refused.message
    );
    let wrong = story
        .patch("me", (&MAPS, "x", ""), (Patch::Apply, &config(&PODS, "")), false)
        .await
        .unwrap_err();
    assert_eq!(wrong.message, "invalid object type: /v1, Kind=Pod");
    let list = story
        .patch("me", (&MAPS, "x", ""), (Patch::Apply, "[]"), false)
        .await
        .unwrap_err();
    assert!(
        list.message.starts_with("error decoding patch: "),
        "{}",
        list.message
    );
}
