//! Bootstrap tokens, good and bad.

use super::super::{Guarded, bearer, outside, server};
use crate::security::{User, stories::bad_input::counted};
use api::Gvr;
use serde_json::{Value, json};

const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
const BOOTSTRAP: &str = "07401b.f395accd246ae52d";

async fn bootstrap(guarded: &Guarded, name: &str, kind: &str, data: &[(&str, &str)]) {
    let data: serde_json::Map<String, Value> = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "stringData": data});
    guarded.create(&SECRETS, "kube-system", &secret.to_string()).await;
}

#[tokio::test]
async fn bootstrap_tokens_are_taken_as_their_secrets_say() {
    const KIND: &str = "bootstrap.kubernetes.io/token";
    let good = [
        ("token-id", "07401b"),
        ("token-secret", "f395accd246ae52d"),
        ("usage-bootstrap-authentication", "true"),
    ];
    let but = |key: &'static str, value: &'static str| {
        let mut data: Vec<(&str, &str)> = good.iter().filter(|(name, _)| *name != key).copied().collect();
        data.push((key, value));
        data
    };
    let env = outside();
    let bad = "401";
    let ours = "system:bootstrap:07401b";
    let cases = [
        ("good", KIND, good.to_vec(), BOOTSTRAP, ours),
        (
            "good for a while",
            KIND,
            but("expiration", "2099-01-01T00:00:00Z"),
            BOOTSTRAP,
            ours,
        ),
        (
            "with groups",
            KIND,
            but("auth-extra-groups", "system:bootstrappers:a"),
            BOOTSTRAP,
            ours,
        ),
        (
            "expired",
            KIND,
            but("expiration", "2001-01-01T00:00:00Z"),
            BOOTSTRAP,
            bad,
        ),
        (
            "an end that is no time",
            KIND,
            but("expiration", "soon"),
            BOOTSTRAP,
            bad,
        ),
        (
            "not for this",
            KIND,
            but("usage-bootstrap-authentication", "false"),
            BOOTSTRAP,
            bad,
        ),
        ("not said what for", KIND, good[..2].to_vec(), BOOTSTRAP, bad),
        (
            "another secret",
            KIND,
            but("token-secret", "0000000000000000"),
            BOOTSTRAP,
            bad,
        ),
        ("an empty secret", KIND, but("token-secret", ""), BOOTSTRAP, bad),
        ("another id", KIND, but("token-id", "000000"), BOOTSTRAP, bad),
        ("another kind of secret", "Opaque", good.to_vec(), BOOTSTRAP, bad),
        (
            "a group of others",
            KIND,
            but("auth-extra-groups", "system:masters"),
            BOOTSTRAP,
            bad,
        ),
        (
            "a group with a comma",
            KIND,
            but("auth-extra-groups", "system:bootstrappers:a,"),
            BOOTSTRAP,
            bad,
        ),
        (
            "large letters",
            KIND,
            good.to_vec(),
            "07401B.F395ACCD246AE52D",
            bad,
        ),
        (
            "a short secret",
            KIND,
            good.to_vec(),
            "07401b.f395accd246ae52",
            bad,
        ),
        (
            "a long secret",
            KIND,
            good.to_vec(),
            "07401b.f395accd246ae52dd",
            bad,
        ),
        ("no secret", KIND, good.to_vec(), "07401b.", bad),
        (
            "no such token",
            KIND,
            good.to_vec(),
            "ffffff.f395accd246ae52d",
            bad,
        ),
        ("a path", KIND, good.to_vec(), "../../.f395accd246ae52d", bad),
    ];
    counted("bootstrap tokens", cases.len());
    for (what, kind, data, token, wanted) in cases {
        let guarded = server(&env, |settings| settings.authentication.bootstrap_tokens = true).await;
        bootstrap(&guarded, "bootstrap-token-07401b", kind, &data).await;
        assert_eq!(bearer(&guarded, token).await, wanted, "{what}");
    }
    let guarded = server(&env, |_| {}).await;
    bootstrap(&guarded, "bootstrap-token-07401b", KIND, &good).await;
    assert_eq!(
        bearer(&guarded, BOOTSTRAP).await,
        bad,
        "they are not taken unless that is asked for"
    );
    let guarded = server(&env, |settings| settings.authentication.bootstrap_tokens = true).await;
    bootstrap(
        &guarded,
        "bootstrap-token-07401b",
        KIND,
        &but("auth-extra-groups", "system:bootstrappers:a:b"),
    )
    .await;
    let (user, _) = guarded
        .security
        .authn
        .token(BOOTSTRAP, &[])
        .now()
        .unwrap()
        .unwrap()
        .unwrap();
    let groups = [
        "system:bootstrappers",
        "system:bootstrappers:a:b",
        "system:authenticated",
    ];
    assert_eq!(user, User::new(ours, &groups));
}
