//! Tokens that were made.

use super::{super::Audit, Mode, Settings, log, policy};
use crate::security::{
    Security,
    stories::{ISSUER, guarded_with, key, settings},
};
use api::{Gvr, Key};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use client::{Target, Write};
use component::Env;
use serde_json::Value as Json;

const ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");

#[tokio::test(start_paused = true)]
async fn which_token_was_made_is_told() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::simulated(11));
    let (file, path) = (dir.path().join("policy.yaml"), dir.path().join("audit.log"));
    let rules = "- {level: Metadata, omitStages: [RequestReceived], resources: [{group: '', resources: [serviceaccounts/token]}]}\n";
    std::fs::write(&file, policy(rules)).unwrap();
    let audit = Settings {
        policy_file: Some(file),
        log: Some(log(&path, Mode::Blocking)),
        webhook: None,
    };
    let audit = Audit::open(&audit, &env).unwrap();
    let guarded = guarded_with(settings(&env, &key()), |config| {
        let make = std::mem::replace(&mut config.security, Box::new(|_| Err(String::new())));
        config.security = Box::new(move |reader| {
            Ok(Security {
                audit,
                ..make(reader)?
            })
        });
    })
    .await;
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
