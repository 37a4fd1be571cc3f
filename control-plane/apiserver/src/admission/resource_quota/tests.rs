//! Stories of quotas, in memory and over a server.

use super::{Limited, story::Story};
use crate::{admission, cache::stories::Remote, fixture};
use api::{Gvr, Key};
use client::{Patch, Target, Write};
use component::Env;
use futures::future::join_all;
use std::sync::{Arc, atomic::AtomicBool};

const QUOTAS: Gvr = super::QUOTAS;
const MAPS: Gvr = Gvr::new("", "v1", "configmaps");
const PODS: Gvr = Gvr::new("", "v1", "pods");
const SERVICES: Gvr = Gvr::new("", "v1", "services");
const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");

fn pod(name: &str, spec: &str, resources: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}"}},"spec":{{{spec}"containers":[{{"name":"c","image":"i","resources":{resources}}}]}}}}"#
    )
}

fn map(name: &str) -> String {
    format!(r#"{{"metadata":{{"name":"{name}"}}}}"#)
}

#[tokio::test(start_paused = true)]
async fn what_exceeds_a_quota_is_refused_in_upstreams_words() {
    let story = Story::new().await;
    let hard =
        r#"{"hard":{"requests.cpu":"1","requests.memory":"1Gi","limits.cpu":"2","limits.memory":"2Gi"}}"#;
    story.quota("mem-cpu-demo", hard).await;
    let small = r#"{"limits":{"memory":"800Mi","cpu":"800m"},"requests":{"memory":"600Mi","cpu":"400m"}}"#;
    story.create(&PODS, &pod("one", "", small)).await.unwrap();
    assert_eq!(
        story.used("mem-cpu-demo").await,
        "limits.cpu=800m,limits.memory=800Mi,requests.cpu=400m,requests.memory=600Mi"
    );
    let big = r#"{"limits":{"memory":"1Gi","cpu":"800m"},"requests":{"memory":"700Mi","cpu":"400m"}}"#;
    assert_eq!(
        story.refused(&PODS, &pod("two", "", big)).await,
        "pods \"two\" is forbidden: exceeded quota: mem-cpu-demo, requested: requests.memory=700Mi, used: \
         requests.memory=600Mi, limited: requests.memory=1Gi"
    );
    assert_eq!(
        story.refused(&PODS, &pod("two", "", "{}")).await,
        "pods \"two\" is forbidden: failed quota: mem-cpu-demo: must specify limits.cpu for: c; limits.memory for: c; \
         requests.cpu for: c; requests.memory for: c"
    );
}

#[tokio::test(start_paused = true)]
async fn of_a_hundred_at_once_ten_are_created() {
    let story = Story::new().await;
    story.quota("ten", r#"{"hard":{"configmaps":"10"}}"#).await;
    let texts: Vec<String> = (0..100).map(|n| map(&format!("m{n}"))).collect();
    let answers = join_all(texts.iter().map(async |text| story.create(&MAPS, text).await)).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (10, 90));
    for answer in refused {
        let message = answer.unwrap_err().message;
        let why = "exceeded quota: ten, requested: configmaps=1, used: configmaps=10, limited: configmaps=10";
        assert!(message.ends_with(why), "{message}");
    }
    assert_eq!(story.used("ten").await, "configmaps=10");
    let stored = story
        .client
        .list(&MAPS, "default", Default::default())
        .await
        .unwrap();
    assert_eq!(stored.items.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn several_servers_keep_one_quota() {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let config = |store| fixture::config(store, resources::table().to_vec(), fixture::no_nodes());
    let one = Story::start(config(store.clone()), &env).await;
    let remote = Remote {
        engine: store,
        lose: AtomicBool::new(false),
    };
    let two = Story::start(config(Arc::new(remote)), &env).await;
    one.quota("ten", r#"{"hard":{"configmaps":"10"}}"#).await;
    two.client
        .get(&QUOTAS, &Key::new("default", "ten"))
        .await
        .unwrap();
    let texts: Vec<String> = (0..60).map(|n| map(&format!("m{n}"))).collect();
    let create = |(n, text): (usize, &String)| {
        let story = if n % 2 == 0 { &one } else { &two };
        let text = text.clone();
        async move { story.create(&MAPS, &text).await }
    };
    let answers = join_all(texts.iter().enumerate().map(create)).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 10);
    assert_eq!(one.used("ten").await, "configmaps=10");
}

#[tokio::test(start_paused = true)]
async fn an_update_is_charged_for_what_it_adds() {
    let story = Story::new().await;
    let hard = r#"{"hard":{"services":"5","services.nodeports":"1","services.loadbalancers":"0"}}"#;
    story.quota("q", hard).await;
    let service = r#"{"metadata":{"name":"s"},"spec":{"ports":[{"port":80}]}}"#;
    story.create(&SERVICES, service).await.unwrap();
    let to = |kind: &str| format!(r#"{{"spec":{{"type":"{kind}"}}}}"#);
    let target = || Target::object(&SERVICES, &Key::new("default", "s"));
    let patch = |kind| {
        story
            .client
            .write(target(), Write::Patch(Patch::Merge, to(kind).into()))
    };
    patch("NodePort").await.unwrap();
    assert_eq!(
        story.used("q").await,
        "services=1,services.loadbalancers=0,services.nodeports=1"
    );
    assert_eq!(
        patch("LoadBalancer").await.unwrap_err().message,
        "services \"s\" is forbidden: exceeded quota: q, requested: services.loadbalancers=1, used: \
         services.loadbalancers=0, limited: services.loadbalancers=0"
    );
}

#[tokio::test(start_paused = true)]
async fn all_quotas_of_a_namespace_hold() {
    let story = Story::new().await;
    story
        .quota("a", r#"{"hard":{"persistentvolumeclaims":"5"}}"#)
        .await;
    let hard = r#"{"hard":{"gold.storageclass.storage.k8s.io/requests.storage":"1Gi","count/persistentvolumeclaims":"9"}}"#;
    story.quota("b", hard).await;
    let claim = |name: &str, size: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"storageClassName":"gold","accessModes":["ReadWriteOnce"],"resources":{{"requests":{{"storage":"{size}"}}}}}}}}"#
        )
    };
    story.create(&CLAIMS, &claim("x", "1Gi")).await.unwrap();
    let message = story.refused(&CLAIMS, &claim("y", "1")).await;
    assert_eq!(
        message,
        "persistentvolumeclaims \"y\" is forbidden: exceeded quota: b, requested: \
         gold.storageclass.storage.k8s.io/requests.storage=1, used: \
         gold.storageclass.storage.k8s.io/requests.storage=1Gi, limited: \
         gold.storageclass.storage.k8s.io/requests.storage=1Gi"
    );
    // Neither was charged for what the other refused.
    assert_eq!(story.used("a").await, "persistentvolumeclaims=1");
}

#[tokio::test(start_paused = true)]
async fn scopes_choose_the_pods_that_count() {
    let story = Story::new().await;
    story
        .quota("long", r#"{"hard":{"pods":"0"},"scopes":["NotTerminating"]}"#)
        .await;
    let high = r#"{"hard":{"pods":"1"},"scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"In","values":["system-node-critical"]}]}}"#;
    story.quota("high", high).await;
    let short = r#""activeDeadlineSeconds":5,"#;
    story.create(&PODS, &pod("a", short, "{}")).await.unwrap();
    let message = story.refused(&PODS, &pod("b", "", "{}")).await;
    assert!(
        message.contains("exceeded quota: long, requested: pods=1, used: pods=0, limited: pods=0"),
        "{message}"
    );
    let critical = format!(r#"{short}"priorityClassName":"system-node-critical","#);
    story.create(&PODS, &pod("c", &critical, "{}")).await.unwrap();
    let message = story.refused(&PODS, &pod("d", &critical, "{}")).await;
    assert!(message.contains("exceeded quota: high"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn limited_resources_need_a_quota() {
    let story = Story::limited(vec![
        Limited {
            resource: "configmaps".to_owned(),
            match_contains: vec!["configmaps".to_owned()],
            ..Limited::default()
        },
        Limited {
            resource: "pods".to_owned(),
            match_scopes: vec![api::quota::Term {
                scope_name: "PriorityClass".to_owned(),
                operator: "In".to_owned(),
                values: vec!["system-node-critical".to_owned()],
            }],
            ..Limited::default()
        },
    ])
    .await;
    assert_eq!(
        story.refused(&MAPS, &map("x")).await,
        "configmaps \"x\" is forbidden: insufficient quota to consume: configmaps,count/configmaps"
    );
    story
        .quota("q", r#"{"hard":{"configmaps":"1","count/configmaps":"1"}}"#)
        .await;
    story.create(&MAPS, &map("x")).await.unwrap();
    let critical = pod("p", r#""priorityClassName":"system-node-critical","#, "{}");
    let status = story.create(&PODS, &critical).await.unwrap_err();
    assert_eq!(
        (status.code, status.message.as_str()),
        (
            500,
            "insufficient quota to match these scopes: [{PriorityClass In [system-node-critical]}]"
        )
    );
    story.create(&PODS, &pod("p", "", "{}")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dry_runs_are_judged_and_not_charged() {
    let story = Story::new().await;
    story.quota("one", r#"{"hard":{"configmaps":"1"}}"#).await;
    let dry = |name: &str| {
        let options = client::WriteOptions {
            dry_run: true,
            ..Default::default()
        };
        let target = Target::collection(&MAPS, "default");
        story
            .client
            .transport()
            .write(target, Write::Create(map(name).into()), options)
    };
    dry("a").await.unwrap();
    assert_eq!(story.used("one").await, "configmaps=0");
    story.create(&MAPS, &map("a")).await.unwrap();
    assert!(
        dry("b")
            .await
            .unwrap_err()
            .message
            .contains("exceeded quota: one")
    );
}

#[tokio::test(start_paused = true)]
async fn an_uncounted_quota_lets_nothing_through() {
    let story = Story::new().await;
    story.quota("q", r#"{"hard":{"configmaps":"1"}}"#).await;
    let target = Target::object(&QUOTAS, &Key::new("default", "q")).sub("status");
    let status = r#"{"status":{"used":null}}"#;
    story
        .client
        .write(target, Write::Patch(Patch::Merge, status.into()))
        .await
        .unwrap();
    assert_eq!(
        story.refused(&MAPS, &map("x")).await,
        "configmaps \"x\" is forbidden: status unknown for quota: q, resources: configmaps"
    );
}

#[test]
fn the_configuration_is_read_and_checked() {
    let parse = |text: &str| admission::Configuration::parse(text, |_| Err("no such file".to_owned()));
    let good = "
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - resource: pods
      matchScopes:
      - {scopeName: PriorityClass, operator: In, values: [cluster-services]}
";
    let limited = &parse(good).unwrap().resource_quota.limited_resources;
    assert_eq!(
        limited[0].match_scopes[0].to_string(),
        "{PriorityClass In [cluster-services]}"
    );
    for (from, to, why) in [
        (
            "resource: pods",
            "apiGroup: x",
            "limitedResources[0].resource: Required value",
        ),
        ("name: ResourceQuota", "name: Quota", "unknown plugin: \"Quota\""),
        (
            "kind: AdmissionConfiguration",
            "kind: Other",
            "no kind \"Other\" is registered",
        ),
    ] {
        let error = parse(&good.replace(from, to)).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_to_nothing_is_given_back_at_once() {
    let story = Story::new().await;
    story.quota("ten", r#"{"hard":{"configmaps":"10"}}"#).await;
    story.create(&MAPS, &map("there")).await.unwrap();
    assert_eq!(story.used("ten").await, "configmaps=1");
    // The store has one of that name, however often it is wanted.
    let text = map("there");
    for _ in 0..30 {
        assert_eq!(story.create(&MAPS, &text).await.unwrap_err().code, 409);
    }
    let again = join_all((0..30).map(async |_| story.create(&MAPS, &text).await)).await;
    assert!(again.iter().all(Result::is_err));
    assert_eq!(story.used("ten").await, "configmaps=1");
}

/// What is refused behind the quotas is given back.
#[tokio::test(start_paused = true)]
async fn what_a_later_step_refuses_is_given_back() {
    let story = Story::new().await;
    story.quota("ten", r#"{"hard":{"services":"10"}}"#).await;
    let service = |name: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"clusterIP":"10.96.0.77","ports":[{{"port":80}}]}}}}"#
        )
    };
    story.create(&SERVICES, &service("there")).await.unwrap();
    for round in 0..30 {
        let refused = story.create(&SERVICES, &service("never")).await.unwrap_err();
        let told = refused.message.contains("provided IP is already allocated");
        assert!(refused.code == 422 && told, "{refused:?}");
        assert_eq!(story.used("ten").await, "services=1", "round {round}");
    }
}

/// Fifty at once against ten, over and over: as often as what there is goes, ten come, and nothing is refused falsely.
#[tokio::test(start_paused = true)]
async fn of_fifty_at_once_ten_pass_again_and_again() {
    let story = Story::new().await;
    story.quota("ten", r#"{"hard":{"configmaps":"10"}}"#).await;
    for round in 0..5 {
        let texts: Vec<String> = (0..50).map(|n| map(&format!("m{}", n % 25))).collect();
        let answers = join_all(texts.iter().map(async |text| story.create(&MAPS, text).await)).await;
        let made: Vec<_> = answers.iter().flatten().collect();
        assert_eq!(made.len(), 10, "round {round}");
        assert_eq!(story.used("ten").await, "configmaps=10");
        for object in made {
            let options = client::DeleteOptions::default();
            story.client.delete(&MAPS, &object.key(), options).await.unwrap();
        }
        // As who counts does it.
        let target = Target::object(&QUOTAS, &Key::new("default", "ten")).sub("status");
        let none = r#"{"status":{"used":{"configmaps":"0"}}}"#;
        let write = Write::Patch(Patch::Merge, none.into());
        story.client.write(target, write).await.unwrap();
    }
}
