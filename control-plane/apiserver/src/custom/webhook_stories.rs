//! Stories of conversion by a webhook: a server of its own behind TLS, reached as a service.

use super::stories::{NAMES, Story, definition, text, version};
use crate::fixture;
use api::{Gvr, Key, Object, Status};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use client::{Dial, Duplex, ListParams, Patch, Peer, Target, WatchEvent, WatchParams, Write};
use component::{
    Env,
    pki::{Authority, Leaf, Purpose},
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A webhook that calls `host` of v1 and `address` of v2 the same.
struct Converter {
    env: Env,
    tls: Mutex<Option<Arc<rustls::ServerConfig>>>,
    asked: Arc<AtomicUsize>,
    broken: Arc<AtomicUsize>,
}

impl Dial for Converter {
    fn dial(&self, peer: &Peer) -> BoxFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        assert_eq!(
            *peer,
            Peer::Service("default".to_owned(), "converter".to_owned(), 8443)
        );
        let tls = self.tls.lock().unwrap().clone().unwrap();
        let (asked, broken) = (self.asked.clone(), self.broken.clone());
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        self.env.tasks.spawn("converter", async move {
            let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls).accept(theirs).await else {
                return;
            };
            let service = service_fn(move |request: Request<Incoming>| {
                asked.fetch_add(1, Ordering::SeqCst);
                let broken = broken.load(Ordering::SeqCst) > 0;
                async move {
                    assert_eq!(request.uri().path(), "/convert");
                    let text = request.into_body().collect().await.unwrap().to_bytes();
                    let answer = answer(std::str::from_utf8(&text).unwrap(), broken);
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer))))
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

fn answer(review: &str, broken: bool) -> String {
    let between = |start: &str, end: &str| review.split_once(start).unwrap().1.split_once(end).unwrap().0;
    let (uid, desired) = (
        between(r#""uid":""#, "\""),
        between(r#""desiredAPIVersion":""#, "\""),
    );
    let objects = review
        .split_once(r#""objects":"#)
        .unwrap()
        .1
        .strip_suffix("}}")
        .unwrap();
    let (group, _) = desired.split_once('/').unwrap();
    let objects = match desired.ends_with("/v2") {
        true => objects
            .replace(r#""host":"#, r#""address":"#)
            .replace(&format!("{group}/v1"), desired),
        false => objects
            .replace(r#""address":"#, r#""host":"#)
            .replace(&format!("{group}/v2"), desired),
    };
    let result = if broken {
        r#"{"status":"Failed","message":"cannot now"}"#
    } else {
        r#"{"status":"Success"}"#
    };
    format!(
        r#"{{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","response":{{"uid":"{uid}","result":{result},"convertedObjects":{objects}}}}}"#
    )
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

fn schema(field: &str) -> String {
    format!(
        r#"{{"type":"object","properties":{{"spec":{{"type":"object","properties":{{"{field}":{{"type":"string"}}}}}}}}}}"#
    )
}

/// A cluster and its converter.
struct Converted {
    story: Story,
    converter: Arc<Converter>,
    /// What a definition says of it.
    conversion: String,
}

async fn converted() -> Converted {
    let env = Env::simulated(7);
    let folder = tempfile::tempdir().unwrap();
    // TLS looks at the clock of the machine.
    let now = component::Clock::system().wall();
    let authority = Authority::open(folder.path(), now).unwrap();
    let purpose = Purpose::server("converter", vec!["converter.default.svc".to_owned()]);
    let leaf = authority.leaf("converter", &purpose, now).unwrap();
    let converter = Arc::new(Converter {
        env: env.clone(),
        tls: Mutex::default(),
        asked: Arc::default(),
        broken: Arc::default(),
    });
    *converter.tls.lock().unwrap() = Some(tls(&leaf));
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let server = fixture::start(store, resources::table().to_vec(), converter.clone(), &env).await;
    let story = Story::of(server, env);
    let bundle = STANDARD.encode(authority.certificate());
    let conversion = format!(
        r#","conversion":{{"strategy":"Webhook","webhook":{{"conversionReviewVersions":["v1"],"clientConfig":{{"caBundle":"{bundle}",
        "service":{{"namespace":"default","name":"converter","path":"/convert","port":8443}}}}}}}}"#
    );
    Converted {
        story,
        converter,
        conversion,
    }
}

impl Converted {
    /// Defines both versions, of which `stored` is stored; the field of each is selectable.
    async fn define(&self, stored: &str) -> Arc<Object> {
        let versions = [("v1", "host"), ("v2", "address")].map(|(name, field)| {
            let selectable = format!(r#","selectableFields":[{{"jsonPath":".spec.{field}"}}]"#);
            version(name, name == stored, &schema(field), &selectable)
        });
        let text = definition(NAMES, &versions, &self.conversion);
        self.story.define(&text).await
    }

    async fn host(&self, name: &str, host: &str) {
        let patch = Write::Patch(Patch::Merge, format!(r#"{{"spec":{{"host":"{host}"}}}}"#).into());
        let target = Target::object(&V1, &Key::new("default", name));
        self.story.client.write(target, patch).await.unwrap();
    }
}

const V1: Gvr = Gvr::new("stable.example.com", "v1", "crontabs");
const V2: Gvr = Gvr::new("stable.example.com", "v2", "crontabs");

#[tokio::test(start_paused = true)]
async fn fields_of_each_version_are_selectable() {
    let converted = converted().await;
    converted.define("v1").await;
    let story = &converted.story;
    story.tab("a", r#""spec":{"host":"x"}"#).await.unwrap();
    story.tab("b", r#""spec":{"host":"y"}"#).await.unwrap();
    let listed = async |of: &Gvr, fields: &str| {
        let params = ListParams {
            field_selector: fields.to_owned(),
            ..ListParams::default()
        };
        let list = story.client.list(of, "default", params).await;
        list.map(|list| {
            let names: Vec<String> = list.items.iter().map(|item| item.name().to_owned()).collect();
            names.join(" ")
        })
        .map_err(|status| (status.code, status.message))
    };
    let unknown = |path: &str| Err((400, format!("field label not supported: {path}")));
    assert_eq!(listed(&V1, "spec.host=x").await, Ok("a".to_owned()));
    assert_eq!(listed(&V2, "spec.address=x").await, Ok("a".to_owned()));
    assert_eq!(
        listed(&V2, "spec.address!=x,metadata.name=b").await,
        Ok("b".to_owned())
    );
    assert_eq!(listed(&V1, "spec.address=x").await, unknown("spec.address"));
    assert_eq!(listed(&V2, "spec.host=x").await, unknown("spec.host"));

    let params = WatchParams {
        field_selector: "spec.address=x".to_owned(),
        ..WatchParams::default()
    };
    let mut events = story.client.watch(&V2, "default", params).await.unwrap();
    converted.host("b", "z").await;
    converted.host("b", "x").await;
    converted.host("a", "y").await;
    let mut told = Vec::new();
    while told.len() < 3 {
        let event = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
        told.push(match event.expect("waited for an event").unwrap().unwrap() {
            WatchEvent::Added(object) => format!("ADDED {} {}", object.name(), object.api_version()),
            WatchEvent::Deleted(object) => format!("DELETED {} {}", object.name(), object.api_version()),
            other => panic!("{other:?}"),
        });
    }
    let v2 = "stable.example.com/v2";
    assert_eq!(
        told,
        [
            format!("ADDED a {v2}"),
            format!("ADDED b {v2}"),
            format!("DELETED a {v2}")
        ]
    );
    // Whichever is stored.
    converted.define("v2").await;
    assert_eq!(listed(&V2, "spec.address=x").await, Ok("b".to_owned()));
    assert_eq!(listed(&V1, "spec.host=y").await, Ok("a".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_in_another_version_is_converted() {
    let converted = converted().await;
    converted.define("v1").await;
    let story = &converted.story;
    story.tab("a", r#""spec":{"host":"x"}"#).await.unwrap();
    let key = Key::new("default", "a");
    let stored = || {
        let cache = story.server.handler.cache(&V1.group, &V1.resource).unwrap();
        let held = cache.get("default", "a").unwrap();
        String::from_utf8(held.stored().to_vec()).unwrap()
    };
    let crd = converted.define("v2").await;
    assert!(text(&crd).contains(r#""storedVersions":["v1","v2"]"#));
    assert!(stored().contains(r#""apiVersion":"stable.example.com/v1""#));
    let read = story.client.get(&V2, &key).await.unwrap();
    assert!(
        text(&read).contains(r#""spec":{"address":"x"}"#),
        "{}",
        text(&read)
    );
    // A write brings it into the version that is stored now, even if it changes nothing.
    let again = Write::Update(read.to_json());
    story
        .client
        .write(Target::object(&V2, &key), again)
        .await
        .unwrap();
    assert!(
        stored().contains(r#""apiVersion":"stable.example.com/v2""#),
        "{}",
        stored()
    );
    converted.host("a", "y").await;
    assert!(stored().contains(r#""spec":{"address":"y"}"#), "{}", stored());
    let read = story.client.get(&V1, &key).await.unwrap();
    assert!(text(&read).contains(r#""spec":{"host":"y"}"#), "{}", text(&read));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_converts() {
    let converted = converted().await;
    converted.define("v1").await;
    let Converted { story, converter, .. } = &converted;
    story.tab("a", r#""spec":{"host":"x"}"#).await.unwrap();
    story.tab("b", r#""spec":{"host":"y"}"#).await.unwrap();
    assert_eq!(
        converter.asked.load(Ordering::SeqCst),
        0,
        "the stored version needs no conversion"
    );

    let list = story
        .client
        .list(&V2, "default", ListParams::default())
        .await
        .unwrap();
    let specs: Vec<bool> = list
        .items
        .iter()
        .map(|o| o.body().windows(11).any(|w| w == br#""address":""#))
        .collect();
    assert_eq!(specs, [true, true]);
    assert_eq!(
        converter.asked.load(Ordering::SeqCst),
        1,
        "a page is converted at once"
    );
    let key = Key::new("default", "a");
    story.client.get(&V2, &key).await.unwrap();
    assert_eq!(
        converter.asked.load(Ordering::SeqCst),
        1,
        "what was converted is kept"
    );

    let patch = Write::Patch(Patch::Merge, Bytes::from_static(br#"{"spec":{"address":"z"}}"#));
    let changed = story
        .client
        .write(Target::object(&V2, &key), patch)
        .await
        .unwrap();
    assert_eq!(changed.api_version(), "stable.example.com/v2");
    let stored = story.client.get(&V1, &key).await.unwrap();
    let stored = std::str::from_utf8(stored.body()).unwrap();
    assert!(
        stored.contains(r#""spec":{"host":"z"}"#) && stored.contains("example.com/v1"),
        "{stored}"
    );

    converter.broken.store(1, Ordering::SeqCst);
    story.tab("c", r#""spec":{"host":"y"}"#).await.unwrap();
    let failed: Status = story
        .client
        .list(&V2, "default", ListParams::default())
        .await
        .unwrap_err();
    assert!(
        failed
            .message
            .ends_with("conversion webhook for stable.example.com/v2, Kind=CronTab failed: cannot now"),
        "{}",
        failed.message
    );
    assert_eq!(
        story
            .client
            .list(&V1, "default", ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        3
    );
}
