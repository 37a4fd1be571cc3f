//! What is served and how it is asked for: gates, `--runtime-config`, paths, options.

use super::Http;
use crate::{Server, Surface, fixture};
use component::{Env, gates::Gates};
use resources::Runtime;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = r#"{"metadata":{"name":"a"}}"#;

async fn serve(runtime: &[&str], gates: &[(&str, &str)]) -> (Arc<Server>, Http, Env) {
    let env = Env::simulated(7);
    let runtime: Vec<String> = runtime.iter().map(|pair| (*pair).to_owned()).collect();
    let runtime = Runtime::parse(&runtime).unwrap();
    let gates: BTreeMap<String, String> = gates
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let mut config = fixture::config(store, runtime.rows(), fixture::no_nodes());
    config.gates = Gates::parse(&gates).unwrap();
    config.surface = Surface {
        virtual_resources: runtime.virtual_resources(),
        event_ttl: Duration::from_secs(600),
        ..Surface::default()
    };
    let server = Server::start(config, env.clone()).await.unwrap();
    server.bootstrap().await.unwrap();
    let http = Http::new(&server).await;
    (server, http, env)
}

#[tokio::test(start_paused = true)]
async fn versions_come_and_go_with_runtime_config() {
    const BUNDLES: &str = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles";
    let (_server, mut http, _env) = serve(&[], &[]).await;
    assert_eq!(http.get(BUNDLES).await.code, 404);
    assert!(
        !http
            .get("/apis/certificates.k8s.io")
            .await
            .text
            .contains("v1beta1")
    );
    let pairs = [
        "certificates.k8s.io/v1beta1=true",
        "apps/v1=false",
        "authorization.k8s.io/v1=false",
        "/v1/secrets=false",
    ];
    let (_server, mut http, _env) = serve(&pairs, &[]).await;
    let list = http.get(BUNDLES).await;
    assert!(
        list.text
            .contains(r#""apiVersion":"certificates.k8s.io/v1beta1""#),
        "{}",
        list.text
    );
    let group = http.get("/apis/certificates.k8s.io").await.text;
    assert!(
        group.contains(r#"{"groupVersion":"certificates.k8s.io/v1beta1","version":"v1beta1"}"#),
        "{group}"
    );
    assert!(
        http.get("/openapi/v3")
            .await
            .text
            .contains("apis/certificates.k8s.io/v1beta1")
    );
    for gone in [
        "/apis/apps/v1",
        "/apis/apps",
        "/apis/apps/v1/deployments",
        "/apis/authorization.k8s.io/v1",
        "/api/v1/secrets",
    ] {
        assert_eq!(http.get(gone).await.code, 404, "{gone}");
    }
    let core = http.get("/api/v1").await.text;
    assert!(core.contains("\"configmaps\"") && !core.contains("\"secrets\""));
    assert!(!http.get("/openapi/v3").await.text.contains("apis/apps/v1"));
}

#[tokio::test(start_paused = true)]
async fn fields_of_a_gate_that_is_off_are_not_written() {
    const POD: &str = r#"{"metadata":{"name":"p"},"spec":{"automountServiceAccountToken":false,"volumes":[{"name":"v","emptyDir":{}}],"containers":[{"name":"c","image":"i","env":[{"name":"A","valueFrom":{"fileKeyRef":{"volumeName":"v","path":"a","key":"k"}}}],"volumeMounts":[{"name":"v","mountPath":"/v"}]}]}}"#;
    const PODS: &str = "/api/v1/namespaces/default/pods?dryRun=All";
    let (_server, mut http, _env) = serve(&[], &[]).await;
    http.ask(
        "POST",
        "/api/v1/namespaces/default/serviceaccounts",
        &[],
        r#"{"metadata":{"name":"default"}}"#,
    )
    .await;
    let on = http.ask("POST", PODS, &[], POD).await;
    assert!(on.text.contains("fileKeyRef"), "{}", on.text);
    let told = http.get("/metrics").await.text;
    assert!(told.contains(r#"kubernetes_feature_enabled{name="EnvFiles",stage="BETA"} 1"#));
    let (_server, mut http, _env) = serve(&[], &[("EnvFiles", "false")]).await;
    http.ask(
        "POST",
        "/api/v1/namespaces/default/serviceaccounts",
        &[],
        r#"{"metadata":{"name":"default"}}"#,
    )
    .await;
    let off = http.ask("POST", PODS, &[], POD).await;
    // Without the field nothing says where the value comes from.
    assert!(
        off.code == 422 && off.text.contains("env[0].valueFrom: Invalid value"),
        "{}",
        off.text
    );
    let told = http.get("/metrics").await.text;
    assert!(told.contains(r#"kubernetes_feature_enabled{name="EnvFiles",stage="BETA"} 0"#));
}

#[tokio::test(start_paused = true)]
async fn events_are_kept_as_long_as_is_said() {
    const EVENTS: &str = "/api/v1/namespaces/default/events";
    let (_server, mut http, env) = serve(&[], &[]).await;
    let event = r#"{"metadata":{"name":"e"},"involvedObject":{"namespace":"default"}}"#;
    assert_eq!(http.ask("POST", EVENTS, &[], event).await.code, 201);
    env.clock.sleep(Duration::from_secs(590)).await;
    let mut http = Http::new(&_server).await;
    assert_eq!(http.get(&format!("{EVENTS}/e")).await.code, 200);
    env.clock.sleep(Duration::from_secs(120)).await;
    let mut http = Http::new(&_server).await;
    assert_eq!(http.get(&format!("{EVENTS}/e")).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn paths_lead_nowhere_else() {
    let (_server, mut http, _env) = serve(&[], &[]).await;
    for (path, code, words) in [
        (
            "/api/v1/namespaces/..%2f",
            400,
            r#"Name parameter invalid: \"..\": may not be '..'"#,
        ),
        (
            "/api/v1/namespaces/..%2fdefault",
            404,
            "the server could not find the requested resource",
        ),
        ("/api/v1/namespaces/%2e%2e/configmaps", 400, "may not be '..'"),
        ("/api/v1/namespaces/default/configmaps/..", 400, "may not be '..'"),
        (
            "/api/v1/namespaces/default/pods/x%25y",
            400,
            "may not contain '%'",
        ),
        ("/api/v1//namespaces", 404, "404 page not found"),
        (
            "/api/v1/nothing",
            404,
            "the server could not find the requested resource",
        ),
        ("/apis/none/v1/x", 404, "404 page not found"),
        (
            "/api/v1/namespaces/default/nodes",
            404,
            "the server could not find the requested resource",
        ),
    ] {
        let answer = http.get(path).await;
        assert!(
            answer.code == code && answer.text.contains(words),
            "{path}: {} {}",
            answer.code,
            answer.text
        );
    }
    for (method, path, code) in [
        ("PUT", MAPS, 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("POST", "/api/v1/namespaces/default/namespaces", 404),
    ] {
        assert_eq!(
            http.ask(method, path, &[], "{}").await.code,
            code,
            "{method} {path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_old_paths_of_watches_are_watches() {
    let (_server, mut http, _env) = serve(&[], &[]).await;
    http.ask("POST", MAPS, &[], MAP).await;
    for path in [
        "/api/v1/watch/configmaps",
        "/api/v1/watch/namespaces/default/configmaps/a",
    ] {
        let watch = http.get(&format!("{path}?timeoutSeconds=1")).await;
        assert!(
            watch.text.starts_with(r#"{"type":"ADDED","object":{"#),
            "{path}: {}",
            watch.text
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_is_judged_as_upstream_judges_it() {
    let (_server, mut http, _env) = serve(&[], &[]).await;
    http.ask("POST", MAPS, &[], MAP).await;
    let at = format!("{MAPS}/a");
    let limits = "/api/v1/namespaces/default/limitranges/l";
    let lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    for (path, body, code, words) in [
        (
            at.as_str(),
            r#"{"metadata":{"name":"a","resourceVersion":"x"}}"#,
            500,
            r#"strconv.ParseUint: parsing \"x\": invalid syntax"#,
        ),
        (
            &at,
            r#"{"metadata":{"name":"a","resourceVersion":"1"}}"#,
            409,
            "the object has been modified",
        ),
        (
            &at,
            r#"{"metadata":{}}"#,
            400,
            "the name of the object (a based on URL) was undeterminable: name must be provided",
        ),
        (
            &at,
            r#"{"metadata":{"name":"a","namespace":"b"}}"#,
            400,
            "the namespace of the object (b) does not match the namespace on the request (default)",
        ),
        (
            &format!("{MAPS}/none"),
            r#"{"metadata":{"name":"none"}}"#,
            404,
            r#"configmaps \"none\" not found"#,
        ),
        (
            limits,
            r#"{"metadata":{"name":"l"},"spec":{"limits":[]}}"#,
            201,
            "LimitRange",
        ),
        (
            limits,
            r#"{"metadata":{"name":"l"},"spec":{"limits":[]}}"#,
            200,
            "LimitRange",
        ),
        (lease, r#"{"metadata":{"name":"l"}}"#, 201, "Lease"),
        (
            lease,
            r#"{"metadata":{"name":"l"}}"#,
            422,
            r#"leases.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"#,
        ),
    ] {
        let answer = http.ask("PUT", path, &[], body).await;
        assert!(
            answer.code == code && answer.text.contains(words),
            "{body}: {} {}",
            answer.code,
            answer.text
        );
    }
    for (method, path, words) in [
        (
            "POST",
            format!("{MAPS}?dryRun=All&dryRun=x"),
            r#"CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"All\",\"x\"]: supported values: \"All\""#,
        ),
        (
            "DELETE",
            format!("{at}?dryRun=x"),
            r#"DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"x\"]"#,
        ),
        (
            "GET",
            format!("{MAPS}?timeoutSeconds=x"),
            r#"strconv.ParseInt: parsing \"x\": invalid syntax"#,
        ),
    ] {
        let answer = http.ask(method, &path, &[], MAP).await;
        assert!(answer.text.contains(words), "{path}: {}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn the_parts_of_the_control_plane_are_asked_how_they_do() {
    const PARTS: &str = "/api/v1/componentstatuses";
    let (server, mut http, _env) = serve(&[], &[]).await;
    let ready = component::State::Ready;
    server.handler.env.ready.set("kube-scheduler", ready);
    let failed = component::State::Failed("no signer".to_owned());
    server.handler.env.ready.set("kube-controller-manager", failed);
    let list = http.get(PARTS).await.text;
    assert!(list.contains(r#""kind":"ComponentStatusList""#), "{list}");
    assert!(
        list.contains(r#""conditions":[{"type":"Healthy","status":"False","message":"no signer"}]"#),
        "{list}"
    );
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let shown = http
        .ask("GET", &format!("{PARTS}/scheduler"), &table, "")
        .await
        .text;
    assert!(
        shown.contains(r#""cells":["scheduler","Healthy","ok",""]"#),
        "{shown}"
    );
    assert!(shown.contains(r#""name":"Error""#), "{shown}");
    assert_eq!(http.get(&format!("{PARTS}/none")).await.code, 404);
    assert_eq!(http.ask("POST", PARTS, &[], "{}").await.code, 405);
}
