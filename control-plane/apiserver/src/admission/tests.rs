//! Stories of the smaller plugins.

mod images;
mod resizing;
mod statuses;

use super::resource_quota::story::Story;
use crate::{fixture, security::stories::log::Log};
use api::{Gvr, Key, Object, Status};
use client::{Patch, Target, Write};
use component::Env;
use std::sync::Arc;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const EVENTS: Gvr = Gvr::new("", "v1", "events");
const SERVICES: Gvr = Gvr::new("", "v1", "services");
const NODES: Gvr = Gvr::new("", "v1", "nodes");
const CLASSES: Gvr = Gvr::new("node.k8s.io", "v1", "runtimeclasses");

/// A server without these plugins.
async fn without(disable: &[&str]) -> Story {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let mut config = fixture::config(store, resources::table().to_vec(), fixture::no_nodes());
    config.admission.disable = disable.iter().map(|&name| name.to_owned()).collect();
    config.admission.check().unwrap();
    Story::start(config, &env).await
}

/// A server with these plugins on beside the usual ones, and what the file tells them.
async fn with(enable: &[&str], configuration: &str) -> Story {
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let mut config = fixture::config(store, resources::table().to_vec(), fixture::no_nodes());
    config.admission.enable = enable.iter().map(|&name| name.to_owned()).collect();
    if !configuration.is_empty() {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n{configuration}"
        );
        config.admission.configuration =
            super::Configuration::parse(&text, |_| Err("no such file".to_owned())).unwrap();
    }
    config.admission.check().unwrap();
    Story::start(config, &env).await
}

#[tokio::test(start_paused = true)]
async fn plugins_without_effect_are_told_when_they_are_wanted() {
    let log = Log::keep();
    without(&[]).await;
    assert!(!log.said().contains("no effect"));
    with(&["JobValidation"], "").await;
    let said = log.said();
    assert!(
        said.contains("plugin=\"JobValidation\"") && !said.contains("PodGroupProtection"),
        "{said}"
    );
    let env = Env::simulated(7);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let mut config = fixture::config(store, resources::table().to_vec(), fixture::no_nodes());
    let on = [("GenericWorkload".to_owned(), "true".to_owned())];
    config.gates = component::gates::Gates::parse(&on.into()).unwrap();
    Story::start(config, &env).await;
    let said = log.said();
    for plugin in ["PodGroupProtection", "JobValidation"] {
        assert!(said.contains(&format!("plugin={plugin:?}")), "{said}");
    }
}

impl Story {
    async fn global(&self, gvr: &Gvr, text: &str) -> Arc<Object> {
        let target = Target::collection(gvr, "");
        self.client
            .write(target, Write::Create(text.to_owned().into()))
            .await
            .unwrap()
    }

    async fn annotate(&self, key: &str, value: &str) {
        let value = serde_json::to_string(value).unwrap();
        let patch = format!(r#"{{"metadata":{{"annotations":{{"{key}":{value}}}}}}}"#);
        let target = Target::object(&Gvr::new("", "v1", "namespaces"), &Key::new("", "default"));
        self.client
            .write(target, Write::Patch(Patch::Merge, patch.into()))
            .await
            .unwrap();
    }
}

fn pod(name: &str, more: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}"}},"spec":{{{more}"containers":[{{"name":"c","image":"i"}}]}}}}"#
    )
}

fn said(refused: Result<Arc<Object>, Status>) -> String {
    refused.unwrap_err().message
}

fn has(object: &Object, part: &str) {
    let text = String::from_utf8_lossy(object.body());
    assert!(text.contains(part), "{part}\n{text}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_gets_overhead_and_place_of_its_runtime_class() {
    let story = with(&[], "").await;
    story
        .global(
            &CLASSES,
            r#"{"metadata":{"name":"kata"},"handler":"kata","overhead":{"podFixed":{"cpu":"250m","memory":"120Mi"}},
            "scheduling":{"nodeSelector":{"kata":"yes"},"tolerations":[{"key":"kata","operator":"Exists","effect":"NoSchedule"}]}}"#,
        )
        .await;
    let made = story
        .create(&PODS, &pod("a", r#""runtimeClassName":"kata","#))
        .await
        .unwrap();
    has(&made, r#""overhead":{"cpu":"250m","memory":"120Mi"}"#);
    has(&made, r#""nodeSelector":{"kata":"yes"}"#);
    has(
        &made,
        r#"{"effect":"NoSchedule","key":"kata","operator":"Exists"}"#,
    );
    for (spec, why) in [
        (
            r#""runtimeClassName":"none","#,
            "pod rejected: RuntimeClass \"none\" not found",
        ),
        (
            r#""runtimeClassName":"kata","overhead":{"cpu":"1"},"#,
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            r#""overhead":{"cpu":"1"},"#,
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            r#""runtimeClassName":"kata","nodeSelector":{"kata":"no"},"#,
            "conflict: runtimeClass.scheduling.nodeSelector[kata] = yes; pod.spec.nodeSelector[kata] = no",
        ),
    ] {
        let message = said(story.create(&PODS, &pod("b", spec)).await);
        assert_eq!(message, format!("pods \"b\" is forbidden: {why}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bound_pod_gets_the_zone_of_its_node() {
    let story = with(&[], "").await;
    let node = r#"{"metadata":{"name":"n","labels":{"topology.kubernetes.io/zone":"z","other":"x"}}}"#;
    story.global(&NODES, node).await;
    story.create(&PODS, &pod("p", "")).await.unwrap();
    let target = Target {
        gvr: PODS,
        namespace: "default".to_owned(),
        name: "p".to_owned(),
        subresource: "binding",
    };
    let binding = r#"{"metadata":{"name":"p"},"target":{"kind":"Node","name":"n"}}"#;
    story
        .client
        .write(target, Write::Create(binding.into()))
        .await
        .unwrap();
    let bound = story.client.get(&PODS, &Key::new("default", "p")).await.unwrap();
    assert_eq!(bound.label("topology.kubernetes.io/zone"), Some("z"));
    assert_eq!(bound.label("other"), None);
}

#[tokio::test(start_paused = true)]
async fn plugins_that_refuse() {
    let story = with(
        &["LimitPodHardAntiAffinityTopology", "DenyServiceExternalIPs"],
        "",
    )
    .await;
    let far = r#""affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"zone","labelSelector":{"matchLabels":{"a":"b"}}}]}},"#;
    assert_eq!(
        said(story.create(&PODS, &pod("p", far)).await),
        "pods \"p\" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key \
         kubernetes.io/hostname is allowed"
    );
    let service = r#"{"metadata":{"name":"s"},"spec":{"ports":[{"port":80}],"externalIPs":["192.0.2.7"]}}"#;
    assert_eq!(
        said(story.create(&SERVICES, service).await),
        "services \"s\" is forbidden: Use of external IPs is denied by admission control"
    );
}

#[tokio::test(start_paused = true)]
async fn pods_refer_to_the_secrets_that_their_account_names() {
    let story = with(&[], "").await;
    let account = r#"{"metadata":{"name":"strict","annotations":{"kubernetes.io/enforce-mountable-secrets":"true"}},
        "secrets":[{"name":"own"}],"imagePullSecrets":[{"name":"pull"}]}"#;
    story
        .create(&Gvr::new("", "v1", "serviceaccounts"), account)
        .await
        .unwrap();
    let of = |more: &str| pod("p", &format!(r#""serviceAccountName":"strict",{more}"#));
    for (more, why) in [
        (
            r#""volumes":[{"name":"v","secret":{"secretName":"other"}}],"#,
            "volume with secret.secretName=\"other\" is not allowed because service account strict does not reference \
             that secret",
        ),
        (
            r#""imagePullSecrets":[{"name":"other"}],"#,
            "imagePullSecrets[0].name=\"other\" is not allowed because service account strict does not reference that \
             imagePullSecret",
        ),
        (
            r#""initContainers":[{"name":"i","image":"i","env":[{"name":"E","valueFrom":{"secretKeyRef":{"name":"other","key":"k"}}}]}],"#,
            "init container i with envVar E referencing secret.secretName=\"other\" is not allowed because service \
             account strict does not reference that secret",
        ),
    ] {
        let message = said(story.create(&PODS, &of(more)).await);
        assert_eq!(message, format!("pods \"p\" is forbidden: {why}"));
    }
    let fine = r#""volumes":[{"name":"v","secret":{"secretName":"own"}}],"#;
    story.create(&PODS, &of(fine)).await.unwrap();
    let mirror = r#"{"metadata":{"name":"m","annotations":{"kubernetes.io/config.mirror":"x"}},"spec":{"nodeName":"n",
        "volumes":[{"name":"v","secret":{"secretName":"s"}}],"containers":[{"name":"c","image":"i"}]}}"#;
    assert!(said(story.create(&PODS, mirror).await).contains("a mirror pod may not reference secrets"));
}

#[tokio::test(start_paused = true)]
async fn owners_are_named_by_who_may_delete_them() {
    let story = with(&["OwnerReferencesPermissionEnforcement"], "").await;
    let owned = |kind: &str| {
        format!(
            r#"{{"metadata":{{"name":"p","ownerReferences":[{{"apiVersion":"v1","kind":"{kind}","name":"o","uid":"u","blockOwnerDeletion":true}}]}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}"#
        )
    };
    assert_eq!(
        said(story.create(&PODS, &owned("Nothing")).await),
        "pods \"p\" is forbidden: cannot set blockOwnerDeletion in this case because cannot find RESTMapping for \
         APIVersion v1 Kind Nothing: no matches for kind \"Nothing\" in version \"v1\""
    );
    story.create(&PODS, &owned("Pod")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn plugins_that_change_pods() {
    let plugins = ["AlwaysPullImages", "ExtendedResourceToleration"];
    let story = with(&plugins, "").await;
    let text = r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i:1","imagePullPolicy":"Never",
        "resources":{"requests":{"example.com/fpga":"1"},"limits":{"example.com/fpga":"1"}}}]}}"#;
    let made = story.create(&PODS, text).await.unwrap();
    has(&made, r#""imagePullPolicy":"Always""#);
    has(
        &made,
        r#"{"effect":"NoSchedule","key":"example.com/fpga","operator":"Exists"}"#,
    );
}

#[tokio::test(start_paused = true)]
async fn a_namespace_says_where_its_pods_go() {
    let configuration = "
- name: PodNodeSelector
  configuration: {podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: 'a=b', default: 'a=b,env=test,own=x'}}
";
    let story = with(&["PodNodeSelector"], configuration).await;
    has(
        &story.create(&PODS, &pod("p", "")).await.unwrap(),
        r#""nodeSelector":{"a":"b"}"#,
    );
    story
        .annotate("scheduler.alpha.kubernetes.io/node-selector", "env=test")
        .await;
    let made = story
        .create(&PODS, &pod("q", r#""nodeSelector":{"own":"x"},"#))
        .await
        .unwrap();
    has(&made, r#""nodeSelector":{"env":"test","own":"x"}"#);
    for (selector, why) in [
        (
            r#"{"env":"prod"}"#,
            "pod node label selector conflicts with its namespace node label selector",
        ),
        (
            r#"{"foreign":"x"}"#,
            "pod node label selector labels conflict with its namespace whitelist",
        ),
    ] {
        let text = pod("r", &format!(r#""nodeSelector":{selector},"#));
        assert_eq!(
            said(story.create(&PODS, &text).await),
            format!("pods \"r\" is forbidden: {why}")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_says_what_its_pods_tolerate() {
    let story = with(&["PodTolerationRestriction"], "").await;
    let key = "scheduler.alpha.kubernetes.io/defaultTolerations";
    story
        .annotate(key, r#"[{"key":"a","operator":"Exists","effect":"NoSchedule"}]"#)
        .await;
    let made = story.create(&PODS, &pod("p", "")).await.unwrap();
    has(&made, r#"{"effect":"NoSchedule","key":"a","operator":"Exists"}"#);
    let key = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";
    story.annotate(key, r#"[{"key":"a","operator":"Exists"}]"#).await;
    let other = r#""tolerations":[{"key":"b","operator":"Exists"}],"#;
    let status = story.create(&PODS, &pod("q", other)).await.unwrap_err();
    assert_eq!(
        status.message,
        "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist"
    );
}

#[tokio::test(start_paused = true)]
async fn events_come_at_a_limited_rate() {
    let configuration = "
- name: EventRateLimit
  configuration:
    apiVersion: eventratelimit.admission.k8s.io/v1alpha1
    kind: Configuration
    limits:
    - {type: Namespace, qps: 1, burst: 2}
";
    let story = with(&["EventRateLimit"], configuration).await;
    let event = |name: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}"}},"involvedObject":{{"namespace":"default"}},"reason":"r"}}"#
        )
    };
    story.create(&EVENTS, &event("a")).await.unwrap();
    story.create(&EVENTS, &event("b")).await.unwrap();
    let status = story.create(&EVENTS, &event("c")).await.unwrap_err();
    assert_eq!(
        (status.code, status.message.as_str()),
        (429, "limit reached on type Namespace for key default")
    );
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    story.create(&EVENTS, &event("c")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_made_when_they_are_needed() {
    let story = with(&["NamespaceAutoProvision", "NamespaceExists"], "").await;
    let maps = Gvr::new("", "v1", "configmaps");
    let write = |namespace: &str| {
        let body = r#"{"metadata":{"name":"m"}}"#.to_owned();
        story
            .client
            .write(Target::collection(&maps, namespace), Write::Create(body.into()))
    };
    write("fresh").await.unwrap();
    let namespaces = Gvr::new("", "v1", "namespaces");
    assert!(
        story
            .client
            .get(&namespaces, &Key::cluster("fresh"))
            .await
            .is_ok()
    );
    write("fresh").await.unwrap_err();
    let wrong = write("Not-A-Name").await.unwrap_err();
    assert_eq!(wrong.code, 422, "{wrong:?}");
    let key = Key::new("nowhere", "m");
    let gone = story
        .client
        .delete(&maps, &key, client::DeleteOptions::default())
        .await;
    assert_eq!(gone.unwrap_err().code, 404);
    let story = with(&[], "").await;
    let body = r#"{"metadata":{"name":"m"}}"#.to_owned();
    let target = Target::collection(&maps, "fresh");
    let refused = story
        .client
        .write(target, Write::Create(body.into()))
        .await
        .unwrap_err();
    assert_eq!(refused.message, r#"namespaces "fresh" not found"#);
}

#[test]
fn images_are_judged_by_who_can_be_asked() {
    let of = |more: &str| {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n- name: ImagePolicyWebhook\n  configuration: {{imagePolicy: {{{more}}}}}\n"
        );
        super::Configuration::parse(&text, |_| Err("no such file".to_owned())).unwrap_err()
    };
    for (more, why) in [
        ("", "kubeConfigFile is needed"),
        ("kubeConfigFile: /nowhere", "/nowhere"),
        (
            "kubeConfigFile: /nowhere, allowTTL: 1801",
            "valid value is between 1s and 1800s, got 1801000ms",
        ),
        ("kubeConfigFile: /nowhere, denyTTL: -2", "valid value is between"),
        (
            "kubeConfigFile: /nowhere, retryBackoff: 300001",
            "valid value is between 1ms and 300s",
        ),
        ("kubeConfigFile: 7", "invalid type"),
    ] {
        let said = of(more);
        assert!(said.contains(why), "{more}: {said}");
    }
    let settings = super::Settings {
        enable: vec!["ImagePolicyWebhook".to_owned()],
        ..super::Settings::default()
    };
    assert!(
        settings
            .check()
            .unwrap_err()
            .starts_with("couldn't init admission plugin")
    );
}

/// Prints what the plugins that are on by default cost a pod's create.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "what it costs is real time")]
async fn the_cost_of_default_plugins() {
    const PODS_EACH: usize = 200;
    let mut micros = Vec::new();
    for disable in [
        Vec::new(),
        vec![
            "LimitRanger",
            "PodSecurity",
            "ResourceQuota",
            "RuntimeClass",
            "NodeRestriction",
        ],
    ] {
        let env = Env::simulated(7);
        let store = etcd::Engine::in_memory(env.clone()).unwrap();
        let mut config = fixture::config(store, resources::table().to_vec(), fixture::no_nodes());
        config.admission.disable = disable.iter().map(|&name: &&str| name.to_owned()).collect();
        let story = Story::start(config, &env).await;
        let texts: Vec<String> = (0..PODS_EACH).map(|n| pod(&format!("p{n}"), "")).collect();
        let start = std::time::Instant::now();
        for text in &texts {
            story.create(&PODS, text).await.unwrap();
        }
        micros.push(start.elapsed().as_micros() / PODS_EACH as u128);
    }
    println!(
        "admission/pod-create with={}us without={}us",
        micros[0], micros[1]
    );
}

/// What is made of the objects of one story: `plugin` adds `part` to `text`, and does not when it is off.
#[tokio::test(start_paused = true)]
async fn plugins_that_belong_to_writing_can_be_off() {
    const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");
    const VOLUMES: Gvr = Gvr::new("", "v1", "persistentvolumes");
    const INGRESSES: Gvr = Gvr::new("networking.k8s.io", "v1", "ingresses");
    const STORAGE: Gvr = Gvr::new("storage.k8s.io", "v1", "storageclasses");
    const PATHS: Gvr = Gvr::new("networking.k8s.io", "v1", "ingressclasses");
    let claim = r#"{"metadata":{"name":"x"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}"#;
    let volume = r#"{"metadata":{"name":"x"},"spec":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"},"hostPath":{"path":"/x"}}}"#;
    let ingress = r#"{"metadata":{"name":"x"},"spec":{"defaultBackend":{"service":{"name":"s","port":{"number":80}}}}}"#;
    let node = r#"{"metadata":{"name":"x"}}"#;
    let cases = [
        (
            "ServiceAccount",
            PODS,
            pod("x", ""),
            r#""serviceAccountName":"default""#,
        ),
        ("Priority", PODS, pod("x", ""), r#""priority":0"#),
        (
            "DefaultTolerationSeconds",
            PODS,
            pod("x", ""),
            r#""tolerationSeconds":300"#,
        ),
        (
            "TaintNodesByCondition",
            NODES,
            node.to_owned(),
            r#""key":"node.kubernetes.io/not-ready""#,
        ),
        (
            "DefaultStorageClass",
            CLAIMS,
            claim.to_owned(),
            r#""storageClassName":"#,
        ),
        (
            "StorageObjectInUseProtection",
            CLAIMS,
            claim.to_owned(),
            "kubernetes.io/pvc-protection",
        ),
        (
            "StorageObjectInUseProtection",
            VOLUMES,
            volume.to_owned(),
            "kubernetes.io/pv-protection",
        ),
        (
            "DefaultIngressClass",
            INGRESSES,
            ingress.to_owned(),
            r#""ingressClassName":"usual""#,
        ),
    ];
    for (plugin, gvr, text, part) in cases {
        for off in [false, true] {
            let story = without(if off { std::slice::from_ref(&plugin) } else { &[] }).await;
            let class = |group: &str, more: &str| {
                format!(
                    r#"{{"metadata":{{"name":"usual","annotations":{{"{group}.kubernetes.io/is-default-class":"true"}}}},{more}}}"#
                )
            };
            story
                .global(&STORAGE, &class("storageclass", r#""provisioner":"p""#))
                .await;
            story
                .global(
                    &PATHS,
                    &class("ingressclass", r#""spec":{"controller":"example.com/c"}"#),
                )
                .await;
            let namespace = if gvr == NODES || gvr == VOLUMES {
                ""
            } else {
                "default"
            };
            let target = Target::collection(&gvr, namespace);
            let made = story
                .client
                .write(target, Write::Create(text.clone().into()))
                .await
                .unwrap();
            let body = String::from_utf8_lossy(made.body());
            assert_eq!(body.contains(part), !off, "{plugin}: {body}");
        }
    }
    let story = without(&["NamespaceLifecycle"]).await;
    let maps = Gvr::new("", "v1", "configmaps");
    let body = r#"{"metadata":{"name":"m"}}"#.to_owned();
    let write = Write::Create(body.into());
    story
        .client
        .write(Target::collection(&maps, "nowhere"), write)
        .await
        .unwrap();
    let namespaces = Gvr::new("", "v1", "namespaces");
    let default = Key::cluster("default");
    let gone = story
        .client
        .delete(&namespaces, &default, client::DeleteOptions::default());
    gone.await.unwrap();
}
