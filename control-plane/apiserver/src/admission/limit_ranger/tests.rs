//! Stories of LimitRanges.

use crate::{admission::resource_quota::story::Story, fixture};
use api::{Gvr, Key};
use client::{Patch, Target, Write};

const PODS: Gvr = Gvr::new("", "v1", "pods");
const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");

async fn with(limits: &str) -> Story {
    let story = Story::new().await;
    let text = format!(r#"{{"metadata":{{"name":"range"}},"spec":{{"limits":[{limits}]}}}}"#);
    story.create(&super::RANGES, &text).await.unwrap();
    story
}

fn pod(name: &str, containers: &str, more: &str) -> String {
    format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{{more}"containers":[{containers}]}}}}"#)
}

fn container(name: &str, resources: &str) -> String {
    format!(r#"{{"name":"{name}","image":"i","resources":{resources}}}"#)
}

#[tokio::test(start_paused = true)]
async fn a_container_that_asks_for_nothing_asks_for_the_defaults() {
    let story = with(
        r#"{"type":"Container","default":{"memory":"512Mi","cpu":"1"},"defaultRequest":{"memory":"256Mi","cpu":"500m"}}"#,
    )
    .await;
    let init = format!(
        r#""initContainers":[{}],"#,
        container("init", r#"{"requests":{"cpu":"1m"}}"#)
    );
    let containers = [
        container("none", "{}"),
        container("some", r#"{"limits":{"memory":"1Gi"}}"#),
    ];
    let made = story
        .create(&PODS, &pod("p", &containers.join(","), &init))
        .await
        .unwrap();
    let text = String::from_utf8(made.body().to_vec()).unwrap();
    for part in [
        r#""resources":{"limits":{"cpu":"1","memory":"512Mi"},"requests":{"cpu":"500m","memory":"256Mi"}}"#,
        r#""resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"500m","memory":"1Gi"}}"#,
        r#""resources":{"limits":{"cpu":"1","memory":"512Mi"},"requests":{"cpu":"1m","memory":"256Mi"}}"#,
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert_eq!(
        made.annotation(super::ANNOTATION).as_deref(),
        Some(
            "LimitRanger plugin set: cpu, memory request for container none; cpu, memory limit for container none; cpu \
             request for container some; cpu limit for container some; memory request for init container init; cpu, \
             memory limit for init container init"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn containers_stay_within_their_limits() {
    let story = with(
        r#"{"type":"Container","min":{"cpu":"200m"},"max":{"cpu":"800m","memory":"1Gi"},"maxLimitRequestRatio":{"cpu":"2"}}"#,
    )
    .await;
    for (resources, why) in [
        (
            r#"{"limits":{"cpu":"1500m"},"requests":{"cpu":"800m"}}"#,
            "maximum cpu usage per Container is 800m, but limit is 1500m",
        ),
        (
            r#"{"limits":{"cpu":"800m"},"requests":{"cpu":"100m"}}"#,
            "[minimum cpu usage per Container is 200m, but request is 100m, cpu max limit to request ratio per Container \
             is 2, but provided ratio is 8.000000]",
        ),
        (
            r#"{"limits":{"memory":"2Gi"}}"#,
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
    ] {
        let refused = story
            .create(&PODS, &pod("p", &container("c", resources), ""))
            .await
            .unwrap_err();
        assert_eq!(refused.message, format!("pods \"p\" is forbidden: {why}"));
    }
    // Without a word it gets what is the most.
    story
        .create(&PODS, &pod("p", &container("c", "{}"), ""))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn pods_stay_within_their_limits() {
    let story = with(r#"{"type":"Pod","max":{"cpu":"2"},"min":{"memory":"6Mi"}}"#).await;
    let half = r#"{"limits":{"cpu":"1","memory":"3Mi"}}"#;
    let two = [container("a", half), container("b", half)].join(",");
    story.create(&PODS, &pod("p", &two, "")).await.unwrap();
    let sidecar = format!(
        r#""initContainers":[{}],"#,
        container("s", half).replace(r#""name":"s""#, r#""name":"s","restartPolicy":"Always""#)
    );
    let refused = story.create(&PODS, &pod("q", &two, &sidecar)).await.unwrap_err();
    let why = "pods \"q\" is forbidden: maximum cpu usage per Pod is 2, but limit is 3";
    assert_eq!(refused.message, why);
    // What the pod asks for as a whole counts.
    let whole = r#""resources":{"requests":{"memory":"8Mi"},"limits":{"cpu":"2","memory":"8Mi"}},"#;
    story
        .create(&PODS, &pod("w", &container("a", "{}"), whole))
        .await
        .unwrap();
    let refused = story
        .create(&PODS, &pod("r", &container("a", "{}"), ""))
        .await
        .unwrap_err();
    assert_eq!(
        refused.message,
        "pods \"r\" is forbidden: [minimum memory usage per Pod is 6Mi.  No request is specified, maximum cpu usage per \
         Pod is 2.  No limit is specified]"
    );
}

#[tokio::test(start_paused = true)]
async fn claims_stay_within_their_limits() {
    let story =
        with(r#"{"type":"PersistentVolumeClaim","min":{"storage":"1Gi"},"max":{"storage":"2Gi"}}"#).await;
    let claim = |name: &str, size: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"accessModes":["ReadWriteOnce"],"resources":{{"requests":{{"storage":"{size}"}}}}}}}}"#
        )
    };
    for (size, why) in [
        (
            "3Gi",
            "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi",
        ),
        (
            "1Mi",
            "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi",
        ),
    ] {
        let refused = story.create(&CLAIMS, &claim("c", size)).await.unwrap_err();
        assert_eq!(
            refused.message,
            format!("persistentvolumeclaims \"c\" is forbidden: {why}")
        );
    }
    story.create(&CLAIMS, &claim("c", "1Gi")).await.unwrap();
    // An update that breaks it is refused, too.
    let target = Target::object(&CLAIMS, &Key::new("default", "c"));
    let label = r#"{"metadata":{"labels":{"a":"b"}}}"#;
    let client = fixture::client(&story.server);
    client
        .write(target, Write::Patch(Patch::Merge, label.into()))
        .await
        .unwrap();
}
