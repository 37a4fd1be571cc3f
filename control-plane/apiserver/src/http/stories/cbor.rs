//! CBOR over HTTP: answers, bodies, watches, where its gate is on.

use super::*;
use component::{Env, gates::Gates};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const CBOR: &str = "application/cbor";

/// A server that speaks CBOR, over `store`.
async fn speaking(store: Arc<dyn etcd::Store>, env: &Env) -> Arc<Server> {
    let on = [("CBORServingAndStorage".to_owned(), "true".to_owned())];
    let mut config = fixture::config(store, resources::table().to_vec(), fixture::no_nodes());
    config.gates = Gates::parse(&on.into()).unwrap();
    let server = Server::start(config, env.clone()).await.unwrap();
    server.bootstrap().await.unwrap();
    server
}

async fn server() -> (Arc<Server>, Env) {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    (speaking(store, &env).await, env)
}

/// An answer: its code, its content type and its body.
type Bare = (u16, String, Bytes);

async fn bare(response: http::Response<Incoming>) -> Bare {
    let (parts, body) = response.into_parts();
    let kind = parts.headers["content-type"].to_str().unwrap().to_owned();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), kind, bytes)
}

/// Sends bytes that are `kind`.
async fn bytes(http: &mut Http, (method, url): (&str, &str), kind: &str, body: Vec<u8>) -> Bare {
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("host", "test")
        .header("authorization", "Bearer admin")
        .header("accept", CBOR)
        .header("content-type", kind);
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    http.sender.ready().await.unwrap();
    bare(http.sender.send_request(request).await.unwrap()).await
}

/// Sends what `json` is in CBOR.
async fn send(http: &mut Http, method: &str, url: &str, json: &str) -> Bare {
    let body = schema::json_to_cbor(json.as_bytes()).unwrap();
    bytes(http, (method, url), CBOR, body).await
}

async fn get(http: &mut Http, url: &str) -> Bare {
    bare(http.send("GET", url, &[("accept", CBOR)], "").await).await
}

/// The JSON of an answer that must be CBOR.
fn json((code, kind, body): &Bare) -> (u16, String) {
    assert_eq!(kind, CBOR, "{}", String::from_utf8_lossy(body));
    assert!(schema::is_cbor(body));
    let text = schema::cbor_to_json(body).unwrap();
    (*code, String::from_utf8(text).unwrap())
}

fn map(name: &str, value: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"k":"{value}"}}}}"#
    )
}

#[tokio::test(start_paused = true)]
async fn objects_come_and_go_in_cbor() {
    let (server, _env) = server().await;
    let mut http = Http::new(&server).await;
    let (code, made) = json(&send(&mut http, "POST", MAPS, &map("a", "1")).await);
    assert!(code == 201 && made.contains(r#""data":{"k":"1"}"#), "{made}");
    let a = format!("{MAPS}/a");
    let (code, changed) = json(&send(&mut http, "PUT", &a, &map("a", "2")).await);
    assert!(
        code == 200 && changed.contains(r#""data":{"k":"2"}"#),
        "{changed}"
    );
    assert_eq!(json(&get(&mut http, &a).await).1, http.get(&a).await.text);
    let (_, list) = json(&get(&mut http, MAPS).await);
    let plain = http.get(MAPS).await.text;
    assert!(
        list.contains(r#""kind":"ConfigMapList""#) && list.len() == plain.len(),
        "{list}"
    );

    let secret = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"k":"aGk="}}"#;
    let (_, _, body) = send(&mut http, "POST", SECRETS, secret).await;
    assert!(
        body.windows(4).any(|part| part == [0xd6, 0x42, b'h', b'i']),
        "{body:x?}"
    );

    let (code, gone) = json(
        &send(
            &mut http,
            "DELETE",
            &a,
            r#"{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"other"}}"#,
        )
        .await,
    );
    assert!(code == 409 && gone.contains(r#""kind":"Status""#), "{gone}");
    let (code, gone) = json(&get(&mut http, "/api/v1/namespaces/default/configmaps/none").await);
    assert!(code == 404 && gone.contains(r#""reason":"NotFound""#), "{gone}");
    assert!(
        json(&get(&mut http, "/apis").await)
            .1
            .contains(r#""kind":"APIGroupList""#)
    );
}

#[tokio::test(start_paused = true)]
async fn bodies_in_cbor_are_checked() {
    let (server, _env) = server().await;
    let mut http = Http::new(&server).await;
    let unknown = map("a", "1").replace(r#""data""#, r#""dota":{},"data""#);
    let strict = format!("{MAPS}?fieldValidation=Strict");
    let (code, refused) = json(&send(&mut http, "POST", &strict, &unknown).await);
    assert!(
        code == 400 && refused.contains(r#"unknown field \"dota\""#),
        "{refused}"
    );
    let post = ("POST", MAPS);
    // {"kind": "ConfigMap", "kind": "ConfigMap"}
    let kind = b"\x44kind\x49ConfigMap";
    let twice = [&b"\xa2"[..], kind, kind].concat();
    let (code, refused) = json(&bytes(&mut http, post, CBOR, twice).await);
    let why = r#"cbor: found duplicate map key \"kind\" at map element index 1"#;
    assert!(code == 400 && refused.contains(why), "{refused}");
    for (body, why) in [
        (vec![], "EOF"),
        (vec![0xa1, 0x41], "unexpected EOF"),
        (
            vec![0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
            "floating-point infinity",
        ),
        (vec![0x81; 100_000], "exceeded max nested level"),
    ] {
        let (code, refused) = json(&bytes(&mut http, post, CBOR, body).await);
        assert!(code == 400 && refused.contains(why), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn configurations_are_applied_in_cbor() {
    let (server, _env) = server().await;
    let mut http = Http::new(&server).await;
    let apply = "application/apply-patch+cbor";
    let url = format!("{MAPS}/a?fieldManager=me");
    let body = schema::json_to_cbor(map("a", "1").as_bytes()).unwrap();
    let (code, made) = json(&bytes(&mut http, ("PATCH", &url), apply, body).await);
    assert!(code == 201 && made.contains(r#""operation":"Apply""#), "{made}");
    let merge = "application/merge-patch+cbor";
    let (code, refused) = json(&bytes(&mut http, ("PATCH", &url), merge, vec![0xa0]).await);
    assert!(
        code == 415 && refused.contains("application/apply-patch+cbor"),
        "{refused}"
    );
}

/// The next `count` frames, as JSON.
async fn frames(body: &mut Incoming, count: usize) -> Vec<String> {
    let (mut bytes, mut found) = (Vec::new(), Vec::new());
    while found.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(7200), body.frame());
        let next = next
            .await
            .expect("a frame of the watch")
            .expect("the watch goes on");
        bytes.extend_from_slice(next.unwrap().data_ref().unwrap());
        // Every frame starts like a body; where the next does, this one ends.
        let start = b"\xd9\xd9\xf7\xa2\x44type";
        while let Some(end) =
            (1..=bytes.len()).find(|end| *end == bytes.len() || bytes[*end..].starts_with(start))
            && let Ok(text) = schema::cbor_to_json(&bytes[..end])
        {
            found.push(String::from_utf8(text).unwrap());
            bytes.drain(..end);
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn watches_are_sequences_of_cbor() {
    let (server, _env) = server().await;
    let mut http = Http::new(&server).await;
    send(&mut http, "POST", MAPS, &map("a", "1")).await;
    let query = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    for accept in ["application/cbor-seq", CBOR] {
        let mut watching = Http::new(&server).await;
        let url = format!("{MAPS}?{query}&fieldSelector=metadata.name=a");
        let response = watching.send("GET", &url, &[("accept", accept)], "").await;
        assert_eq!(response.headers()["content-type"], "application/cbor-seq");
        let mut body = response.into_body();
        let first = frames(&mut body, 2).await;
        assert!(first[0].starts_with(r#"{"type":"ADDED","object":{"#) && first[0].contains(r#""name":"a""#));
        assert!(first[1].starts_with(r#"{"type":"BOOKMARK","#) && first[1].contains("initial-events-end"));
        send(&mut http, "PUT", &format!("{MAPS}/a"), &map("a", accept)).await;
        let next = frames(&mut body, 1).await;
        assert!(
            next[0].starts_with(r#"{"type":"MODIFIED""#) && next[0].contains(accept),
            "{next:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn without_its_gate_cbor_is_not_spoken() {
    let (server, _env) = fixture::whole().await;
    let mut http = Http::new(&server).await;
    let (code, kind, _) = get(&mut http, MAPS).await;
    assert_eq!((code, kind.as_str()), (406, "application/json"));
    for (method, url, kind) in [
        ("POST", MAPS, CBOR),
        (
            "PATCH",
            "/api/v1/namespaces/default/configmaps/a?fieldManager=m",
            "application/apply-patch+cbor",
        ),
    ] {
        let headers = [("content-type", kind)];
        let refused = http.ask(method, url, &headers, "x").await;
        assert!(
            refused.code == 415 && !refused.text.contains("cbor"),
            "{}",
            refused.text
        );
    }
}

#[tokio::test(start_paused = true)]
async fn values_that_are_stored_in_cbor_are_read() {
    let env = Env::simulated(7);
    let store: Arc<dyn etcd::Store> = etcd::Engine::in_memory(env.clone()).unwrap();
    let object = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"up","namespace":"default","uid":"u",
        "creationTimestamp":"2026-01-02T03:04:05Z"},"data":{"k":"1"}}"#;
    let put = etcd::TxnRequest {
        key: "/registry/configmaps/default/up".into(),
        expect: Some(0),
        op: etcd::Op::Put {
            value: schema::json_to_cbor(object.as_bytes()).unwrap().into(),
            lease: 0,
        },
        durability: etcd::Durability::Durable,
    };
    store.txn(put).await.unwrap();
    // Reading what is stored does not need the gate.
    let server = fixture::start(store, resources::table().to_vec(), fixture::no_nodes(), &env).await;
    let mut http = Http::new(&server).await;
    let url = format!("{MAPS}/up");
    assert!(http.get(&url).await.text.contains(r#""data":{"k":"1"}"#));
    let merge = [("content-type", "application/merge-patch+json")];
    let patched = http.ask("PATCH", &url, &merge, r#"{"data":{"k":"2"}}"#).await;
    assert!(patched.text.contains(r#""uid":"u""#), "{}", patched.text);
}
