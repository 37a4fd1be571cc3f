//! Several ways at once, and what is between them.

use super::{super::TokenFile, bearer, outside, review, server, told};
use crate::security::{
    Bound, TokenAsk,
    authentication::anonymous::{Anonymous, Condition},
    stories::{ISSUER, key},
};
use api::{Gvr, Key as Name};
use base64::{Engine, engine::general_purpose::STANDARD};
use component::{
    Env,
    jwt::{Key, LEGACY_ISSUER, LegacyClaims},
};
use std::time::Duration;

const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
const ACCOUNT: &str = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot"}}"#;

#[tokio::test]
async fn anonymous_requests_are_limited_to_paths() {
    let env = outside();
    let open = Anonymous {
        enabled: true,
        conditions: vec![Condition {
            path: "/livez".to_owned(),
        }],
    };
    let closed = Anonymous {
        enabled: false,
        conditions: Vec::new(),
    };
    for (anonymous, wanted) in [
        (Anonymous::default(), "anonymous"),
        (open.clone(), "401"),
        (closed, "401"),
    ] {
        let guarded = server(&env, |settings| settings.authentication.anonymous = anonymous).await;
        assert_eq!(told(&guarded, &[], &[]).await, wanted);
    }
    assert!(open.user("/livez").is_some() && open.user("/livez/ping").is_none() && open.user("/").is_none());
}

#[tokio::test]
async fn several_keys_and_issuers_are_taken() {
    let env = outside();
    let old = Key::from_pem(&key()).unwrap();
    let public = old.public().clone();
    let tokens = TokenFile::parse("tokens", "secret,ann,1\n").unwrap();
    let guarded = server(&env, |settings| {
        settings.issuers.push("https://old.example".to_owned());
        settings.authentication.keys = vec![public];
        settings.authentication.token_file = Some(tokens.into());
    })
    .await;
    let account = guarded.create(&SERVICE_ACCOUNTS, "default", ACCOUNT).await;
    let ask = TokenAsk {
        namespace: "default".to_owned(),
        service_account: "robot".to_owned(),
        uid: account.uid().to_owned(),
        seconds: 600,
        ..TokenAsk::default()
    };
    let issuer = guarded.security.issuer.clone().unwrap();
    let robot = "system:serviceaccount:default:robot";
    let made = issuer.issue(&ask).unwrap();
    assert_eq!(made.audiences, [ISSUER, "https://old.example"]);
    assert_eq!(bearer(&guarded, &made.token).await, robot);
    assert_eq!(bearer(&guarded, "secret").await, "ann");
    let now = env.clock.wall().as_second();
    let claims = serde_json::json!({
        "iss": "https://old.example", "aud": [ISSUER], "exp": now + 60, "sub": robot,
        "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "robot", "uid": account.uid()}},
    });
    assert_eq!(bearer(&guarded, &old.sign(&claims).unwrap()).await, robot);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_pods_live_longer_than_they_say() {
    let env = Env::simulated(5);
    let guarded = server(&env, |settings| {
        settings.authentication.extend = true;
        settings.authentication.longest = Some(Duration::from_secs(7200));
    })
    .await;
    let account = guarded.create(&SERVICE_ACCOUNTS, "default", ACCOUNT).await;
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},
        "spec":{"serviceAccountName":"robot","containers":[{"name":"c","image":"i"}]}}"#;
    let pod = guarded.create(&Gvr::new("", "v1", "pods"), "default", pod).await;
    let issuer = guarded.security.issuer.clone().unwrap();
    assert_eq!(issuer.longest(), Some(7200));
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
    let extended = issuer.issue(&ask).unwrap();
    assert_eq!(extended.expires.as_second() - env.clock.wall().as_second(), 3607);
    let vault = issuer
        .issue(&TokenAsk {
            audiences: vec![ISSUER.to_owned(), "vault".to_owned()],
            ..ask.clone()
        })
        .unwrap();
    let short = issuer.issue(&TokenAsk { seconds: 3600, ..ask }).unwrap();
    env.clock.sleep(Duration::from_secs(4000)).await;
    assert_eq!(
        bearer(&guarded, &extended.token).await,
        "system:serviceaccount:default:robot"
    );
    assert_eq!(
        [
            bearer(&guarded, &vault.token).await,
            bearer(&guarded, &short.token).await
        ],
        ["401", "401"]
    );
    let mut metrics = String::new();
    env.metrics.write(&mut metrics);
    assert!(
        metrics.contains("serviceaccount_stale_tokens_total 1"),
        "{metrics}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_use_of_a_token_in_a_secret_is_noted() {
    let guarded = server(&Env::simulated(5), |_| {}).await;
    let account = guarded.create(&SERVICE_ACCOUNTS, "default", ACCOUNT).await;
    let token = Key::from_pem(&guarded.key)
        .unwrap()
        .sign(&LegacyClaims {
            iss: LEGACY_ISSUER.to_owned(),
            namespace: "default".to_owned(),
            secret: "s".to_owned(),
            account: "robot".to_owned(),
            account_uid: account.uid().to_owned(),
            sub: "system:serviceaccount:default:robot".to_owned(),
        })
        .unwrap();
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"s","annotations":{{"kubernetes.io/service-account.name":"robot"}}}},"type":"kubernetes.io/service-account-token","data":{{"token":"{}"}}}}"#,
        STANDARD.encode(&token)
    );
    guarded.create(&SECRETS, "default", &body).await;
    assert_eq!(
        bearer(&guarded, &token).await,
        "system:serviceaccount:default:robot"
    );
    let client = guarded.admin();
    let name = Name::new("default", "s");
    let noted = async {
        loop {
            let secret = client.get(&SECRETS, &name).await.unwrap();
            if let Some(day) = secret.label("kubernetes.io/legacy-token-last-used") {
                return day.to_owned();
            }
            guarded.env.clock.sleep(Duration::from_millis(10)).await;
        }
    };
    let noted = guarded.env.clock.timeout(Duration::from_secs(30), noted).await;
    assert_eq!(noted.expect("the label is written"), "2030-01-01");
    let tracking = Name::new(
        "kube-system",
        "kube-apiserver-legacy-service-account-token-tracking",
    );
    let maps = Gvr::new("", "v1", "configmaps");
    let map = client.get(&maps, &tracking).await.unwrap();
    assert!(String::from_utf8_lossy(&map.to_json()).contains(r#""since":"2030-01-01""#));
    let invalid = r#"{"metadata":{"labels":{"kubernetes.io/legacy-token-invalid-since":"2030-01-01"}}}"#;
    crate::security::stories::merge(&client, &SECRETS, &name, "", invalid)
        .await
        .unwrap();
    assert_eq!(bearer(&guarded, &token).await, "401");
    assert!(
        review(&guarded, &token)
            .await
            .contains("has been marked invalid. Use tokens from the TokenRequest API")
    );
}
