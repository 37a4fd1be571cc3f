//! Requests put together at random from words that mean something somewhere: whatever comes, the answer is one.

use super::*;
use component::{Env, Random, gates::Gates};

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"];
const SEGMENTS: &[&str] = &[
    "api",
    "apis",
    "v1",
    "v2",
    "apps",
    "batch",
    "autoscaling",
    "namespaces",
    "default",
    "kube-system",
    "configmaps",
    "pods",
    "nodes",
    "secrets",
    "services",
    "deployments",
    "events",
    "bindings",
    "a",
    "b",
    "status",
    "scale",
    "log",
    "exec",
    "proxy",
    "portforward",
    "eviction",
    "token",
    "finalize",
    "watch",
    "openapi",
    "v3",
    "version",
    "healthz",
    "metrics",
    "..",
    ".",
    "%2e%2e",
    "%00",
    "%ff",
    "a%2fb",
    "%",
    "http:a:80",
    "https:b:",
    "serviceaccounts",
    "customresourcedefinitions",
    "apiextensions.k8s.io",
    "insight.ferrokube.io",
    "v1alpha1",
    "decisions",
    "authorization.k8s.io",
    "selfsubjectaccessreviews",
];
const NAMES: &[&str] = &[
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "watch",
    "allowWatchBookmarks",
    "sendInitialEvents",
    "pretty",
    "dryRun",
    "fieldManager",
    "fieldValidation",
    "force",
    "gracePeriodSeconds",
    "propagationPolicy",
    "orphanDependents",
    "includeObject",
    "timeout",
    "command",
    "container",
    "ports",
    "tailLines",
    "sinceTime",
    "hash",
    "verbose",
    "exclude",
    "stdin",
    "path",
    "x",
];
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "true",
    "false",
    "All",
    "a=b",
    "a in (b,c)",
    "!a",
    "a=b,,",
    "metadata.name=a",
    "spec.x=y",
    "99999999999999999999",
    "1e9",
    "NotOlderThan",
    "Exact",
    "Strict",
    "Warn",
    "Ignore",
    "Foreground",
    "Orphan",
    "Object",
    "None",
    "%00",
    "%ff%fe",
    "%zz",
    "1s",
    "1h1m",
    "-5m",
    "2030-01-01T00:00:00Z",
    "{}",
    "\u{e9}",
    "me",
    "sh",
    "80",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0",
];
const KINDS: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/cbor",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/apply-patch+cbor",
    "*/*",
    "text/html",
    "",
    ";;;",
    "a/b;q=x;as=Table",
    "application/json;as=Table;g=meta.k8s.io;v=v1",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    "application/vnd.kubernetes.protobuf;stream=watch",
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
];
const BODIES: &[&str] = &[
    "",
    "{}",
    "null",
    "[]",
    "1",
    "\"\"",
    "{",
    "\u{feff}{}",
    "a: b",
    "- a",
    "---\n---",
    "k8s\0\n\0",
    "\u{1}\u{2}",
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}"#,
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","labels":null,"annotations":{"a":""}},"data":{"k":null}}"#,
    r#"{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"a"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#,
    r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"},"spec":{"containers":[{"name":"c"},{"name":"c"}],"nodeName":"-"}}"#,
    r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"},"spec":{"replicas":-1,"selector":{},"template":{}}}"#,
    r#"{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":""},"gracePeriodSeconds":-7}"#,
    r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":1},{"port":70000}],"clusterIP":"x"}}"#,
    r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"b","finalizers":["a.io/x"]}}"#,
    r#"{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","metadata":{"name":"as.b.io"},"spec":{"group":"b.io","names":{"plural":"as","kind":"A"},"scope":"Cluster","versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}"#,
    r#"[{"op":"add","path":"/metadata/labels","value":{"a":"b"}},{"op":"test","path":"","value":1}]"#,
    r#"[{"op":"copy","from":"","path":"/metadata/x"},{"op":"move","from":"/a","path":"/a/b"}]"#,
    r#"{"metadata":{"$patch":"delete"},"data":{"$retainKeys":[]},"$setElementOrder/x":[1]}"#,
    r#"{"metadata":{"managedFields":[{"fieldsV1":{"f:a":1}}],"ownerReferences":[{}],"deletionTimestamp":"2030-01-01T00:00:00Z"}}"#,
    r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{}}"#,
    r#"{"apiVersion":"v1","kind":"Binding","metadata":{"name":"b"},"target":{"kind":"Node","name":""}}"#,
];

fn any<'a>(random: &Random, from: &[&'a str]) -> &'a str {
    from[usize::try_from(random.below(from.len() as u64)).unwrap()]
}

/// Where objects are.
const PLACES: &[&str] = &[
    "/api/v1/namespaces/default/configmaps",
    "/api/v1/namespaces/default/configmaps/a",
    "/api/v1/namespaces/default/pods",
    "/api/v1/namespaces/default/pods/b",
    "/api/v1/namespaces/default/services",
    "/api/v1/namespaces/default/services/a",
    "/apis/apps/v1/namespaces/default/deployments/a",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/api/v1/namespaces/b",
    "/apis/b.io/v1/as",
];

/// A path of a resource, most of the time.
fn path(random: &Random) -> String {
    let starts = [
        "/api/v1",
        "/api/v1/namespaces/default",
        "/apis/apps/v1/namespaces/default",
        "/apis",
        "",
    ];
    let (mut path, more) = if random.below(3) == 0 {
        (any(random, &starts).to_owned(), random.below(5))
    } else {
        (any(random, PLACES).to_owned(), random.below(4).saturating_sub(2))
    };
    for _ in 0..more {
        path.push('/');
        path.push_str(any(random, SEGMENTS));
    }
    for at in 0..random.below(4) {
        path.push(if at == 0 { '?' } else { '&' });
        let value = any(random, VALUES)
            .replace(' ', "+")
            .replace(['{', '}', '\u{e9}'], "%c3");
        path.push_str(&format!("{}={value}", any(random, NAMES)));
    }
    if path.starts_with('/') {
        path
    } else {
        format!("/{path}")
    }
}

#[tokio::test(start_paused = true)]
async fn any_request_is_answered() {
    let env = Env::simulated(11);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let mut config = fixture::config(store, resources::table().to_vec(), fixture::no_nodes());
    config.gates = Gates::parse(&[("AllAlpha".to_owned(), "true".to_owned())].into()).unwrap_or_default();
    let server = Server::start(config, env.clone()).await.unwrap();
    server.bootstrap().await.unwrap();
    let mut http = Http::new(&server).await;
    let body = |kind: &str| BODIES.iter().find(|body| body.contains(kind)).unwrap();
    for (url, kind) in [(PLACES[0], "ConfigMap"), ("/api/v1/namespaces", "Namespace")] {
        assert_eq!(http.ask("POST", url, &[], body(kind)).await.code, 201);
    }
    let random = Random::seeded(7);
    let mut codes = std::collections::BTreeMap::new();
    for _ in 0..4000 {
        let (method, path, body) = (any(&random, METHODS), path(&random), any(&random, BODIES));
        let usual = |all| {
            if random.below(4) == 0 {
                any(&random, all)
            } else {
                KINDS[0]
            }
        };
        let headers = [("accept", usual(KINDS)), ("content-type", usual(KINDS))];
        let mut http = Http::new(&server).await;
        let answer = tokio::time::timeout(Duration::from_secs(600), http.send(method, &path, &headers, body));
        let asked = format!("{method} {path} {headers:?} {body}");
        let answer = answer.await.unwrap_or_else(|_| panic!("no answer to {asked}"));
        let code = answer.status().as_u16();
        *codes.entry(code).or_insert(0) += 1;
        assert_ne!(
            code,
            500,
            "{asked}\n{:?}",
            answer.into_body().collect().await.unwrap().to_bytes()
        );
    }
    // Enough of them mean something.
    let told = |code| codes.get(&code).copied().unwrap_or_default();
    assert!(
        [200, 400, 404, 405, 406, 415, 422]
            .iter()
            .all(|code| told(*code) > 9),
        "{codes:?}"
    );
    let mut http = Http::new(&server).await;
    assert_eq!(http.get("/readyz").await.text, "ok");
}
