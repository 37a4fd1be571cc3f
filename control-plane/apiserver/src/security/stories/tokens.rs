//! Who asks: tokens and certificates.

use super::{Guarded, ISSUER, guarded, guarded_by, guarded_with, key, settings};
use crate::security::{Bound, ServiceAccounts, TokenAsk, Trust, authentication::TokenRules, oidc};
use api::{Gvr, Key, Object};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use client::{DeleteOptions, Target, Write};
use component::pki::{Authority, Purpose};
use component::{Env, gates::Gates, jwt::Key as SigningKey};
use http::{Request, request::Parts};
use rustls::pki_types::CertificateDer;
use std::time::Duration;

const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const PODS: Gvr = Gvr::new("", "v1", "pods");

const ACCOUNT: &str = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot"}}"#;

async fn account(guarded: &Guarded) -> std::sync::Arc<Object> {
    guarded.create(&SERVICE_ACCOUNTS, "default", ACCOUNT).await
}

fn ask(account: &Object) -> TokenAsk {
    TokenAsk {
        namespace: "default".to_owned(),
        service_account: "robot".to_owned(),
        uid: account.uid().to_owned(),
        seconds: 600,
        ..TokenAsk::default()
    }
}

fn issue(guarded: &Guarded, ask: &TokenAsk) -> String {
    guarded
        .security
        .issuer
        .as_ref()
        .unwrap()
        .issue(ask)
        .unwrap()
        .token
}

fn parts(header: &str) -> Parts {
    Request::builder()
        .header("authorization", header)
        .body(())
        .unwrap()
        .into_parts()
        .0
}

/// What the server says to a request with the token: the user, `nobody`, or the code of the refusal.
fn told(guarded: &Guarded, header: &str) -> String {
    match guarded
        .security
        .authn
        .authenticate(&parts(header), &[])
        .now()
        .unwrap()
    {
        Ok(Some(user)) => user.name,
        Ok(None) => "nobody".to_owned(),
        Err(_) => "401".to_owned(),
    }
}

fn bearer(guarded: &Guarded, token: &str) -> String {
    told(guarded, &format!("Bearer {token}"))
}

const ROBOT: &str = "system:serviceaccount:default:robot";

#[tokio::test(start_paused = true)]
async fn a_token_names_its_account_until_it_expires() {
    let guarded = guarded().await;
    let ask = ask(&*account(&guarded).await);
    let token = issue(&guarded, &ask);
    let (user, audiences) = guarded
        .security
        .authn
        .token(&token, &[])
        .now()
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), (ROBOT, ask.uid.as_str()));
    assert_eq!(
        user.groups,
        [
            "system:serviceaccounts",
            "system:serviceaccounts:default",
            "system:authenticated"
        ]
    );
    assert_eq!(audiences, [ISSUER]);
    assert!(user.extra["authentication.kubernetes.io/credential-id"][0].starts_with("JTI="));
    assert_eq!(
        told(&guarded, &format!("bearer {token}")),
        ROBOT,
        "the scheme's case does not matter"
    );
    guarded.env.clock.sleep(Duration::from_secs(599)).await;
    assert_eq!(bearer(&guarded, &token), ROBOT);
    guarded.env.clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(bearer(&guarded, &token), "401");
    assert!(
        guarded
            .security
            .authn
            .token(&token, &[])
            .now()
            .unwrap()
            .unwrap_err()
            .why
            .contains("expired")
    );
}

#[tokio::test(start_paused = true)]
async fn bad_tokens() {
    let guarded = guarded().await;
    let asked = ask(&*account(&guarded).await);
    let good = issue(&guarded, &asked);
    let mint = |issuer: &str, key: &str| {
        let rules = TokenRules {
            issuers: vec![issuer.to_owned()],
            audiences: vec![ISSUER.to_owned()],
            longest: None,
            extend: false,
        };
        let (reader, env) = (guarded.server.reader(), guarded.env.clone());
        let other = ServiceAccounts::new(key, &[], rules, reader, env).unwrap();
        crate::security::TokenIssuer::issue(&*other, &asked)
            .unwrap()
            .token
    };
    let claims = good.split('.').nth(1).unwrap();
    let forged = |header: &str, signature: &str| format!("{}.{claims}.{signature}", BASE64.encode(header));
    let kid = SigningKey::from_pem(&guarded.key).unwrap().id().to_owned();
    let signature = good.rsplit('.').next().unwrap();
    let other_claims = BASE64.encode(format!(
        r#"{{"iss":"{ISSUER}","sub":"system:serviceaccount:kube-system:root"}}"#
    ));
    for (what, token) in [
        (
            "another audience",
            issue(
                &guarded,
                &TokenAsk {
                    audiences: vec!["vault".to_owned()],
                    ..asked.clone()
                },
            ),
        ),
        ("another issuer", mint("https://elsewhere", &guarded.key)),
        ("another key", mint(ISSUER, &key())),
        (
            "alg none",
            forged(&format!(r#"{{"alg":"none","kid":"{kid}"}}"#), ""),
        ),
        (
            "alg HS256",
            forged(&format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#), signature),
        ),
        (
            "other claims",
            format!("{}.{other_claims}.{signature}", good.split('.').next().unwrap()),
        ),
        ("truncated", good[..good.len() - 4].to_owned()),
        ("without signature", good[..good.rfind('.').unwrap()].to_owned()),
        ("a fourth part", format!("{good}.{signature}")),
        ("enormous", format!("{good}{}", "A".repeat(1 << 20))),
        ("no token at all", "gibberish".to_owned()),
        ("dots", "..".to_owned()),
        (
            "another account's UID",
            issue(
                &guarded,
                &TokenAsk {
                    uid: "x".to_owned(),
                    ..asked.clone()
                },
            ),
        ),
    ] {
        assert_eq!(bearer(&guarded, &token), "401", "{what}");
    }
    assert_eq!(bearer(&guarded, &good), ROBOT);
    assert_eq!(told(&guarded, "Bearer "), "nobody");
    assert_eq!(told(&guarded, "Basic cm9vdDpyb290"), "nobody");
    let vault = issue(
        &guarded,
        &TokenAsk {
            audiences: vec!["vault".to_owned(), "x".to_owned()],
            ..asked
        },
    );
    let (_, audiences) = guarded
        .security
        .authn
        .token(&vault, &["vault".to_owned()])
        .now()
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(audiences, ["vault"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_dies_with_what_it_is_bound_to() {
    let guarded = guarded().await;
    let account_object = account(&guarded).await;
    let body = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},
        "spec":{"serviceAccountName":"robot","containers":[{"name":"c","image":"i"}]}}"#;
    let pod = guarded.create(&PODS, "default", body).await;
    let plain = ask(&account_object);
    let bound = Bound {
        kind: "Pod".to_owned(),
        name: "p".to_owned(),
        uid: pod.uid().to_owned(),
    };
    let node = Some(("n1".to_owned(), "u1".to_owned()));
    let token = issue(
        &guarded,
        &TokenAsk {
            bound: Some(bound),
            node,
            ..plain.clone()
        },
    );
    let (user, _) = guarded
        .security
        .authn
        .token(&token, &[])
        .now()
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
    assert_eq!(user.extra["authentication.kubernetes.io/node-name"], ["n1"]);
    let now = || DeleteOptions {
        grace_period_seconds: Some(0),
        ..DeleteOptions::default()
    };
    guarded
        .admin()
        .delete(&PODS, &Key::new("default", "p"), now())
        .await
        .unwrap();
    assert_eq!(bearer(&guarded, &token), "401", "the pod is gone");
    guarded.create(&PODS, "default", body).await;
    assert_eq!(
        bearer(&guarded, &token),
        "401",
        "a pod of the same name is another pod"
    );

    let token = issue(&guarded, &plain);
    guarded
        .admin()
        .delete(&SERVICE_ACCOUNTS, &Key::new("default", "robot"), now())
        .await
        .unwrap();
    assert_eq!(bearer(&guarded, &token), "401", "the account is gone");
    let again = account(&guarded).await;
    assert_ne!(again.uid(), account_object.uid());
    assert_eq!(
        bearer(&guarded, &token),
        "401",
        "an account of the same name is another account"
    );
}

#[tokio::test(start_paused = true)]
async fn certificates_name_users_and_groups() {
    let dir = tempfile::tempdir().unwrap();
    let env = component::Env::simulated(11);
    let authority = Authority::open(dir.path(), env.clock.wall()).unwrap();
    let mut settings = settings(&env, &key());
    settings.trust = Trust {
        client_ca: authority.certificate().to_owned(),
        ..Trust::default()
    };
    let guarded = guarded_by(settings).await;
    let chain = |name: &str, purpose: &Purpose| -> Vec<CertificateDer<'static>> {
        authority
            .leaf(name, purpose, guarded.env.clock.wall())
            .unwrap()
            .der()
            .unwrap()
            .0
    };
    let who = |chain: &[CertificateDer<'static>]| {
        let (parts, ()) = Request::new(()).into_parts();
        guarded.security.authn.authenticate(&parts, chain).now().unwrap()
    };
    let ann = who(&chain("a", &Purpose::client("ann", &["dev"])))
        .unwrap()
        .unwrap();
    assert_eq!((ann.name.as_str(), ann.uid.as_str()), ("ann", ""));
    assert_eq!(ann.groups, ["dev", "system:authenticated"]);
    let id = &ann.extra["authentication.kubernetes.io/credential-id"][0];
    assert!(id.starts_with("X509SHA256=") && id.len() == 11 + 64, "{id}");
    assert_eq!(
        who(&chain("b", &Purpose::client("", &["system:masters"]))),
        Ok(None),
        "no common name, nobody"
    );
    assert!(who(&[CertificateDer::from(vec![1, 2, 3])]).is_err());
    assert_eq!(who(&[]), Ok(None));
}

#[test]
fn others_verify_with_the_published_key() {
    let pem = key();
    let signing = SigningKey::from_pem(&pem).unwrap();
    let documents = oidc::documents(
        ISSUER,
        "https://10.0.0.1:6443/openid/v1/jwks",
        &[signing.public().clone()],
    )
    .unwrap();
    let configuration = String::from_utf8(documents.configuration).unwrap();
    assert!(configuration.starts_with(&format!(
        r#"{{"issuer":"{ISSUER}","jwks_uri":"https://10.0.0.1:6443/openid/v1/jwks""#
    )));
    let keys = String::from_utf8(documents.keys).unwrap();
    assert!(
        keys.contains(signing.id()) && keys.contains(r#""crv":"P-256""#),
        "{keys}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_is_made_for_the_account_that_is_meant() {
    let gate = (
        "TokenRequestServiceAccountUIDValidation".to_owned(),
        "false".to_owned(),
    );
    for gates in [vec![], vec![gate]] {
        let env = Env::simulated(11);
        let on = gates.is_empty();
        let guarded = guarded_with(settings(&env, &key()), |config| {
            config.gates = Gates::parse(&gates.into_iter().collect()).unwrap();
        })
        .await;
        let uid = account(&guarded).await.uid().to_owned();
        let ask = async |metadata: &str| {
            let target = Target::object(&SERVICE_ACCOUNTS, &Key::new("default", "robot")).sub("token");
            let write = Write::Create(format!(r#"{{"metadata":{metadata}}}"#).into());
            let made = guarded.admin().write(target, write).await;
            made.map(|made| made.uid().to_owned())
                .map_err(|status| (status.code, status.message))
        };
        for good in [
            "{}",
            r#"{"name":"robot","namespace":"default"}"#,
            &format!(r#"{{"uid":"{uid}"}}"#),
        ] {
            assert_eq!(ask(good).await.unwrap(), uid, "{good}");
        }
        let older = ask(r#"{"uid":"of-before"}"#).await;
        let why = format!(
            r#"Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "robot": the UID in the token request (of-before) does not match the UID of the service account ({uid})"#
        );
        assert_eq!(older, if on { Err((409, why)) } else { Ok(uid) });
        for (other, code, why) in [
            (
                r#"{"name":"boss"}"#,
                422,
                r#"TokenRequest.authentication.k8s.io "robot" is invalid: metadata.name: Invalid value: "boss": must match the service account name if specified"#,
            ),
            (
                r#"{"namespace":"kube-system"}"#,
                400,
                "the namespace of the provided object does not match the namespace sent on the request",
            ),
        ] {
            assert_eq!(ask(other).await, Err((code, why.to_owned())));
        }
    }
}
