//! What webhooks answer.

use super::Told;
use crate::{
    admission::webhook::stories::{MAPS, Story, map, patch},
    security::stories::log::Log,
};
use serde_json::{Value as Json, json};

/// What a webhook answers.
enum Say {
    /// This code and this body; `UID` and `VERSION` stand for those of the question.
    Raw(u16, &'static str),
    /// Yes, with this JSON patch.
    Patch(&'static str),
}

use Say::{Patch, Raw};

const INVALID: &str = "received invalid webhook response: ";

/// Answers to the creation of a ConfigMap with `data: {a: b}`.
const CREATES: &[(Say, u16, &str)] = &[
    (
        Raw(400, "{}"),
        500,
        "failed to call webhook: the server rejected our request for an unknown reason",
    ),
    (
        Raw(401, ""),
        500,
        "the server has asked for the client to provide credentials",
    ),
    (Raw(403, "go away"), 500, "failed to call webhook: go away"),
    (
        Raw(405, ""),
        500,
        "the server does not allow this method on the requested resource",
    ),
    (Raw(409, ""), 500, "the server reported a conflict"),
    (Raw(413, ""), 500, "Request entity too large: limit is 3145728"),
    (
        Raw(422, ""),
        500,
        "the server rejected our request due to an error in our request",
    ),
    (
        Raw(429, ""),
        500,
        "the server has received too many requests and has asked us to try again later",
    ),
    (
        Raw(501, ""),
        500,
        "an error on the server (\"unknown\") has prevented the request from succeeding",
    ),
    (
        Raw(503, ""),
        500,
        "the server is currently unable to handle the request",
    ),
    (
        Raw(504, ""),
        500,
        "the server was unable to return a response in the time allotted",
    ),
    (
        Raw(301, ""),
        500,
        "the server responded with the status code 301 but did not return more information",
    ),
    (
        Raw(307, ""),
        500,
        "the server responded with the status code 307 but did not return more information",
    ),
    (
        Raw(308, ""),
        500,
        "the server responded with the status code 308 but did not return more information",
    ),
    (Raw(204, ""), 500, INVALID),
    (Raw(200, "null"), 500, INVALID),
    (Raw(200, "[]"), 500, INVALID),
    (Raw(200, "\"yes\""), 500, INVALID),
    (Raw(200, "{}"), 500, INVALID),
    (
        Raw(200, "apiVersion: admission.k8s.io/v1\nkind: AdmissionReview"),
        500,
        INVALID,
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReview","response":[]}"#,
        ),
        500,
        INVALID,
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReview","response":{"uid":"UID"}}"#,
        ),
        400,
        "denied the request without explanation",
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReview","response":{"uid":"UID","allowed":"true"}}"#,
        ),
        500,
        INVALID,
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReview","response":{"uid":"UID","allowed":1}}"#,
        ),
        500,
        INVALID,
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReview","response":{"uid":7,"allowed":true}}"#,
        ),
        500,
        INVALID,
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReview","response":{"allowed":true}}"#,
        ),
        500,
        "expected response.uid=",
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReview","response":{"uid":"","allowed":true}}"#,
        ),
        500,
        "expected response.uid=",
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","response":{"uid":"UID","allowed":true}}"#,
        ),
        500,
        "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v1beta1, Kind=AdmissionReview",
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"admission.k8s.io/v2","kind":"AdmissionReview","response":{"uid":"UID","allowed":true}}"#,
        ),
        500,
        INVALID,
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReviewList","response":{"uid":"UID","allowed":true}}"#,
        ),
        500,
        INVALID,
    ),
    (
        Raw(
            200,
            r#"{"kind":"AdmissionReview","response":{"uid":"UID","allowed":true}}"#,
        ),
        500,
        INVALID,
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReview","response":{"uid":"UID","allowed":true,"patchType":"","patch":"W10="}}"#,
        ),
        500,
        "webhook returned invalid response.patchType of \"\"",
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReview","response":{"uid":"UID","allowed":true,"patchType":"JSONMergePatch","patch":"W3t9XQ=="}}"#,
        ),
        500,
        "unsupported patch type \"JSONMergePatch\"",
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReview","response":{"uid":"UID","allowed":true,"patchType":"JSONPatch","patch":[1]}}"#,
        ),
        500,
        INVALID,
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReview","response":{"uid":"UID","allowed":false,"status":{"code":200,"message":"fine"}}}"#,
        ),
        400,
        "denied the request: fine",
    ),
    (
        Raw(
            200,
            r#"{"apiVersion":"VERSION","kind":"AdmissionReview","response":{"uid":"UID","allowed":false,"patchType":"JSONPatch","patch":"W3t9XQ=="}}"#,
        ),
        400,
        "denied the request without explanation",
    ),
    // Patches that are none.
    (Patch("null"), 500, ""),
    (Patch("7"), 500, "received undecodable patch in webhook response"),
    (Patch("[1]"), 500, ""),
    (Patch("[{}]"), 500, ""),
    (
        Patch(r#"[{"op":"frobnicate","path":"/data/x","value":1}]"#),
        500,
        "",
    ),
    (Patch(r#"[{"op":"add","value":"x"}]"#), 500, ""),
    (Patch(r#"[{"op":"add","path":"data/x","value":"x"}]"#), 500, ""),
    (
        Patch(r#"[{"op":"add","path":"/nowhere/deep/x","value":"x"}]"#),
        500,
        "",
    ),
    (Patch(r#"[{"op":"remove","path":"/data/none"}]"#), 500, ""),
    (
        Patch(r#"[{"op":"replace","path":"/data/none","value":"x"}]"#),
        500,
        "",
    ),
    (
        Patch(r#"[{"op":"move","from":"/data/none","path":"/data/x"}]"#),
        500,
        "",
    ),
    (
        Patch(r#"[{"op":"copy","from":"/data/none","path":"/data/x"}]"#),
        500,
        "",
    ),
    (
        Patch(r#"[{"op":"test","path":"/data/a","value":"other"}]"#),
        500,
        "",
    ),
    (
        Patch(
            r#"[{"op":"add","path":"/metadata/finalizers","value":["a/b"]},{"op":"add","path":"/metadata/finalizers/7","value":"a/c"}]"#,
        ),
        500,
        "",
    ),
    // Objects that are none, or another.
    (
        Patch(r#"[{"op":"replace","path":"","value":null}]"#),
        500,
        "replace operation value must be object or array",
    ),
    (
        Patch(r#"[{"op":"add","path":"","value":{}}]"#),
        500,
        "add operation does not apply: doc is missing path: \"\"",
    ),
    (
        Patch(r#"[{"op":"remove","path":""}]"#),
        500,
        "remove operation does not apply: doc is missing path: \"\"",
    ),
    (Patch(r#"[{"op":"replace","path":"","value":[]}]"#), 500, ""),
    (
        Patch(r#"[{"op":"replace","path":"","value":{}}]"#),
        422,
        "name or generateName is required",
    ),
    (Patch(r#"[{"op":"replace","path":"/data","value":7}]"#), 500, ""),
    (Patch(r#"[{"op":"replace","path":"/data/a","value":7}]"#), 500, ""),
    (
        Patch(r#"[{"op":"replace","path":"/metadata","value":"x"}]"#),
        500,
        "",
    ),
    (
        Patch(r#"[{"op":"replace","path":"/metadata/name","value":"../../secrets"}]"#),
        422,
        "metadata.name: Invalid value",
    ),
    (
        Patch(r#"[{"op":"replace","path":"/metadata/name","value":""}]"#),
        422,
        "name or generateName is required",
    ),
    (
        Patch(r#"[{"op":"replace","path":"/metadata/namespace","value":"kube-system"}]"#),
        400,
        "does not match the namespace",
    ),
    (
        Patch(r#"[{"op":"add","path":"/metadata/labels","value":{"not a label!":"x"}}]"#),
        422,
        "metadata.labels: Invalid value",
    ),
    (
        Patch(r#"[{"op":"add","path":"/metadata/ownerReferences","value":[{"kind":"X"}]}]"#),
        422,
        "metadata.ownerReferences",
    ),
    (
        Patch(r#"[{"op":"replace","path":"/kind","value":"Secret"}]"#),
        500,
        "",
    ),
    (
        Patch(r#"[{"op":"replace","path":"/apiVersion","value":"apps/v1"}]"#),
        500,
        "",
    ),
    (
        Patch(r#"[{"op":"add","path":"/data/bad key","value":"x"}]"#),
        422,
        "data[bad key]: Invalid value",
    ),
];

/// Patches of the update of a ConfigMap: they may not make another object of it.
const UPDATES: &[(&str, u16, &str)] = &[
    (
        r#"[{"op":"add","path":"/metadata/uid","value":"another"}]"#,
        422,
        "ConfigMap \"held\" is invalid: metadata.uid: Invalid value: \"another\": field is immutable",
    ),
    (
        r#"[{"op":"replace","path":"/metadata/name","value":"other"}]"#,
        422,
        "ConfigMap \"other\" is invalid: metadata.name: Invalid value: \"other\": field is immutable",
    ),
    (
        r#"[{"op":"replace","path":"/metadata/namespace","value":"other"}]"#,
        400,
        "the namespace of the provided object does not match the namespace sent on the request",
    ),
    (
        r#"[{"op":"replace","path":"","value":{}}]"#,
        422,
        "ConfigMap \"\" is invalid: [metadata.name: Invalid value: \"\": field is immutable, metadata.name: Required value: \
         name or generateName is required]",
    ),
    (
        r#"[{"op":"remove","path":"/metadata"}]"#,
        422,
        "metadata.name: Required value: name or generateName is required",
    ),
    (
        r#"[{"op":"replace","path":"","value":null}]"#,
        500,
        "replace operation value must be object or array",
    ),
    (r#"[{"op":"replace","path":"/kind","value":"Secret"}]"#, 500, ""),
    (
        r#"[{"op":"replace","path":"/apiVersion","value":"apps/v1"}]"#,
        500,
        "",
    ),
];

/// What stays as the server has it, whatever a webhook wants: a patch, and what may not be in the answer.
const KEPT: &[(&str, &str)] = &[
    (r#"[{"op":"add","path":"/metadata/uid","value":"mine"}]"#, "mine"),
    (
        r#"[{"op":"add","path":"/metadata/creationTimestamp","value":"1999-01-01T00:00:00Z"}]"#,
        "1999",
    ),
    (
        r#"[{"op":"add","path":"/metadata/deletionTimestamp","value":"1999-01-01T00:00:00Z"}]"#,
        "1999",
    ),
    (
        r#"[{"op":"add","path":"/metadata/resourceVersion","value":"7777777"}]"#,
        "7777777",
    ),
    (
        r#"[{"op":"add","path":"/metadata/generation","value":4242424242}]"#,
        "4242424242",
    ),
    (
        r#"[{"op":"add","path":"/metadata/selfLink","value":"/mine"}]"#,
        "/mine",
    ),
    (
        r#"[{"op":"add","path":"/status","value":{"phase":"Running"}}]"#,
        "Running",
    ),
    (r#"[{"op":"add","path":"/nonsense","value":"mine"}]"#, "mine"),
];

fn path(number: usize) -> String {
    format!("/bad-{number}")
}

/// What the webhook at one of this table's paths answers.
pub fn answer(at: &str, review: &Json) -> Option<(u16, String)> {
    if at == "/oversize" {
        // Nobody has so much to say.
        return Some((200, " ".repeat((64 << 20) + 1)));
    }
    if let Some(bomb) = bomb(at) {
        return Some(patch(review, &bomb));
    }
    if let Some(number) = at.strip_prefix("/update-") {
        return Some(patch(review, UPDATES.get(number.parse::<usize>().ok()?)?.0));
    }
    if let Some(number) = at.strip_prefix("/kept-") {
        return Some(patch(review, KEPT.get(number.parse::<usize>().ok()?)?.0));
    }
    let number: usize = at.strip_prefix("/bad-")?.parse().ok()?;
    Some(match &CREATES.get(number)?.0 {
        Raw(code, text) => {
            let text = text.replace("UID", review["request"]["uid"].as_str()?);
            (*code, text.replace("VERSION", review["apiVersion"].as_str()?))
        }
        Patch(text) => patch(review, text),
    })
}

/// Patches that are made to cost.
fn bomb(at: &str) -> Option<String> {
    Some(match at {
        // Each copy doubles what is there.
        "/doubling" => {
            let copy = |at| json!({"op": "copy", "from": "/data", "path": format!("/data/x{at}")});
            Json::Array((0..64).map(copy).collect()).to_string()
        }
        "/deep" => format!(
            r#"[{{"op":"add","path":"/data/x","value":{}{}}}]"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        ),
        "/many" => Json::Array(vec![
            json!({"op": "test", "path": "/data/a", "value": "b"});
            20_000
        ])
        .to_string(),
        "/large" => json!([{"op": "add", "path": "/data/x", "value": "x".repeat(4 << 20)}]).to_string(),
        _ => return None,
    })
}

async fn there(story: &mut Story, name: &str) -> bool {
    story.send("GET", &format!("{MAPS}/{name}"), &Json::Null).await.0 == 200
}

pub(super) async fn tell(told: &mut Told) {
    let mut story = Story::new().await;
    let log = Log::keep();
    for (number, (_, code, words)) in CREATES.iter().enumerate() {
        let path = path(number);
        story.configure("mutating", "one", &[(&path, json!({}))]).await;
        log.said();
        let (got, body, _) = story.map("x").await;
        told.case(
            &path,
            (*code, words),
            (got, body["message"].as_str().unwrap_or_default()),
        );
        if *code == 500 {
            let (said, name) = (log.said(), path.trim_start_matches('/'));
            let named = said.contains(&format!(r#"webhook="{name}.example.com""#));
            told.holds(&format!("{path}: the log does not name it: {said}"), named);
        }
        told.holds(&format!("{path}: it is written"), !there(&mut story, "x").await);
        story.clear().await;
    }
    for (path, words) in [
        ("/doubling", "exceeding the limit"),
        ("/deep", ""),
        ("/many", ""),
        ("/large", ""),
        ("/oversize", "failed to call webhook"),
    ] {
        story.configure("mutating", "one", &[(path, json!({}))]).await;
        let (got, body, _) = story.map("x").await;
        let refused = if got >= 400 { 500 } else { got };
        told.case(
            path,
            (500, words),
            (refused, body["message"].as_str().unwrap_or_default()),
        );
        told.holds(&format!("{path}: it is written"), !there(&mut story, "x").await);
        story.clear().await;
    }
    updates(told, &mut story).await;
    kept(told, &mut story).await;
    let (code, body, _) = story.map("alive").await;
    told.holds(&format!("the server is dead: {body}"), code == 201);
}

async fn updates(told: &mut Told, story: &mut Story) {
    story.map("held").await;
    let url = format!("{MAPS}/held");
    let (_, before, _) = story.send("GET", &url, &Json::Null).await;
    for (number, (patch, code, words)) in UPDATES.iter().enumerate() {
        let path = format!("/update-{number}");
        story.configure("mutating", "one", &[(&path, json!({}))]).await;
        let mut changed = map("held");
        changed["data"]["a"] = number.to_string().into();
        let (got, body, _) = story.send("PUT", &url, &changed).await;
        told.case(
            patch,
            (*code, words),
            (got, body["message"].as_str().unwrap_or_default()),
        );
        let (_, now, _) = story.send("GET", &url, &Json::Null).await;
        told.holds(&format!("{patch}: it is written"), now == before);
        story.clear().await;
    }
}

async fn kept(told: &mut Told, story: &mut Story) {
    for (number, (patch, part)) in KEPT.iter().enumerate() {
        let path = format!("/kept-{number}");
        story.configure("mutating", "one", &[(&path, json!({}))]).await;
        let (code, body, _) = story.map(&format!("kept-{number}")).await;
        let text = body.to_string();
        told.case(patch, (201, ""), (code, &text));
        told.holds(&format!("{patch}: {text}"), !text.contains(part));
        story.clear().await;
    }
}
