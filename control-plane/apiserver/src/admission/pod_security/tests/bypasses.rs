//! Ways around the standards that are none.

use crate::admission::resource_quota::story::Story;
use api::{Gvr, Key, Object, Status};
use client::{Patch, Target, Write};
use std::sync::Arc;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
const DEPLOYMENTS: Gvr = Gvr::new("apps", "v1", "deployments");

async fn label(story: &Story, labels: &str) {
    let patch = format!(r#"{{"metadata":{{"labels":{{{labels}}}}}}}"#);
    let target = Target::object(&NAMESPACES, &Key::cluster("default"));
    let write = Write::Patch(Patch::Merge, patch.into());
    story.client.write(target, write).await.unwrap();
}

async fn patch(story: &Story, name: &str, sub: &'static str, patch: &str) -> Result<Arc<Object>, Status> {
    let target = Target::object(&PODS, &Key::new("default", name)).sub(sub);
    let write = Write::Patch(Patch::Strategic, patch.to_owned().into());
    story.client.write(target, write).await
}

fn refused(of: &str, answer: Result<Arc<Object>, Status>, why: &str) {
    let status = answer.expect_err(of);
    let wanted = format!("violates PodSecurity \"{why}");
    assert!(status.message.contains(&wanted), "{of}: {}", status.message);
}

fn pod(name: &str, more: &str, container: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}"}},"spec":{{{more}"containers":[{{"name":"c","image":"i"{container}}}]}}}}"#
    )
}

#[tokio::test(start_paused = true)]
async fn no_way_leads_around_the_level_of_a_namespace() {
    let story = Story::new().await;
    // What was there before stays there.
    let privileged = r#","securityContext":{"privileged":true}"#;
    story.create(&PODS, &pod("old", "", privileged)).await.unwrap();
    story.create(&PODS, &pod("good", "", "")).await.unwrap();
    label(&story, r#""pod-security.kubernetes.io/enforce":"baseline""#).await;
    let baseline = r#"baseline:latest": privileged (container "#;
    let init = |more: &str| {
        format!(
            r#""initContainers":[{{"name":"x","image":"i","securityContext":{{"privileged":true}}{more}}}],"#
        )
    };
    for (of, text) in [
        ("a container", pod("p", "", privileged)),
        ("an init container", pod("p", &init(""), "")),
        ("a sidecar", pod("p", &init(r#","restartPolicy":"Always""#), "")),
    ] {
        refused(of, story.create(&PODS, &text).await, baseline);
    }
    let debug = r#"{"spec":{"ephemeralContainers":[{"name":"x","image":"i","securityContext":{"privileged":true}}]}}"#;
    refused(
        "a debugger",
        patch(&story, "good", "ephemeralcontainers", debug).await,
        baseline,
    );
    let harmless = debug.replace(r#","securityContext":{"privileged":true}"#, "");
    patch(&story, "good", "ephemeralcontainers", &harmless)
        .await
        .unwrap();
    // One that breaks the level may be let alone, and gets no other image.
    patch(&story, "old", "", r#"{"metadata":{"labels":{"a":"b"}}}"#)
        .await
        .unwrap();
    patch(&story, "old", "status", r#"{"status":{"phase":"Running"}}"#)
        .await
        .unwrap();
    let image = r#"{"spec":{"containers":[{"name":"c","image":"other"}]}}"#;
    refused("another image", patch(&story, "old", "", image).await, baseline);
    patch(&story, "good", "", image).await.unwrap();
    // Neither a dry run nor a name makes a difference.
    let options = client::WriteOptions {
        dry_run: true,
        ..client::WriteOptions::default()
    };
    let target = Target::collection(&PODS, "default");
    let write = Write::Create(pod("p", "", privileged).into());
    refused(
        "a dry run",
        story.client.transport().write(target, write, options).await,
        baseline,
    );
    let process = r#""hostNetwork":true,"securityContext":{"windowsOptions":{"hostProcess":true},"runAsNonRoot":true},"#;
    let windows = r#"baseline:latest": host namespaces (hostNetwork=true), hostProcess (pod must not set"#;
    refused(
        "a process of the host",
        story.create(&PODS, &pod("p", process, "")).await,
        windows,
    );
    // A template is not refused; its pods are.
    let template = pod("", "", privileged).replace(r#""name":"""#, r#""labels":{"a":"b"}"#);
    let deployment = format!(
        r#"{{"metadata":{{"name":"d"}},"spec":{{"selector":{{"matchLabels":{{"a":"b"}}}},"template":{template}}}}}"#
    );
    story.create(&DEPLOYMENTS, &deployment).await.unwrap();
}

/// Profiles were annotations once: a release of then looks at them.
#[tokio::test(start_paused = true)]
async fn annotations_of_old_releases_are_looked_at_when_they_change() {
    let story = Story::new().await;
    story.create(&PODS, &pod("p", "", "")).await.unwrap();
    label(
        &story,
        r#""pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/enforce-version":"v1.18""#,
    )
    .await;
    for key in [
        "seccomp.security.alpha.kubernetes.io/pod",
        "container.seccomp.security.alpha.kubernetes.io/c",
    ] {
        let annotate = format!(r#"{{"metadata":{{"annotations":{{"{key}":"unconfined"}}}}}}"#);
        let changed = patch(&story, "p", "", &annotate).await;
        refused(
            key,
            changed,
            r#"baseline:v1.18": seccompProfile (forbidden annotation"#,
        );
    }
}
