//! Webhooks that fail: refused or let go by, as their policy says, and told in upstream's words.

use super::{MAPS, Story, map, message};
use serde_json::{Value as Json, json};

const URL: &str = "https://hooks.default.svc:443";

/// Path, code and words with `failurePolicy: Fail`, and whether `Ignore` lets it go by.
fn cases() -> Vec<(&'static str, u16, String, bool)> {
    let called = |path: &str, why: &str| {
        let name = path.trim_start_matches('/');
        format!(r#"Internal error occurred: failed calling webhook "{name}.example.com": {why}"#)
    };
    let invalid = |path: &str, why: &str| called(path, &format!("received invalid webhook response: {why}"));
    vec![
        (
            "/hang",
            500,
            called(
                "/hang",
                &format!(
                    r#"failed to call webhook: Post "{URL}/hang?timeout=3s": context deadline exceeded"#
                ),
            ),
            true,
        ),
        (
            "/500",
            500,
            called(
                "/500",
                r#"failed to call webhook: an error on the server ("out of order") has prevented the request from succeeding"#,
            ),
            true,
        ),
        (
            "/404",
            500,
            called(
                "/404",
                "failed to call webhook: the server could not find the requested resource",
            ),
            true,
        ),
        (
            "/302",
            500,
            called(
                "/302",
                "failed to call webhook: the server responded with the status code 302 but did not return more information",
            ),
            true,
        ),
        (
            "/absent",
            500,
            invalid("/absent", "webhook response was absent"),
            true,
        ),
        (
            "/kind",
            500,
            invalid(
                "/kind",
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /v1, Kind=Pod",
            ),
            true,
        ),
        (
            "/no-type",
            500,
            invalid(
                "/no-type",
                "webhook returned response.patch but not response.patchType",
            ),
            true,
        ),
        (
            "/only-type",
            500,
            invalid(
                "/only-type",
                "webhook returned response.patchType but not response.patch",
            ),
            true,
        ),
        (
            "/merge",
            500,
            called("/merge", r#"unsupported patch type "MergePatch""#),
            true,
        ),
        ("/garbage", 500, String::new(), true),
        ("/empty", 500, String::new(), true),
        ("/uid", 500, String::new(), true),
        ("/base64", 500, String::new(), true),
        ("/no-list", 500, String::new(), true),
        // The webhook answered, and this server cannot do what it wants.
        ("/test", 500, String::new(), false),
        ("/type", 500, String::new(), false),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_fails_is_refused_or_let_go_by() {
    let mut story = Story::new().await;
    for (path, code, words, open) in cases() {
        story.configure("mutating", "one", &[(path, json!({}))]).await;
        let (got, body, _) = story.map("x").await;
        assert_eq!(
            (got, &body["reason"]),
            (code, &json!("InternalError")),
            "{path}: {body}"
        );
        if !words.is_empty() {
            assert_eq!(message(&body), words);
        }
        story.clear().await;
        story
            .configure("mutating", "one", &[(path, json!({"failurePolicy": "Ignore"}))])
            .await;
        let (got, body, _) = story.send("POST", &format!("{MAPS}?dryRun=All"), &map("x")).await;
        assert_eq!(got, if open { 201 } else { 500 }, "{path}: {body}");
        story.clear().await;
    }
    let opened = r#"apiserver_admission_webhook_fail_open_count{name="hang.example.com",type="admit"}"#;
    assert_eq!(story.metric(opened).as_deref(), Some("1"));
    let closed = r#"apiserver_admission_webhook_rejection_count{error_type="calling_webhook_error",name="500.example.com",operation="CREATE",rejection_code="500",type="admit"}"#;
    assert_eq!(story.metric(closed).as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_must_be_who_it_should_be() {
    let mut story = Story::new().await;
    let service = |name: &str| json!({"namespace": "default", "name": name, "path": "/allow"});
    let bundle = story.hook("/allow", &json!({}))["clientConfig"]["caBundle"].clone();
    let cases: [(Json, &str); 3] = [
        // The host's authorities did not sign it.
        (
            json!({"service": service("hooks")}),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        ),
        (
            json!({"service": service("nobody"), "caBundle": bundle}),
            "connect: connection refused",
        ),
        (
            json!({"service": service("hooks"), "caBundle": "bm9uZQ=="}),
            "unable to load root certificates",
        ),
    ];
    for (client, words) in cases {
        story
            .configure(
                "validating",
                "one",
                &[("/allow", json!({"clientConfig": client}))],
            )
            .await;
        let (code, body, _) = story.map("x").await;
        assert_eq!(code, 500, "{body}");
        assert!(message(&body).contains(words), "{body}");
        story.clear().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_validates_may_not_patch() {
    let mut story = Story::new().await;
    story
        .configure("validating", "one", &[("/mark", json!({}))])
        .await;
    let (code, body, _) = story.map("x").await;
    assert_eq!(code, 500);
    assert!(
        message(&body).ends_with("validating webhook may not return response.patch"),
        "{body}"
    );
    story.clear().await;
    // Reviews of v1beta1 are looked at less closely.
    let old = json!({"admissionReviewVersions": ["v1beta1", "v1"]});
    story
        .configure(
            "validating",
            "one",
            &[("/uid", old.clone()), ("/mark", old.clone())],
        )
        .await;
    story.configure("mutating", "one", &[("/no-type", old)]).await;
    let (code, body, _) = story.map("x").await;
    assert_eq!(code, 500, "the patch has no operation: {body}");
    story.clear().await;
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_asks_who_has_no_side_effects() {
    let mut story = Story::new().await;
    story
        .configure(
            "validating",
            "one",
            &[("/allow", json!({"sideEffects": "NoneOnDryRun"}))],
        )
        .await;
    let url = format!("{MAPS}?dryRun=All");
    assert_eq!(story.send("POST", &url, &map("x")).await.0, 201);
    let asked = story.asked();
    assert_eq!(asked[0].1["dryRun"], json!(true));
    assert_eq!(asked[0].1["options"]["dryRun"], json!(["All"]));
}
