//! Stories of conversion by a webhook: a server of its own behind TLS, reached as a service.

use super::stories::{NAMES, Story, definition, version};
use crate::fixture;
use api::{Gvr, Key, Status};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use client::{Dial, Duplex, ListParams, Patch, Peer, Target, Write};
use component::{
    Env,
    pki::{Authority, Leaf, Purpose},
};
use futures::{FutureExt, future::BoxFuture};
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

#[tokio::test(start_paused = true)]
async fn a_webhook_converts() {
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
    let versions = [
        version("v1", true, &schema("host"), ""),
        version("v2", false, &schema("address"), ""),
    ];
    story.define(&definition(NAMES, &versions, &conversion)).await;
    story.tab("a", r#""spec":{"host":"x"}"#).await.unwrap();
    story.tab("b", r#""spec":{"host":"y"}"#).await.unwrap();
    assert_eq!(
        converter.asked.load(Ordering::SeqCst),
        0,
        "the stored version needs no conversion"
    );

    let v2 = Gvr::new("stable.example.com", "v2", "crontabs");
    let list = story
        .client
        .list(&v2, "default", ListParams::default())
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
    story.client.get(&v2, &key).await.unwrap();
    assert_eq!(
        converter.asked.load(Ordering::SeqCst),
        1,
        "what was converted is kept"
    );

    let patch = Write::Patch(Patch::Merge, Bytes::from_static(br#"{"spec":{"address":"z"}}"#));
    let changed = story
        .client
        .write(Target::object(&v2, &key), patch)
        .await
        .unwrap();
    assert_eq!(changed.api_version(), "stable.example.com/v2");
    let v1 = Gvr::new("stable.example.com", "v1", "crontabs");
    let stored = story.client.get(&v1, &key).await.unwrap();
    let stored = std::str::from_utf8(stored.body()).unwrap();
    assert!(
        stored.contains(r#""spec":{"host":"z"}"#) && stored.contains("example.com/v1"),
        "{stored}"
    );

    converter.broken.store(1, Ordering::SeqCst);
    story.tab("c", r#""spec":{"host":"y"}"#).await.unwrap();
    let failed: Status = story
        .client
        .list(&v2, "default", ListParams::default())
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
            .list(&v1, "default", ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        3
    );
}
