//! Upstream's protobuf form over HTTP: answers, bodies, watches.

use super::*;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const ACCEPT: (&str, &str) = ("accept", PROTOBUF);

/// An answer in bytes: its code, its content type and its body.
type Bare = (u16, String, Bytes);

async fn bare(response: http::Response<Incoming>) -> Bare {
    let (parts, body) = response.into_parts();
    let kind = parts.headers["content-type"].to_str().unwrap().to_owned();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), kind, bytes)
}

/// Sends what `json` is in protobuf.
async fn send(http: &mut Http, method: &str, url: &str, json: &str) -> Bare {
    let body = schema::json_to_protobuf(json.as_bytes()).unwrap();
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("host", "test")
        .header("authorization", "Bearer admin")
        .header("accept", PROTOBUF)
        .header("content-type", PROTOBUF);
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    http.sender.ready().await.unwrap();
    bare(http.sender.send_request(request).await.unwrap()).await
}

async fn get(http: &mut Http, url: &str, accept: &str) -> Bare {
    bare(http.send("GET", url, &[("accept", accept)], "").await).await
}

/// The JSON of an answer that must be protobuf.
fn json((code, kind, body): &Bare) -> (u16, String) {
    assert_eq!(kind, PROTOBUF, "{}", String::from_utf8_lossy(body));
    (
        *code,
        String::from_utf8(schema::protobuf_to_json(body).unwrap()).unwrap(),
    )
}

fn map(name: &str, value: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"k":"{value}"}}}}"#
    )
}

#[tokio::test(start_paused = true)]
async fn objects_come_and_go_in_protobuf() {
    let (server, _env) = fixture::whole().await;
    let mut http = Http::new(&server).await;
    let (code, made) = json(&send(&mut http, "POST", MAPS, &map("a", "1")).await);
    assert!(
        code == 201 && made.contains(r#""data":{"k":"1"}"#) && made.contains("resourceVersion"),
        "{made}"
    );
    let a = format!("{MAPS}/a");
    let (code, changed) = json(&send(&mut http, "PUT", &a, &map("a", "2")).await);
    assert!(
        code == 200 && changed.contains(r#""data":{"k":"2"}"#),
        "{changed}"
    );
    let merge = [("content-type", "application/merge-patch+json"), ACCEPT];
    let patched = bare(http.send("PATCH", &a, &merge, r#"{"data":{"l":"3"}}"#).await).await;
    assert!(json(&patched).1.contains(r#""data":{"k":"2","l":"3"}"#));
    let read = json(&get(&mut http, &a, PROTOBUF).await);
    assert_eq!(read, json(&patched));
    let plain = http.get(&a).await.text;
    let body = schema::json_to_protobuf(plain.as_bytes()).unwrap();
    assert_eq!(schema::protobuf_to_json(&body).unwrap(), read.1.as_bytes());

    let (code, list) = json(&get(&mut http, MAPS, PROTOBUF).await);
    assert!(code == 200 && list.contains(r#""kind":"ConfigMapList""#) && list.contains(r#""l":"3""#));
    let partial = format!("{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
    let (_, list) = json(&get(&mut http, MAPS, &partial).await);
    assert!(list.contains(r#""kind":"PartialObjectMetadataList""#) && list.contains(r#""name":"a""#));
    assert!(!list.contains(r#""data""#), "{list}");

    let refused = send(
        &mut http,
        "DELETE",
        &a,
        r#"{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"other"}}"#,
    );
    let (code, refused) = json(&refused.await);
    assert!(
        code == 409
            && refused.contains(r#""kind":"Status""#)
            && refused.contains("the UID in the precondition (other)"),
        "{refused}"
    );
    let gone = send(
        &mut http,
        "DELETE",
        &a,
        r#"{"apiVersion":"v1","kind":"DeleteOptions"}"#,
    );
    let (code, gone) = json(&gone.await);
    assert!(code == 200 && gone.contains(r#""status":"Success""#), "{gone}");
    let (code, gone) = json(&get(&mut http, &a, PROTOBUF).await);
    assert!(code == 404 && gone.contains(r#""reason":"NotFound""#), "{gone}");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_protobuf_form_is_told_otherwise() {
    let (server, _env) = fixture::server().await;
    let mut http = Http::new(&server).await;
    http.make("a").await;
    let (code, refused) = json(&get(&mut http, WIDGETS, PROTOBUF).await);
    let message = "only the following media types are accepted: application/json, application/yaml, \
        application/vnd.kubernetes.protobuf";
    assert!(code == 406 && refused.contains(message), "{refused}");
    let any = format!("{PROTOBUF}, */*");
    assert_eq!(get(&mut http, WIDGETS, &any).await.1, "application/json");
    let partial = format!("{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    let (code, one) = json(&get(&mut http, &format!("{WIDGETS}/a"), &partial).await);
    assert!(
        code == 200 && one.contains(r#""kind":"PartialObjectMetadata""#) && one.contains(r#""name":"a""#)
    );
    for (url, part) in [
        ("/apis", r#""kind":"APIGroupList""#),
        ("/apis/test.io/v1", r#""name":"widgets""#),
    ] {
        let (code, text) = json(&get(&mut http, url, &any).await);
        assert!(code == 200 && text.contains(part), "{text}");
    }
    assert_eq!(get(&mut http, "/version", &any).await.1, "application/json");
}

/// The types and objects of the next `count` frames.
async fn frames(body: &mut Incoming, count: usize) -> Vec<(String, String)> {
    let (mut bytes, mut found) = (Vec::new(), Vec::new());
    while found.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(7200), body.frame());
        let next = next
            .await
            .expect("a frame of the watch")
            .expect("the watch goes on");
        bytes.extend_from_slice(next.unwrap().data_ref().unwrap());
        while let Some((length, rest)) = bytes.split_first_chunk::<4>()
            && let Some(event) = rest.get(..u32::from_be_bytes(*length) as usize)
        {
            let kind = String::from_utf8_lossy(&event[2..2 + usize::from(event[1])]).into_owned();
            let object = event.windows(4).position(|part| part == b"k8s\0").unwrap();
            let json = schema::protobuf_to_json(&event[object..]).unwrap();
            found.push((kind, String::from_utf8(json).unwrap()));
            bytes = rest[event.len()..].to_vec();
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn watches_are_framed_in_protobuf() {
    let (server, _env) = fixture::whole().await;
    let mut http = Http::new(&server).await;
    send(&mut http, "POST", MAPS, &map("a", "1")).await;
    let query = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    for accept in [format!("{PROTOBUF};stream=watch"), PROTOBUF.to_owned()] {
        let mut watching = Http::new(&server).await;
        let url = format!("{MAPS}?{query}&fieldSelector=metadata.name=a");
        let response = watching.send("GET", &url, &[("accept", &accept)], "").await;
        assert_eq!(
            response.headers()["content-type"],
            "application/vnd.kubernetes.protobuf;stream=watch"
        );
        let mut body = response.into_body();
        let first = frames(&mut body, 2).await;
        assert!(
            first[0].0 == "ADDED" && first[0].1.contains(r#""name":"a""#),
            "{first:?}"
        );
        assert!(
            first[1].0 == "BOOKMARK" && first[1].1.contains("initial-events-end"),
            "{first:?}"
        );
        send(&mut http, "PUT", &format!("{MAPS}/a"), &map("a", &accept)).await;
        let next = frames(&mut body, 1).await;
        assert!(next[0].0 == "MODIFIED" && next[0].1.contains(&accept), "{next:?}");
    }
    let yaml = [("accept", "application/yaml")];
    let yaml = http.ask("GET", &format!("{MAPS}?watch=1"), &yaml, "").await;
    assert!(
        yaml.code == 406 && yaml.text.contains("application/json;stream=watch, "),
        "{}",
        yaml.text
    );
}

#[tokio::test(start_paused = true)]
async fn values_that_upstream_stored_are_read() {
    let env = component::Env::simulated(7);
    let store: Arc<dyn etcd::Store> = etcd::Engine::in_memory(env.clone()).unwrap();
    let object = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"up","namespace":"default","uid":"u",
        "creationTimestamp":"2026-01-02T03:04:05Z"},"data":{"k":"1"}}"#;
    let put = etcd::TxnRequest {
        key: "/registry/configmaps/default/up".into(),
        expect: Some(0),
        op: etcd::Op::Put {
            value: schema::json_to_protobuf(object.as_bytes()).unwrap().into(),
            lease: 0,
        },
        durability: etcd::Durability::Durable,
    };
    store.txn(put).await.unwrap();
    let server = fixture::start(store, resources::table().to_vec(), fixture::no_nodes(), &env).await;
    let mut http = Http::new(&server).await;
    let url = format!("{MAPS}/up");
    let read = http.get(&url).await;
    assert!(
        read.code == 200 && read.text.contains(r#""data":{"k":"1"}"#),
        "{}",
        read.text
    );
    let merge = [("content-type", "application/merge-patch+json")];
    let patched = http.ask("PATCH", &url, &merge, r#"{"data":{"k":"2"}}"#).await;
    assert!(patched.text.contains(r#""uid":"u""#), "{}", patched.text);
    assert!(http.get(MAPS).await.text.contains(r#""data":{"k":"2"}"#));
}

#[tokio::test(start_paused = true)]
async fn values_that_older_releases_stored_are_read() {
    let env = component::Env::simulated(7);
    let store: Arc<dyn etcd::Store> = etcd::Engine::in_memory(env.clone()).unwrap();
    let head = |version: &str, kind: &str, name: &str| {
        format!(
            r#"{{"apiVersion":"{version}","kind":"{kind}","metadata":{{"name":"{name}","uid":"u","creationTimestamp":"2026-01-02T03:04:05Z""#
        )
    };
    let scaler = head("autoscaling/v1", "HorizontalPodAutoscaler", "up")
        + r#","namespace":"default"},"spec":{"maxReplicas":3,"scaleTargetRef":{"kind":"Deployment","name":"d"},"targetCPUUtilizationPercentage":70}}"#;
    let migration = head("storagemigration.k8s.io/v1beta1", "StorageVersionMigration", "up")
        + r#"},"spec":{"resource":{"group":"apps","resource":"deployments"}}}"#;
    let old = head("policy/v1alpha9", "PodDisruptionBudget", "up")
        + r#","namespace":"default"},"spec":{"minAvailable":1}}"#;
    let protobuf = |text: &str| schema::json_to_protobuf(text.as_bytes()).unwrap().into();
    for (key, value) in [
        ("horizontalpodautoscalers/default/up", protobuf(&scaler)),
        ("storageversionmigrations/up", protobuf(&migration)),
        ("poddisruptionbudgets/default/up", old.into()),
    ] {
        let put = etcd::TxnRequest {
            key: format!("/registry/{key}").into(),
            expect: Some(0),
            op: etcd::Op::Put { value, lease: 0 },
            durability: etcd::Durability::Durable,
        };
        store.txn(put).await.unwrap();
    }
    let server = fixture::start(store, resources::table().to_vec(), fixture::no_nodes(), &env).await;
    let mut http = Http::new(&server).await;
    let scalers =
        |version: &str| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers/up");
    let read = http.get(&scalers("v2")).await.text;
    assert!(read.contains(r#""apiVersion":"autoscaling/v2""#), "{read}");
    assert!(read.contains(r#""averageUtilization":70"#), "{read}");
    let read = http.get(&scalers("v1")).await.text;
    assert!(read.contains(r#""targetCPUUtilizationPercentage":70"#), "{read}");
    let url = "/apis/storagemigration.k8s.io/v1/storageversionmigrations";
    let read = http.get(&format!("{url}/up")).await.text;
    assert!(
        read.contains(r#""apiVersion":"storagemigration.k8s.io/v1""#),
        "{read}"
    );
    // A write brings it into the version that is stored now.
    let merge = [("content-type", "application/merge-patch+json")];
    let label = r#"{"metadata":{"labels":{"a":"b"}}}"#;
    let patched = http.ask("PATCH", &format!("{url}/up"), &merge, label).await;
    assert_eq!(patched.code, 200, "{}", patched.text);
    let unreadable = http
        .get("/apis/policy/v1/namespaces/default/poddisruptionbudgets/up")
        .await;
    assert_eq!(unreadable.code, 500);
    let why = r#"no kind \"PodDisruptionBudget\" is registered for version \"policy/v1alpha9\""#;
    assert!(unreadable.text.contains(why), "{}", unreadable.text);
}
