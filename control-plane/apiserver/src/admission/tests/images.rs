//! ImagePolicyWebhook and the server that it asks.
#![expect(clippy::disallowed_types, reason = "reviews are looked into")]

use super::{PODS, pod, with};
use bytes::Bytes;
use component::Env;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use std::{
    convert::Infallible,
    future::pending,
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;

type Asked = Arc<Mutex<Vec<Json>>>;

/// What is answered, by the first image that is asked about.
fn answer(image: &str) -> (u16, String) {
    let status = |status: Json| {
        let body =
            json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview", "status": status});
        (200, body.to_string())
    };
    match image {
        "good" => status(json!({"allowed": true, "auditAnnotations": {"who": "me"}})),
        "bad" => status(json!({"allowed": false, "reason": "not signed"})),
        "silent" => status(json!({})),
        "garbage" => (200, "<html>".to_owned()),
        "another" => (200, json!({"kind": "Pod", "spec": {"allowed": true}}).to_string()),
        "words" => status(json!({"allowed": "true"})),
        "large" => (
            200,
            format!(
                "{{\"status\":{{\"allowed\":true}},\"x\":\"{}\"}}",
                "x".repeat(5 << 20)
            ),
        ),
        "broken" => (500, "out of order".to_owned()),
        "elsewhere" => (302, String::new()),
        other => (418, other.to_owned()),
    }
}

/// A server that judges images, and a kubeconfig that names it.
async fn judge(env: &Env, folder: &Path) -> Asked {
    let asked: Asked = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: \"http://{}/images\"}}}}]\nusers: [{{name: u, user: {{}}}}]\n",
        listener.local_addr().unwrap()
    );
    std::fs::write(folder.join("kubeconfig"), kubeconfig).unwrap();
    let (kept, tasks) = (asked.clone(), env.tasks.clone());
    env.tasks.spawn("judge", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = kept.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let kept = kept.clone();
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let review: Json = serde_json::from_slice(&body).unwrap();
                    let image = review["spec"]["containers"][0]["image"]
                        .as_str()
                        .unwrap()
                        .to_owned();
                    kept.lock().unwrap().push(review);
                    if image == "hang" {
                        pending::<()>().await;
                    }
                    let (code, text) = answer(&image);
                    let response = Response::builder().status(code).header("location", "/elsewhere");
                    Ok::<_, Infallible>(response.body(Full::new(Bytes::from(text))).unwrap())
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tasks.spawn("judge-connection", async move {
                let _ = connection.await;
            });
        }
    });
    asked
}

fn configuration(folder: &Path, open: bool) -> String {
    format!(
        "- name: ImagePolicyWebhook\n  configuration: {{imagePolicy: {{kubeConfigFile: {}, allowTTL: 50, denyTTL: 50, \
         retryBackoff: 1, defaultAllow: {open}}}}}\n",
        folder.join("kubeconfig").display()
    )
}

fn of(image: &str) -> String {
    pod("p", "").replace(r#""image":"i""#, &format!(r#""image":"{image}""#))
}

#[tokio::test(start_paused = true)]
async fn images_run_if_somebody_says_so() {
    let (env, folder) = (Env::simulated(5), tempfile::tempdir().unwrap());
    let asked = judge(&env, folder.path()).await;
    let story = with(&["ImagePolicyWebhook"], &configuration(folder.path(), false)).await;
    let annotated = of("good").replace(
        r#"{"name":"p"}"#,
        r#"{"name":"p","annotations":{"x.image-policy.k8s.io/break-glass":"yes","other":"no"}}"#,
    );
    story.create(&PODS, &annotated).await.unwrap();
    assert_eq!(
        asked.lock().unwrap()[0],
        json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview", "spec": {
            "containers": [{"image": "good"}], "annotations": {"x.image-policy.k8s.io/break-glass": "yes"},
            "namespace": "default"}})
    );
    for (image, why) in [
        (
            "bad",
            "image policy webhook backend denied one or more images: not signed",
        ),
        ("silent", "one or more images rejected by webhook backend"),
        ("garbage", ""),
        ("another", ""),
        ("words", ""),
        ("large", ""),
        ("broken", "out of order"),
        ("elsewhere", ""),
        ("unheard-of", ""),
        ("hang", ""),
    ] {
        let status = story.create(&PODS, &of(image)).await.expect_err(image);
        let forbidden = status.message.starts_with("pods \"p\" is forbidden: ");
        assert!(
            status.code == 403 && forbidden && status.message.contains(why),
            "{image}: {} {}",
            status.code,
            status.message
        );
    }
    // What was answered is remembered.
    let before = asked.lock().unwrap().len();
    story.create(&PODS, &of("bad")).await.unwrap_err();
    assert_eq!(asked.lock().unwrap().len(), before);
}

#[tokio::test(start_paused = true)]
async fn images_run_while_nobody_can_be_asked_if_that_is_the_default() {
    let (env, folder) = (Env::simulated(5), tempfile::tempdir().unwrap());
    let _asked = judge(&env, folder.path()).await;
    let story = with(&["ImagePolicyWebhook"], &configuration(folder.path(), true)).await;
    for image in ["garbage", "broken", "hang", "large"] {
        let text = of(image).replace(r#""name":"p""#, &format!(r#""name":"{image}""#));
        story.create(&PODS, &text).await.expect(image);
    }
    // Who answers no is heard.
    assert_eq!(story.create(&PODS, &of("bad")).await.unwrap_err().code, 403);
}
