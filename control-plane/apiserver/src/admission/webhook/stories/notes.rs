//! What is noted for audit, and that webhooks do not wait for one another.

use super::{GROUP, JSON, MAPS, Story, map};
use crate::{
    audit::{Audit, Format, LogSettings, Mode, Settings},
    fixture,
    security::Security,
};
use api::Gvr;
use client::{Target, Write};
use futures::future::join_all;
use serde_json::{Value as Json, json};
use std::{path::Path, time::Duration};

/// A server that tells what is done to ConfigMaps, at `level`.
async fn telling(folder: &Path, level: &str) -> Story {
    let rule =
        format!("- level: {level}\n  resources: [{{group: '', resources: [configmaps]}}]\n- level: None\n");
    let policy =
        format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n{rule}");
    std::fs::write(folder.join("policy.yaml"), policy).unwrap();
    let settings = Settings {
        policy_file: Some(folder.join("policy.yaml")),
        log: Some(LogSettings {
            path: folder.join("audit.log"),
            format: Format::Json,
            max_age: 0,
            max_backups: 0,
            max_size: 0,
            compress: false,
            mode: Mode::Blocking,
            truncate: None,
        }),
        webhook: None,
    };
    Story::with(|config, env| {
        let audit = Audit::open(&settings, env).unwrap();
        let make = std::mem::replace(&mut config.security, Box::new(|_| unreachable!()));
        config.security = Box::new(move |reader| {
            let security = make(reader)?;
            Ok(Security { audit, ..security })
        });
    })
    .await
}

/// The annotations of the last event by which admission tells something.
fn noted(folder: &Path) -> Json {
    let text = std::fs::read_to_string(folder.join("audit.log")).unwrap();
    let event: Json = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let mut annotations = event["annotations"].clone();
    let own = annotations.as_object_mut().unwrap();
    let of_others = ["authorization.k8s.io/", "apiserver.latency.k8s.io/"];
    own.retain(|key, _| !of_others.iter().any(|other| key.starts_with(other)));
    annotations
}

fn mutation(configuration: &str, webhook: &str, mutated: bool) -> String {
    format!(r#"{{"configuration":"{configuration}","webhook":"{webhook}.example.com","mutated":{mutated}}}"#)
}

#[tokio::test(start_paused = true)]
async fn what_webhooks_did_is_noted_in_upstreams_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut story = telling(folder.path(), "Request").await;
    let open = json!({"failurePolicy": "Ignore"});
    let hooks = [
        ("/mark", json!({})),
        ("/nothing", json!({})),
        ("/500", open.clone()),
        ("/annotate", json!({})),
    ];
    story.configure("mutating", "one", &hooks).await;
    // Only those that are asked are numbered among those that validate.
    let elsewhere = json!({"rules": super::rule("apps", "deployments", &["CREATE"])});
    let hooks = [("/allow", elsewhere), ("/404", open)];
    story.configure("validating", "two", &hooks).await;
    assert_eq!(story.map("a").await.0, 201);
    let patch = r#"{"configuration":"one","webhook":"mark.example.com","patch":[{"op":"add","path":"/data/mark","value":"yes"}],"patchType":"JSONPatch"}"#;
    assert_eq!(
        noted(folder.path()),
        json!({
            "mutation.webhook.admission.k8s.io/round_0_index_0": mutation("one", "mark", true),
            "patch.webhook.admission.k8s.io/round_0_index_0": patch,
            "mutation.webhook.admission.k8s.io/round_0_index_1": mutation("one", "nothing", false),
            "mutation.webhook.admission.k8s.io/round_0_index_2": mutation("one", "500", false),
            "failed-open.mutation.webhook.admission.k8s.io/round_0_index_2": "500.example.com",
            "mutation.webhook.admission.k8s.io/round_0_index_3": mutation("one", "annotate", false),
            "annotate.example.com/who": "me",
            "failed-open.validating.webhook.admission.k8s.io/round_0_index_0": "404.example.com",
        })
    );
    story.clear().await;
    // Who refuses has changed nothing.
    story
        .configure("mutating", "one", &[("/forbid", json!({}))])
        .await;
    assert_eq!(story.map("b").await.0, 403);
    let key = "mutation.webhook.admission.k8s.io/round_0_index_0";
    assert_eq!(
        noted(folder.path()),
        json!({key: mutation("one", "forbid", false)})
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_request_waited_for_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let mut story = telling(folder.path(), "Metadata").await;
    let late = json!({"timeoutSeconds": 2, "failurePolicy": "Ignore"});
    story.configure("validating", "one", &[("/hang", late)]).await;
    assert_eq!(story.map("a").await.0, 201);
    let text = std::fs::read_to_string(folder.path().join("audit.log")).unwrap();
    let event: Json = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    for part in ["validating-webhook", "total"] {
        let told = &event["annotations"][format!("apiserver.latency.k8s.io/{part}")];
        let seconds = told
            .as_str()
            .and_then(|told| told.strip_suffix('s')?.parse::<f64>().ok());
        assert!(seconds.is_some_and(|seconds| seconds >= 2.0), "{part}: {event}");
    }
}

#[tokio::test(start_paused = true)]
async fn patches_are_noted_with_the_content_of_requests_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut story = telling(folder.path(), "Metadata").await;
    story.configure("mutating", "one", &[("/mark", json!({}))]).await;
    assert_eq!(story.map("a").await.0, 201);
    let key = "mutation.webhook.admission.k8s.io/round_0_index_0";
    assert_eq!(noted(folder.path()), json!({key: mutation("one", "mark", true)}));
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_finds_is_noted_in_upstreams_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut story = telling(folder.path(), "Metadata").await;
    let api = "admissionregistration.k8s.io/v1";
    let rules = json!({"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
        "resources": ["configmaps"]}]});
    let policy = json!({"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": {
        "matchConstraints": rules, "validations": [{"expression": "true"}, {"expression": "false", "message": "never"}],
        "auditAnnotations": [{"key": "seen", "valueExpression": "string(object.metadata.name)"}]}});
    let binding = json!({"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "b"},
        "spec": {"policyName": "p", "validationActions": ["Warn", "Audit"]}});
    for (plural, body) in [("policies", policy), ("policybindings", binding)] {
        let (code, text, _) = story
            .send_as(
                "POST",
                &format!("{GROUP}/validatingadmission{plural}"),
                JSON,
                &body,
            )
            .await;
        assert_eq!(code, 201, "{text}");
    }
    assert_eq!(story.send("POST", MAPS, &map("a")).await.0, 201);
    let failure = r#"[{"message":"never","policy":"p","binding":"b","expressionIndex":1,"validationActions":["Warn","Audit"]}]"#;
    assert_eq!(
        noted(folder.path()),
        json!({"p/seen": "a", "validation.policy.admission.k8s.io/validation_failure": failure})
    );
}

/// A hundred at once wait for a webhook that takes a tenth of a second as long as one does.
#[tokio::test(start_paused = true)]
async fn creates_do_not_queue_up_before_a_slow_webhook() {
    let mut story = Story::new().await;
    for sort in ["mutating", "validating"] {
        story.configure(sort, sort, &[("/slow", json!({}))]).await;
    }
    let client = fixture::client(&story.server);
    let maps = Gvr::new("", "v1", "configmaps");
    let create = async |n: usize| {
        let text = map(&format!("m{n}")).to_string();
        let target = Target::collection(&maps, "default");
        client.write(target, Write::Create(text.into())).await
    };
    create(100).await.unwrap();
    let clock = story.hooks.env.clock.clone();
    let before = clock.now();
    let made = join_all((0..100).map(create)).await;
    assert!(made.iter().all(Result::is_ok));
    // The clock is not the machine's: nothing but sleeping takes time.
    let took = clock.now() - before;
    assert!(took < Duration::from_secs(1), "{took:?}");
}
