//! Stories of custom resources, told over the transport in memory.

use crate::{Server, fixture};
use api::{Gvr, Key, Object, Status};
use bytes::Bytes;
use client::{Client, DeleteOptions, ListParams, Patch, Target, WatchEvent, WatchParams, Write};
use component::Env;
use etcd::Store as _;
use futures::StreamExt;
use std::{sync::Arc, time::Duration};

const CRDS: Gvr = Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
const CRONTABS: Gvr = Gvr::new("stable.example.com", "v1", "crontabs");
const NAME: &str = "crontabs.stable.example.com";

/// The schema of the documentation's task.
pub(super) const SCHEMA: &str = r#"{"type":"object","properties":{"spec":{"type":"object","properties":{
    "cronSpec":{"type":"string","pattern":"^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$","default":"5 0 * * *"},
    "image":{"type":"string"},"replicas":{"type":"integer","minimum":1,"maximum":10,"default":1}}},
    "status":{"type":"object","properties":{"replicas":{"type":"integer"},"labelSelector":{"type":"string"}}}}}"#;

pub(super) fn version(name: &str, storage: bool, schema: &str, more: &str) -> String {
    format!(
        r#"{{"name":"{name}","served":true,"storage":{storage},"schema":{{"openAPIV3Schema":{schema}}}{more}}}"#
    )
}

pub(super) fn definition(names: &str, versions: &[String], more: &str) -> String {
    format!(
        r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"{NAME}"}},
        "spec":{{"group":"stable.example.com","scope":"Namespaced","names":{names},"versions":[{}]{more}}}}}"#,
        versions.join(",")
    )
}

pub(super) const NAMES: &str =
    r#"{"plural":"crontabs","singular":"crontab","kind":"CronTab","shortNames":["ct"],"categories":["all"]}"#;
pub(super) const PARTS: &str = r#","subresources":{"status":{},"scale":{"specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas","labelSelectorPath":".status.labelSelector"}}"#;

pub fn crontabs() -> String {
    definition(NAMES, &[version("v1", true, SCHEMA, PARTS)], "")
}

/// The object, but for who manages its fields.
pub(super) fn text(object: &Object) -> String {
    let object = Object::parse(object.unmanaged(), object.resource_version(), &[]).unwrap();
    String::from_utf8(object.to_json().to_vec()).unwrap()
}

/// What follows the metadata.
fn rest(object: &Object) -> String {
    let text = text(object);
    text.split_once(r#","spec":"#)
        .map(|(_, rest)| rest.to_owned())
        .unwrap_or_default()
}

pub struct Story {
    pub server: Arc<Server>,
    pub client: Client,
    _env: Env,
}

impl Story {
    pub async fn new() -> Self {
        let (server, env) = fixture::whole().await;
        Self::of(server, env)
    }

    pub fn of(server: Arc<Server>, env: Env) -> Self {
        let client = fixture::client(&server);
        Self {
            server,
            client,
            _env: env,
        }
    }

    pub async fn with_crontabs() -> Self {
        let story = Self::new().await;
        story.define(&crontabs()).await;
        story
    }

    /// Creates or replaces a definition, and waits until it is served as it says.
    pub async fn define(&self, text: &str) -> Arc<Object> {
        let parsed = Object::parse(text.to_owned().into(), 0, &[]).unwrap();
        let key = parsed.key();
        let made = match self.client.get(&CRDS, &key).await {
            Ok(old) => {
                let text = api_text(text, &old);
                let write = Write::Update(text.into());
                self.client
                    .write(Target::object(&CRDS, &key), write)
                    .await
                    .unwrap()
            }
            Err(_) => self.create(&CRDS, "", text).await.unwrap(),
        };
        self.until(&CRDS, &key, |crd| {
            crd.generation() == made.generation() && resources::established(crd)
        })
        .await
    }

    pub async fn create(&self, of: &Gvr, namespace: &str, text: &str) -> Result<Arc<Object>, Status> {
        let write = Write::Create(Bytes::from(text.to_owned()));
        self.client.write(Target::collection(of, namespace), write).await
    }

    /// Waits until an object is as wished.
    pub async fn until(&self, of: &Gvr, key: &Key, wished: impl Fn(&Object) -> bool) -> Arc<Object> {
        let watch = WatchParams {
            resource_version: 0,
            ..WatchParams::default()
        };
        let mut events = self.client.watch(of, &key.namespace, watch).await.unwrap();
        let found = async {
            loop {
                match events.next().await.expect("the watch goes on").expect("no error") {
                    WatchEvent::Added(object) | WatchEvent::Modified(object)
                        if object.key() == *key && wished(&object) =>
                    {
                        return object;
                    }
                    _ => {}
                }
            }
        };
        let soon = tokio::time::timeout(Duration::from_secs(60), found);
        soon.await
            .unwrap_or_else(|_| panic!("{key} did not become as wished"))
    }

    pub async fn tab(&self, name: &str, rest: &str) -> Result<Arc<Object>, Status> {
        let head = r#""apiVersion":"stable.example.com/v1","kind":"CronTab""#;
        let text = format!(r#"{{{head},"metadata":{{"name":"{name}"}},{rest}}}"#);
        self.create(&CRONTABS, "default", &text).await
    }
}

/// `text` at the resourceVersion of `old`.
fn api_text(text: &str, old: &Object) -> String {
    let version = format!(r#""resourceVersion":"{}","name":"#, old.resource_version());
    text.replacen(r#""name":"#, &version, 1)
}

fn key(name: &str) -> Key {
    Key::new("default", name)
}

#[tokio::test(start_paused = true)]
async fn a_definition_is_served_at_once() {
    let story = Story::new().await;
    let unknown = story.tab("early", r#""spec":{}"#).await.unwrap_err();
    assert_eq!(unknown.code, 404);
    let crd = story.define(&crontabs()).await;
    let told = text(&crd);
    for part in [
        r#""acceptedNames":{"categories":["all"],"kind":"CronTab","listKind":"CronTabList","plural":"crontabs","shortNames":["ct"],"singular":"crontab"}"#,
        r#""message":"no conflicts found","reason":"NoConflicts","status":"True","type":"NamesAccepted""#,
        r#""message":"the initial names have been accepted","reason":"InitialNamesAccepted","status":"True","type":"Established""#,
        r#""storedVersions":["v1"]"#,
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let made = story
        .tab("a", r#""spec":{"image":"x","odd":1},"status":{"replicas":3}"#)
        .await
        .unwrap();
    let told = text(&made);
    assert!(
        told.contains(r#""spec":{"cronSpec":"5 0 * * *","image":"x","replicas":1}"#),
        "{told}"
    );
    assert!(!told.contains("status"), "{told}");
    assert_eq!((made.generation(), made.namespace()), (1, "default"));
    let served = story.server.documents();
    let group = served
        .served
        .iter()
        .find(|s| s.group == "stable.example.com")
        .unwrap();
    let names: Vec<&str> = group.resources.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["crontabs", "crontabs/scale", "crontabs/status"]);
    let list = story
        .client
        .list(&CRONTABS, "default", ListParams::default())
        .await
        .unwrap();
    assert_eq!(list.items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn objects_are_validated_by_their_schema() {
    let story = Story::with_crontabs().await;
    let wrong = story
        .tab("a", r#""spec":{"cronSpec":"* * * *","replicas":15}"#)
        .await
        .unwrap_err();
    assert_eq!(
        wrong.message,
        r#"CronTab.stable.example.com "a" is invalid: [spec.cronSpec: Invalid value: "* * * *": spec.cronSpec in body should match '^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$', spec.replicas: Invalid value: 15: spec.replicas in body should be less than or equal to 10]"#
    );
    let odd = r#"{"apiVersion":"stable.example.com/v2","kind":"CronTab","metadata":{"name":"a"}}"#;
    let odd = story.create(&CRONTABS, "default", odd).await.unwrap_err();
    assert_eq!((odd.code, odd.reason.as_str()), (400, "BadRequest"));
}

#[tokio::test(start_paused = true)]
async fn status_and_scale_are_parts_of_their_own() {
    let story = Story::with_crontabs().await;
    let made = story.tab("a", r#""spec":{"replicas":3}"#).await.unwrap();
    let target = |part| Target {
        subresource: part,
        ..Target::object(&CRONTABS, &key("a"))
    };
    let patch = |text: &str| Write::Patch(Patch::Merge, Bytes::from(text.to_owned()));
    let status = r#"{"spec":{"replicas":9},"status":{"replicas":2,"labelSelector":"app=a"}}"#;
    let told = story.client.write(target("status"), patch(status)).await.unwrap();
    assert_eq!(told.generation(), 1);
    assert!(text(&told).contains(
        r#""spec":{"cronSpec":"5 0 * * *","replicas":3},"status":{"labelSelector":"app=a","replicas":2}"#
    ));
    let ignored = story
        .client
        .write(target(""), patch(r#"{"status":{"replicas":7}}"#))
        .await
        .unwrap();
    assert!(text(&ignored).contains(r#""replicas":2"#));
    let scale = story.client.transport().get(target("scale")).await.unwrap();
    assert!(
        text(&scale).contains(r#""spec":{"replicas":3},"status":{"replicas":2,"selector":"app=a"}"#),
        "{}",
        text(&scale)
    );
    let scaled = story
        .client
        .write(target("scale"), patch(r#"{"spec":{"replicas":5}}"#))
        .await
        .unwrap();
    assert!(text(&scaled).contains(r#""spec":{"replicas":5}"#));
    let now = story.client.get(&CRONTABS, &key("a")).await.unwrap();
    assert_eq!((now.generation(), now.uid()), (2, made.uid()));
    let blind = text(&now).replace(&format!(r#""resourceVersion":"{}","#, now.resource_version()), "");
    let blind = story
        .client
        .write(target(""), Write::Update(blind.into()))
        .await
        .unwrap_err();
    assert!(
        blind
            .message
            .ends_with("metadata.resourceVersion: Invalid value: 0: must be specified for an update"),
        "{}",
        blind.message
    );
    let strategic = Write::Patch(Patch::Strategic, Bytes::from_static(b"{}"));
    let strategic = story.client.write(target(""), strategic).await.unwrap_err();
    assert_eq!(strategic.code, 415);
}

#[tokio::test(start_paused = true)]
async fn names_go_to_who_came_first() {
    let story = Story::with_crontabs().await;
    let second = crontabs().replace("crontabs.stable", "cronjobs.stable").replace(
        r#""plural":"crontabs","singular":"crontab","kind":"CronTab""#,
        r#""plural":"cronjobs","singular":"cronjob","kind":"CronTab""#,
    );
    story.create(&CRDS, "", &second).await.unwrap();
    let name = Key::new("", "cronjobs.stable.example.com");
    let refused = story
        .until(&CRDS, &name, |crd| text(crd).contains("NamesAccepted"))
        .await;
    let told = text(&refused);
    assert!(
        told.contains(r#""reason":"ListKindConflict""#) || told.contains(r#""reason":"KindConflict""#),
        "{told}"
    );
    assert!(
        told.contains(r#""message":"not all names are accepted","reason":"NotAccepted","status":"False""#),
        "{told}"
    );
    story
        .client
        .delete(&CRDS, &Key::new("", NAME), DeleteOptions::default())
        .await
        .unwrap();
    story.until(&CRDS, &name, resources::established).await;
}

#[tokio::test(start_paused = true)]
async fn the_objects_of_a_definition_go_with_it() {
    let story = Story::with_crontabs().await;
    story.tab("a", r#""spec":{}"#).await.unwrap();
    let held = r#"{"apiVersion":"stable.example.com/v1","kind":"CronTab","metadata":{"name":"b","finalizers":["example.com/hold"]},"spec":{}}"#;
    story.create(&CRONTABS, "default", held).await.unwrap();
    let name = Key::new("", NAME);
    story
        .client
        .delete(&CRDS, &name, DeleteOptions::default())
        .await
        .unwrap();
    let ending = story
        .until(&CRDS, &name, |crd| {
            text(crd).contains("InstanceDeletionInProgress")
        })
        .await;
    assert!(ending.finalizers().any(|f| f == resources::CLEANUP));
    let late = story.tab("c", r#""spec":{}"#).await.unwrap_err();
    assert_eq!(
        (late.code, late.message.as_str()),
        (
            405,
            "create not allowed while custom resource definition is terminating"
        )
    );
    let free = Write::Patch(
        Patch::Merge,
        Bytes::from_static(br#"{"metadata":{"finalizers":null}}"#),
    );
    story
        .until(&CRONTABS, &key("b"), |tab| tab.deletion_timestamp().is_some())
        .await;
    story
        .client
        .write(Target::object(&CRONTABS, &key("b")), free)
        .await
        .unwrap();
    let gone = async {
        while story.client.get(&CRDS, &name).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .expect("the definition goes");
    assert_eq!(story.tab("d", r#""spec":{}"#).await.unwrap_err().code, 404);
    story.define(&crontabs()).await;
    let list = story
        .client
        .list(&CRONTABS, "default", ListParams::default())
        .await
        .unwrap();
    assert_eq!(list.items.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_schema_holds_at_once() {
    let story = Story::with_crontabs().await;
    story.tab("a", r#""spec":{"image":"x"}"#).await.unwrap();
    let schema = SCHEMA.replace(
        r#""image":{"type":"string"}"#,
        r#""image":{"type":"string"},"zone":{"type":"string","default":"z"}"#,
    );
    story
        .define(&definition(NAMES, &[version("v1", true, &schema, PARTS)], ""))
        .await;
    let read = story.client.get(&CRONTABS, &key("a")).await.unwrap();
    assert!(
        text(&read).contains(r#""zone":"z""#),
        "defaults are filled when an object is read: {}",
        text(&read)
    );
    let without = SCHEMA.replace(r#""image":{"type":"string"},"#, "");
    story
        .define(&definition(NAMES, &[version("v1", true, &without, PARTS)], ""))
        .await;
    let read = story.client.get(&CRONTABS, &key("a")).await.unwrap();
    assert!(!rest(&read).contains("image"), "{}", text(&read));
    // What the store has was not touched.
    story.define(&crontabs()).await;
    let read = story.client.get(&CRONTABS, &key("a")).await.unwrap();
    assert!(text(&read).contains(r#""image":"x""#), "{}", text(&read));
}

#[tokio::test(start_paused = true)]
async fn versions_are_names_of_one_object() {
    let story = Story::with_crontabs().await;
    story.tab("a", r#""spec":{"image":"x"}"#).await.unwrap();
    let other = SCHEMA.replace(r#""image":{"type":"string"},"#, "");
    let versions = [
        version("v1", false, SCHEMA, PARTS),
        version("v2", true, &other, PARTS),
    ];
    let crd = story.define(&definition(NAMES, &versions, "")).await;
    assert!(text(&crd).contains(r#""storedVersions":["v1","v2"]"#));
    let v2 = Gvr::new("stable.example.com", "v2", "crontabs");
    let read = story.client.get(&v2, &key("a")).await.unwrap();
    assert_eq!(read.api_version(), "stable.example.com/v2");
    assert!(!rest(&read).contains("image"));
    let read = story.client.get(&CRONTABS, &key("a")).await.unwrap();
    assert_eq!(read.api_version(), "stable.example.com/v1");
    // A write in the stored version rewrites what is stored, even if it changes nothing.
    let before = story.client.get(&v2, &key("a")).await.unwrap();
    let again = Write::Update(before.to_json());
    let after = story
        .client
        .write(Target::object(&v2, &key("a")), again)
        .await
        .unwrap();
    assert!(after.resource_version() > before.resource_version());
    let again = Write::Update(after.to_json());
    let same = story
        .client
        .write(Target::object(&v2, &key("a")), again)
        .await
        .unwrap();
    assert_eq!(same.resource_version(), after.resource_version());
    let gone = story
        .client
        .write(
            Target::object(&CRDS, &Key::new("", NAME)),
            Write::Patch(
                Patch::Json,
                Bytes::from_static(br#"[{"op":"remove","path":"/spec/versions/0"}]"#),
            ),
        )
        .await
        .unwrap_err();
    assert!(gone.message.contains("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version"), "{}", gone.message);
    // Who has rewritten all objects says so; then it may go.
    let crd = Key::new("", NAME);
    let patch = |part, text: &'static str| {
        let target = Target {
            subresource: part,
            ..Target::object(&CRDS, &crd)
        };
        story.client.write(
            target,
            Write::Patch(Patch::Merge, Bytes::from_static(text.as_bytes())),
        )
    };
    let foreign = patch("status", r#"{"status":{"storedVersions":["v1","v3"]}}"#)
        .await
        .unwrap_err();
    assert!(
        foreign
            .message
            .contains("status.storedVersions[1]: Invalid value: \"v3\""),
        "{}",
        foreign.message
    );
    let without = patch("status", r#"{"status":{"storedVersions":["v1"]}}"#)
        .await
        .unwrap_err();
    let words = "status.storedVersions: Invalid value: [\"v1\"]: must have the storage version v2";
    assert!(without.message.contains(words), "{}", without.message);
    patch("status", r#"{"status":{"storedVersions":["v2"]}}"#)
        .await
        .unwrap();
    let text_of = definition(NAMES, &[version("v2", true, &other, PARTS)], "");
    story.define(&text_of).await;
    assert_eq!(
        story.client.get(&CRONTABS, &key("a")).await.unwrap_err().code,
        404
    );
    assert_eq!(story.client.get(&v2, &key("a")).await.unwrap().name(), "a");
}

#[tokio::test(start_paused = true)]
async fn conditions_say_what_is_wrong_with_a_definition() {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let rows = resources::table().to_vec();
    let server = fixture::start(store.clone(), rows, fixture::no_nodes(), &env).await;
    let story = Story::of(server, env);
    let condition = async |key: &Key, parts: &'static [&'static str]| {
        let wished = |crd: &Object| parts.iter().all(|part| text(crd).contains(part));
        story.until(&CRDS, key, wished).await
    };
    let name = Key::new("", "crontabs.example.k8s.io");
    let approved = |annotation: &str| {
        let metadata =
            format!(r#""annotations":{{"api-approved.kubernetes.io":"{annotation}"}},"name":"crontabs."#);
        crontabs()
            .replace("stable.example.com", "example.k8s.io")
            .replace(r#""name":"crontabs."#, &metadata)
    };
    story
        .create(&CRDS, "", &approved("unapproved, it is an experiment"))
        .await
        .unwrap();
    let parts = &[
        r#""message":"not approved: \"unapproved, it is an experiment\"","reason":"UnapprovedAnnotation","status":"False","type":"KubernetesAPIApprovalPolicyConformant""#,
        r#""reason":"InitialNamesAccepted","status":"True","type":"Established""#,
    ];
    condition(&name, parts).await;
    let url = "https://github.com/kubernetes/kubernetes/pull/78458";
    let patch = format!(r#"{{"metadata":{{"annotations":{{"api-approved.kubernetes.io":"{url}"}}}}}}"#);
    let write = Write::Patch(Patch::Merge, patch.into());
    story
        .client
        .write(Target::object(&CRDS, &name), write)
        .await
        .unwrap();
    let parts = &[
        r#""message":"approved in https://github.com/kubernetes/kubernetes/pull/78458","reason":"ApprovedAnnotation","status":"True","type":"KubernetesAPIApprovalPolicyConformant""#,
    ];
    condition(&name, parts).await;

    // As servers before v1 stored them.
    let old = crontabs()
        .replace(
            r#"{"type":"object","properties":{"spec""#,
            r#"{"properties":{"spec""#,
        )
        .replace(r#""metadata":{"#, r#""metadata":{"uid":"1","#)
        .replacen(r#""spec":{"#, r#""status":{"storedVersions":["v1"]},"spec":{"#, 1);
    let put = etcd::TxnRequest {
        key: format!("/registry/apiextensions.k8s.io/customresourcedefinitions/{NAME}").into(),
        expect: Some(0),
        op: etcd::Op::Put {
            value: old.into(),
            lease: 0,
        },
        durability: etcd::Durability::Durable,
    };
    store.txn(put).await.unwrap();
    let parts = &[
        r#""message":"spec.versions[0].schema.openAPIV3Schema.type: Required value: must not be empty at the root","reason":"Violations","status":"True","type":"NonStructuralSchema""#,
        r#""type":"Established""#,
    ];
    condition(&Key::new("", NAME), parts).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_defined_is_there_after_a_restart() {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let rows = resources::table().to_vec();
    let server = fixture::start(store.clone(), rows.clone(), fixture::no_nodes(), &env).await;
    let story = Story::of(server, env.clone());
    story.define(&crontabs()).await;
    story.tab("a", r#""spec":{}"#).await.unwrap();
    let again = fixture::start(store, rows, fixture::no_nodes(), &env).await;
    let read = fixture::client(&again).get(&CRONTABS, &key("a")).await.unwrap();
    assert_eq!(read.name(), "a");
}

/// How many definitions a cluster may well have.
const MANY: usize = 1000;

#[tokio::test(start_paused = true)]
async fn a_server_starts_with_a_thousand_definitions() {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let rows = resources::table().to_vec();
    let server = fixture::start(store.clone(), rows.clone(), fixture::no_nodes(), &env).await;
    let story = Story::of(server, env.clone());
    let one = story.define(&crontabs()).await;
    let one = std::str::from_utf8(one.body()).unwrap();
    for number in 0..MANY {
        let text = one
            .replace("crontab", &format!("tab{number}"))
            .replace("CronTab", &format!("Tab{number}"))
            .replace(r#"["ct"]"#, "[]")
            .replace("stable.", &format!("g{}.", number % 100));
        let object = Object::parse(text.into(), 0, &[]).unwrap();
        let key = format!(
            "/registry/apiextensions.k8s.io/customresourcedefinitions/{}",
            object.name()
        );
        let put = etcd::TxnRequest {
            key: key.into(),
            expect: Some(0),
            op: etcd::Op::Put {
                value: object.body().clone(),
                lease: 0,
            },
            durability: etcd::Durability::Durable,
        };
        store.txn(put).await.unwrap();
    }
    let again = fixture::start(store, rows, fixture::no_nodes(), &env).await;
    let documents = again.documents();
    let groups = documents.served.iter().filter(|s| s.group.starts_with('g'));
    assert_eq!(groups.map(|s| s.resources.len()).sum::<usize>(), MANY * 3);
    let made = r#"{"apiVersion":"g7.example.com/v1","kind":"Tab7","metadata":{"name":"a"},"spec":{}}"#;
    let tabs = Gvr::new("g7.example.com", "v1", "tab7s");
    let write = Write::Create(Bytes::from_static(made.as_bytes()));
    let made = fixture::client(&again)
        .write(Target::collection(&tabs, "default"), write)
        .await
        .unwrap();
    assert_eq!(made.kind(), "Tab7");
}
