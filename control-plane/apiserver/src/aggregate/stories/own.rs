//! Stories of what this server says of itself.

use super::{PATIENCE, Story};
use crate::{
    aggregate::service::{API_SERVICES, MANAGED, conditions},
    http::stories::Http,
};
use api::{Gvr, Key};
use client::DeleteOptions;

#[tokio::test(start_paused = true)]
async fn what_the_server_answers_is_registered() {
    let story = crate::custom::Story::new().await;
    let mut http = Http::new(&story.server).await;
    let get = |name: &str| story.server.reader().get(&API_SERVICES, "", name);
    let managed = |name: &str| get(name).and_then(|o| o.label(MANAGED).map(str::to_owned));
    for name in ["v1.", "v1.apps", "v2.autoscaling", "v1.apiextensions.k8s.io"] {
        assert_eq!(managed(name).as_deref(), Some("onstart"), "{name}");
        assert_eq!(conditions(&get(name).unwrap())[0].reason, "Local");
    }
    assert_eq!(managed("v1.apiregistration.k8s.io"), None);
    let apis = http.get("/apis").await.text;
    let at = |text: &str| apis.find(text).unwrap_or_else(|| panic!("no {text} in {apis}"));
    assert!(at(r#""name":"apiregistration.k8s.io""#) < at(r#""name":"apps""#));
    assert!(at(r#""name":"apps""#) < at(r#""name":"events.k8s.io""#));
    assert!(at(r#""name":"events.k8s.io""#) < at(r#""name":"batch""#));
    assert!(apis.contains(r#""preferredVersion":{"groupVersion":"autoscaling/v2","version":"v2"}"#));

    let name = "v1.stable.example.com";
    let cache = story
        .server
        .handler
        .cache("apiregistration.k8s.io", "apiservices")
        .unwrap();
    let mut watcher = cache.watch(crate::cache::Selection::default(), 0, None).unwrap();
    story.define(&crate::custom::crontabs()).await;
    let mut until = async |there: bool| {
        let reached = async {
            while get(name).is_some() != there {
                watcher.next().await.unwrap();
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        reached.unwrap_or_else(|_| panic!("waited for {name} to be there: {there}"));
    };
    until(true).await;
    assert_eq!(managed(name).as_deref(), Some("true"));
    let key = Key::cluster(name);
    story
        .client
        .delete(&API_SERVICES, &key, DeleteOptions::default())
        .await
        .unwrap();
    until(true).await;
    let definitions = Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    let key = Key::cluster("crontabs.stable.example.com");
    story
        .client
        .delete(&definitions, &key, DeleteOptions::default())
        .await
        .unwrap();
    until(false).await;
}

#[tokio::test]
async fn other_servers_are_told_whom_to_trust() {
    let story = Story::new().await;
    let maps = Gvr::new("", "v1", "configmaps");
    let key = Key::new("kube-system", "extension-apiserver-authentication");
    let said = async || {
        let map = story.client.find(&maps, &key).await.unwrap();
        map.map(|map| String::from_utf8(map.to_json().to_vec()).unwrap())
    };
    let text = said().await.unwrap();
    for part in [
        r#""client-ca-file":"-----BEGIN CERTIFICATE-----"#,
        r#""requestheader-client-ca-file":"-----BEGIN CERTIFICATE-----"#,
        r#""requestheader-allowed-names":"[\"front-proxy-client\"]""#,
        r#""requestheader-username-headers":"[\"X-Remote-User\"]""#,
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let cache = story.server.handler.cache("", "configmaps").unwrap();
    let mut watcher = cache.watch(crate::cache::Selection::default(), 0, None).unwrap();
    story
        .client
        .delete(&maps, &key, DeleteOptions::default())
        .await
        .unwrap();
    let back = async {
        while said().await.is_none() {
            watcher.next().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, back)
        .await
        .expect("waited for the ConfigMap to be back");
    story.env.tasks.stop();
}
