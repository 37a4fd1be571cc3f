//! Stories of certificates of pods, under a paused clock.
#![expect(clippy::disallowed_types, reason = "tests look into objects as values")]

use super::super::{Given, Memory, Volumes};
use crate::{
    Config,
    machine::Files,
    pod::{Objects, PodFacts},
    simulated::{Paper, api::FakeApi},
    view::{Pod, Volume},
};
use component::Env;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const POD: &str = r#"
metadata: {name: web, namespace: shop, uid: u1}
spec:
  serviceAccountName: robot
  containers: [{name: c}]
"#;
const VOLUME: &str = r#"
name: keys
projected:
  defaultMode: 288
  sources:
  - podCertificate: {signerName: example.com/s, keyType: KIND, maxExpirationSeconds: 7200, credentialBundlePath: all.pem,
      userAnnotations: {example.com/zone: a}}
  - podCertificate: {signerName: example.com/s, keyType: ED25519, keyPath: key.pem, certificateChainPath: chain.pem}
"#;

struct Node {
    api: Arc<FakeApi>,
    env: Env,
    volumes: Volumes,
    memory: Memory,
    pod: Pod,
    volume: Volume,
}

impl Node {
    fn start(kind: &str) -> Self {
        let (api, env) = (FakeApi::new(), Env::simulated(7));
        api.put(
            "nodes",
            json!({"kind": "Node", "metadata": {"name": "node-1", "uid": "n1"}}),
        );
        let account = json!({"kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "shop", "uid": "s1"}});
        api.put("serviceaccounts", account);
        let config = Config::new("node-1", "192.0.2.1");
        let volumes = Volumes::new(Arc::new(Paper::default()), api.client(), env.clone(), &config);
        Self {
            api,
            env,
            volumes,
            memory: Memory::default(),
            pod: serde_saphyr::from_str(POD).unwrap(),
            volume: serde_saphyr::from_str(&VOLUME.replace("KIND", kind)).unwrap(),
        }
    }

    async fn files(&mut self) -> Result<Files, String> {
        let (objects, facts) = (Objects::default(), PodFacts::default());
        let given = Given {
            pod: &self.pod,
            objects: &objects,
            facts: &facts,
        };
        let made = self.volumes.files(given, &self.volume, &mut self.memory).await;
        made.map(|(_, files, _)| files)
    }

    /// Looks until there are files.
    async fn stands(&mut self, what: &str) -> Files {
        for _ in 0..100 {
            if let Ok(files) = self.files().await {
                return files;
            }
            self.pass(Duration::from_secs(1)).await;
        }
        panic!("waited for {what}: {:?}", self.files().await.err());
    }

    async fn pass(&self, time: Duration) {
        self.env.clock.sleep(time).await;
    }

    fn requests(&self) -> Vec<Value> {
        self.api.all("podcertificaterequests")
    }

    /// Ends each request that is open.
    fn end(&self, status: impl Fn(&Value) -> Value) {
        for mut request in self.requests() {
            if request["status"].is_null() {
                request["status"] = status(&request);
                self.api.put("podcertificaterequests", request);
            }
        }
    }

    fn issue(&self, text: &str) {
        let now = self.env.clock.wall();
        let at = |hours: i64| (now + jiff::SignedDuration::from_hours(hours)).to_string();
        self.end(|_| {
            json!({
                "conditions": [{"type": "Issued", "status": "True", "reason": "Mine"}],
                "certificateChain": format!("words\n-----BEGIN CERTIFICATE-----\nHeader: x\n\n{text}\n-----END CERTIFICATE-----\n"),
                "notBefore": at(0), "beginRefreshAt": at(1), "notAfter": at(2)
            })
        });
    }
}

fn text(files: &Files, path: &str) -> String {
    String::from_utf8(files[path].bytes.clone()).unwrap()
}

fn chain(text: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_asked_for_and_put_into_files() {
    let mut node = Node::start("ECDSAP521");
    let pending = "[credential bundle is not issued yet, credential bundle is not issued yet]";
    assert_eq!(node.files().await.unwrap_err(), pending);
    assert!(node.memory.certificates.waits());
    let requests = node.requests();
    assert_eq!(requests.len(), 2);
    let first = requests
        .iter()
        .find(|request| request["spec"]["maxExpirationSeconds"] == 7200);
    let first = first.unwrap();
    let mut spec = first["spec"].clone();
    assert!(spec["stubPKCS10Request"].take().as_str().unwrap().len() > 100);
    assert_eq!(
        spec,
        json!({
            "signerName": "example.com/s", "podName": "web", "podUID": "u1", "serviceAccountName": "robot",
            "serviceAccountUID": "s1", "nodeName": "node-1", "nodeUID": "n1", "maxExpirationSeconds": 7200,
            "stubPKCS10Request": null, "unverifiedUserAnnotations": {"example.com/zone": "a"}
        })
    );
    assert!(first["metadata"]["name"].as_str().unwrap().starts_with("req-"));
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u1"}]);
    assert_eq!(first["metadata"]["ownerReferences"], owner);
    node.issue("QUFB");
    let files = node.stands("the certificates").await;
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["all.pem", "chain.pem", "key.pem"]
    );
    assert_eq!(text(&files, "chain.pem"), chain("QUFB"));
    let all = text(&files, "all.pem");
    assert!(all.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{all}");
    assert!(all.ends_with(&chain("QUFB")), "{all}");
    assert_ne!(
        all,
        text(&files, "key.pem") + &chain("QUFB"),
        "each has a key of its own"
    );
    assert_eq!(files["key.pem"].mode, 0o440);
    assert_eq!(node.requests().len(), 2, "no more is asked for");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_when_its_signer_says() {
    let mut node = Node::start("ECDSAP256");
    let _ = node.files().await;
    node.issue("QUFB");
    let old = node.stands("the first certificates").await;
    let look = node.memory.certificates.next_look().unwrap();
    let after = look.duration_since(node.env.clock.wall()).as_secs();
    assert!((3000..3900).contains(&after), "looked at in {after} s");
    node.pass(Duration::from_secs(3500)).await;
    assert_eq!(node.files().await.unwrap(), old);
    assert_eq!(node.requests().len(), 2, "it is not yet time");
    node.pass(Duration::from_secs(500)).await;
    assert_eq!(
        node.files().await.unwrap(),
        old,
        "the old one is there until a new one is"
    );
    assert_eq!(node.requests().len(), 4);
    node.pass(Duration::from_secs(700)).await;
    assert_eq!(node.files().await.unwrap(), old);
    let overdue = (
        "CertificateOverdueForRefresh",
        "PodCertificate refresh overdue".to_owned(),
    );
    assert_eq!(node.memory.take_events(), [overdue.clone(), overdue]);
    node.pass(Duration::from_secs(3600)).await;
    let _ = node.files().await;
    let expired = ("CertificateExpired", "PodCertificate expired".to_owned());
    assert_eq!(node.memory.take_events(), [expired.clone(), expired]);
    node.issue("QkJC");
    node.pass(Duration::from_secs(1)).await;
    let new = node.stands("the new certificates").await;
    assert_eq!(text(&new, "chain.pem"), chain("QkJC"));
    assert_ne!(text(&new, "key.pem"), text(&old, "key.pem"));
    assert_eq!(node.memory.take_events(), []);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_ends_it_and_one_that_is_deleted_does_not() {
    for (how, was, words) in [
        ("Denied", "was denied", "permanently denied"),
        ("Failed", "failed", "permanently failed"),
    ] {
        let mut node = Node::start("ECDSAP384");
        let _ = node.files().await;
        let names: Vec<_> = node
            .requests()
            .iter()
            .map(|r| r["metadata"]["name"].clone())
            .collect();
        node.end(|_| json!({"conditions": [{"type": how, "status": "True", "reason": "No", "message": "not you"}]}));
        node.pass(Duration::from_secs(1)).await;
        let one = format!(r#"PodCertificateRequest was {words}: reason="No" message="not you""#);
        assert_eq!(node.files().await.unwrap_err(), format!("[{one}, {one}]"));
        assert!(!node.memory.certificates.waits());
        let events = node.memory.take_events();
        assert_eq!(events.len(), 2);
        let told = format!(
            "PodCertificateRequest shop/{} {was}, ",
            names[0].as_str().unwrap()
        );
        assert!(events[0].0 == how && events[0].1.starts_with(&told), "{events:?}");
        assert!(
            events[0].1.ends_with(r#"reason="No", message="not you""#),
            "{events:?}"
        );
        node.pass(Duration::from_secs(86_400)).await;
        assert!(node.files().await.is_err());
        assert_eq!(node.requests().len(), 2, "it is not asked again");
    }
    let mut node = Node::start("ECDSAP384");
    let _ = node.files().await;
    for request in node.requests() {
        let name = request["metadata"]["name"].as_str().unwrap();
        node.api.remove("podcertificaterequests", "shop", name);
    }
    node.pass(Duration::from_secs(300)).await;
    let _ = node.files().await;
    assert_eq!(node.requests().len(), 0, "it may be that it is not seen yet");
    node.pass(Duration::from_secs(700)).await;
    let _ = node.files().await;
    assert_eq!(node.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_for_is_asked_again() {
    let mut node = Node::start("ECDSAP256");
    node.api.cut(true);
    let why = node.files().await.unwrap_err();
    assert!(
        why.contains("while creating initial PodCertificateRequest: while fetching service account"),
        "{why}"
    );
    node.api.cut(false);
    let _ = node.files().await;
    node.issue("QUFB");
    let old = node.stands("the certificates").await;
    node.api.cut(true);
    node.pass(Duration::from_secs(4000)).await;
    assert_eq!(node.files().await.unwrap(), old, "what is held is kept");
    node.api.cut(false);
    let look = node.memory.certificates.next_look().unwrap();
    assert!(look.duration_since(node.env.clock.wall()).as_secs() <= 10);
    node.pass(Duration::from_secs(10)).await;
    let _ = node.files().await;
    assert_eq!(node.requests().len(), 4);
}
