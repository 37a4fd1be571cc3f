//! Tokens that were made.

use super::{super::Audit, Mode, Settings, log, policy};
use crate::{
    http::stories::Http,
    security::{
        self, Bound, Security, TokenAsk,
        stories::{Guarded, ISSUER, guarded_with, key, settings},
    },
};
use api::{Gvr, Key};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64},
};
use client::{Target, Write};
use component::{
    Env,
    jwt::{self, LEGACY_ISSUER, LegacyClaims},
};
use serde_json::{Value as Json, json};
use std::{path::Path, time::Duration};

const SELF_REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");

/// A guarded server that tells what `rules` say to a file in `dir`.
async fn telling(dir: &Path, rules: &str, settings: security::Settings) -> Guarded {
    let file = dir.join("policy.yaml");
    std::fs::write(&file, policy(rules)).unwrap();
    let audit = Settings {
        policy_file: Some(file),
        log: Some(log(&dir.join("audit.log"), Mode::Blocking)),
        webhook: None,
    };
    let audit = Audit::open(&audit, &settings.env).unwrap();
    guarded_with(settings, |config| {
        let make = std::mem::replace(&mut config.security, Box::new(|_| Err(String::new())));
        config.security = Box::new(move |reader| {
            Ok(Security {
                audit,
                ..make(reader)?
            })
        });
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn which_token_was_made_is_told() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::simulated(11));
    let path = dir.path().join("audit.log");
    let rules = "- {level: Metadata, omitStages: [RequestReceived], resources: [{group: '', resources: [serviceaccounts/token]}]}\n";
    let guarded = telling(dir.path(), rules, settings(&env, &key())).await;
    let account = r#"{"metadata":{"name":"robot"}}"#;
    guarded.create(&ACCOUNTS, "default", account).await;
    let target = Target::object(&ACCOUNTS, &Key::new("default", "robot")).sub("token");
    let body = format!(r#"{{"spec":{{"audiences":["{ISSUER}"]}}}}"#);
    let made = guarded
        .admin()
        .write(target, Write::Create(body.into()))
        .await
        .unwrap();
    let made: Json = serde_json::from_slice(made.body()).unwrap();
    let token = made["status"]["token"].as_str().unwrap();
    let claims = BASE64.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Json = serde_json::from_slice(&claims).unwrap();
    let told = std::fs::read_to_string(&path).unwrap();
    let event: Json = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    let id = format!("JTI={}", claims["jti"].as_str().unwrap());
    let annotations = &event["annotations"];
    assert_eq!(
        annotations["authentication.kubernetes.io/issued-credential-id"],
        id
    );
    assert_eq!(annotations["authorization.k8s.io/decision"], "allow");
    assert!(!told.contains(token), "a secret is told");
    env.tasks.stop();
}

/// What the last event tells of how its user was found out.
fn remarks(dir: &Path) -> Json {
    let text = std::fs::read_to_string(dir.join("audit.log")).unwrap();
    let mut event: Json = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let annotations = event["annotations"].as_object_mut().unwrap();
    annotations.retain(|key, _| key.starts_with("authentication.k8s.io/"));
    event["annotations"].take()
}

/// A token of `robot`, whose UID is `uid`, that lives in the Secret `name`.
async fn token_of_secret(guarded: &Guarded, name: &str, uid: &str) -> String {
    token_labelled(guarded, name, uid, json!({})).await
}

/// The same, of a Secret with labels.
async fn token_labelled(guarded: &Guarded, name: &str, uid: &str, labels: Json) -> String {
    let claims = LegacyClaims {
        iss: LEGACY_ISSUER.to_owned(),
        namespace: "default".to_owned(),
        secret: name.to_owned(),
        account: "robot".to_owned(),
        account_uid: uid.to_owned(),
        sub: "system:serviceaccount:default:robot".to_owned(),
    };
    let token = jwt::Key::from_pem(&guarded.key).unwrap().sign(&claims).unwrap();
    let secret = json!({
        "metadata": {"name": name, "labels": labels, "annotations": {"kubernetes.io/service-account.name": "robot"}},
        "type": "kubernetes.io/service-account-token", "data": {"token": STANDARD.encode(&token)},
    });
    let secrets = Gvr::new("", "v1", "secrets");
    guarded.create(&secrets, "default", &secret.to_string()).await;
    token
}

#[tokio::test(start_paused = true)]
async fn that_a_token_is_old_is_told() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::simulated(12));
    let rules = "- {level: Metadata, resources: [{group: authentication.k8s.io}]}\n";
    let mut settings = settings(&env, &key());
    settings.authentication.extend = true;
    let guarded = telling(dir.path(), rules, settings).await;
    let account = r#"{"metadata":{"name":"robot"},"secrets":[{"name":"made"}]}"#;
    let account = guarded.create(&ACCOUNTS, "default", account).await;
    let pod = r#"{"metadata":{"name":"p"},"spec":{"serviceAccountName":"robot","containers":[{"name":"c","image":"i"}]}}"#;
    let pod = guarded.create(&Gvr::new("", "v1", "pods"), "default", pod).await;
    let ask = TokenAsk {
        namespace: "default".to_owned(),
        service_account: "robot".to_owned(),
        uid: account.uid().to_owned(),
        seconds: 3607,
        bound: Some(Bound {
            kind: "Pod".to_owned(),
            name: "p".to_owned(),
            uid: pod.uid().to_owned(),
        }),
        ..TokenAsk::default()
    };
    let stale = guarded
        .security
        .issuer
        .clone()
        .unwrap()
        .issue(&ask)
        .unwrap()
        .token;
    let robot = "system:serviceaccount:default:robot";
    let legacy = |kind: &str, name: &str| json!({"authentication.k8s.io/legacy-token": robot, format!("authentication.k8s.io/legacy-token-{kind}-secret"): name});
    let by_hand = token_of_secret(&guarded, "by-hand", account.uid()).await;
    let by_itself = token_of_secret(&guarded, "made", account.uid()).await;
    let mut http = Http::new(&guarded.server).await;
    let fresh = format!("Bearer {stale}");
    http.ask("POST", SELF_REVIEWS, &[("authorization", &fresh)], "{}")
        .await;
    assert_eq!(remarks(dir.path()), json!({}));
    env.clock.sleep(Duration::from_secs(3617)).await;
    let late = format!("subject: {robot}, seconds after warning threshold: 10");
    for (token, told) in [
        (&stale, json!({"authentication.k8s.io/stale-token": late})),
        (&by_hand, legacy("manual", "by-hand")),
        (&by_itself, legacy("autogenerated", "made")),
    ] {
        let bearer = format!("Bearer {token}");
        let answer = http
            .ask("POST", SELF_REVIEWS, &[("authorization", &bearer)], "{}")
            .await;
        assert_eq!(answer.code, 201, "{}", answer.text);
        assert_eq!(remarks(dir.path()), told);
        // Of a token that somebody asks about it is told as well.
        let target = Target::collection(&Gvr::new("authentication.k8s.io", "v1", "tokenreviews"), "");
        let body = json!({"spec": {"token": token}}).to_string();
        guarded
            .admin()
            .write(target, Write::Create(body.into()))
            .await
            .unwrap();
        assert_eq!(remarks(dir.path()), told);
    }
    env.tasks.stop();
}

const WARNING: &str = r#"299 - "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based tokens.""#;

#[tokio::test(start_paused = true)]
async fn who_uses_a_token_that_was_made_by_itself_is_warned_and_one_that_is_marked_is_told() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::simulated(13));
    let rules = "- {level: Metadata, resources: [{group: authentication.k8s.io}]}\n";
    let guarded = telling(dir.path(), rules, settings(&env, &key())).await;
    let account = r#"{"metadata":{"name":"robot"},"secrets":[{"name":"made"},{"name":"marked"}]}"#;
    let account = guarded.create(&ACCOUNTS, "default", account).await;
    let by_hand = token_of_secret(&guarded, "by-hand", account.uid()).await;
    let made = token_of_secret(&guarded, "made", account.uid()).await;
    let marks = json!({"kubernetes.io/legacy-token-invalid-since": "2026-01-01"});
    let marked = token_labelled(&guarded, "marked", account.uid(), marks).await;
    let admin = guarded.client("admin", &["system:masters"]);
    let mut http = Http::new(&guarded.server).await;
    let told = json!({"authentication.k8s.io/legacy-token-invalidated": "marked/default"});
    for (token, code, warned) in [(&by_hand, 201, false), (&made, 201, true), (&marked, 401, false)] {
        let bearer = format!("Bearer {token}");
        let answer = http
            .ask("POST", SELF_REVIEWS, &[("authorization", &bearer)], "{}")
            .await;
        assert_eq!(answer.code, code, "{}", answer.text);
        let warnings: Vec<_> = answer.headers.get_all("warning").iter().collect();
        assert_eq!(warnings, if warned { vec![WARNING] } else { vec![] });
        if code == 401 {
            assert_eq!(remarks(dir.path()), told);
        }
        let target = Target::collection(&Gvr::new("authentication.k8s.io", "v1", "tokenreviews"), "");
        let body = json!({"spec": {"token": token}}).to_string();
        let reviewed = admin.write(target, Write::Create(body.into())).await.unwrap();
        let reviewed: Json = serde_json::from_slice(reviewed.body()).unwrap();
        if code == 401 {
            let error = reviewed["status"]["error"].as_str().unwrap();
            assert!(error.contains("has been marked invalid"), "{error}");
            assert_eq!(remarks(dir.path()), told);
        }
    }
    env.tasks.stop();
}
