//! Tokens of other issuers, whose keys are fetched over HTTPS.
#![expect(clippy::disallowed_types, reason = "tests write claims as JSON")]

use super::{
    super::{AuthenticationConfiguration, Issuers, OIDC_ALGORITHMS},
    bearer, outside, review, server,
    site::{Reply, Site},
};
use crate::security::stories::Guarded;
use crate::security::stories::bad_input::counted;
use component::{Env, jwt::Key};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

struct Issuing {
    site: Site,
    key: Key,
    env: Env,
}

impl Issuing {
    async fn open() -> Self {
        let site = Site::open().await;
        let key = Key::from_pem(&crate::security::stories::key()).unwrap();
        let issuing = Self {
            site,
            key,
            env: outside(),
        };
        issuing.publish(&[issuing.key.public().jwk()]);
        issuing.appear();
        issuing
    }

    fn publish(&self, keys: &[component::jwt::Jwk]) {
        self.site
            .says("/keys", Reply::Json(json!({"keys": keys}).to_string()));
    }

    fn appear(&self) {
        let document = json!({"issuer": self.site.url, "jwks_uri": format!("{}/keys", self.site.url)});
        self.site.says(
            "/.well-known/openid-configuration",
            Reply::Json(document.to_string()),
        );
    }

    fn claims(&self) -> Value {
        let now = self.env.clock.wall().as_second();
        json!({"iss": self.site.url, "aud": "me", "exp": now + 600, "sub": "ann", "email": "ann@example.com",
            "groups": ["dev"], "role": "admin", "level": 3})
    }

    fn text(&self, rest: &str) -> String {
        let ca: String = self
            .site
            .ca
            .lines()
            .map(|line| format!("      {line}\n"))
            .collect();
        format!(
            "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: AuthenticationConfiguration\njwt:\n- issuer:\n    url: {}\n    audiences: [me, us]\n    audienceMatchPolicy: MatchAny\n    certificateAuthority: |\n{ca}{rest}",
            self.site.url
        )
    }

    fn issuers(&self, rest: &str) -> Arc<Issuers> {
        let configuration = AuthenticationConfiguration::parse(&self.text(rest)).unwrap();
        Issuers::new(configuration, &OIDC_ALGORITHMS, &[], &self.env).unwrap()
    }

    /// A server that takes the tokens, when the issuer was found.
    async fn taken(&self, rest: &str) -> Guarded {
        let issuers = self.issuers(rest);
        let guarded = self.beside(&issuers).await;
        self.found(&issuers).await;
        guarded
    }

    async fn beside(&self, issuers: &Arc<Issuers>) -> Guarded {
        let issuers = issuers.clone();
        server(&self.env, |settings| {
            settings.authentication.issuers = Some(issuers)
        })
        .await
    }

    async fn found(&self, issuers: &Issuers) {
        let all = async {
            while !issuers.missing().is_empty() {
                self.env.clock.sleep(Duration::from_millis(10)).await;
            }
        };
        let found = self.env.clock.timeout(Duration::from_secs(60), all).await;
        found.expect("the provider of the issuer is found");
    }

    fn sign(&self, claims: &Value) -> String {
        self.key.sign(claims).unwrap()
    }
}

const PLAIN: &str = "  claimMappings:\n    username: {claim: sub, prefix: 'oidc:'}\n    groups: {claim: groups, prefix: 'oidc:'}\n";
const RULES: &str = "  claimMappings:\n    username: {expression: '\"x:\" + claims.sub'}\n    groups: {expression: 'claims.groups'}\n    uid: {expression: 'string(claims.level)'}\n    extra: [{key: example.com/role, valueExpression: 'claims.role'}]\n  claimValidationRules:\n  - {claim: role, requiredValue: admin}\n  - {expression: 'claims.level > 2', message: too low}\n  userValidationRules:\n  - {expression: \"!user.username.startsWith('x:system:')\", message: reserved}\n";

fn changed(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[tokio::test]
async fn claims_become_users() {
    let issuing = Issuing::open().await;
    let guarded = issuing.taken(PLAIN).await;
    let token = issuing.sign(&issuing.claims());
    let (user, audiences) = guarded
        .security
        .authn
        .token(&token, &[])
        .get()
        .await
        .unwrap()
        .unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("oidc:ann", ""));
    assert_eq!(user.groups, ["oidc:dev", "system:authenticated"]);
    assert_eq!(audiences, [crate::security::stories::ISSUER]);
    assert_eq!(bearer(&guarded, &token).await, "oidc:ann");
    assert_eq!(issuing.site.asked("/keys").len(), 1, "keys are fetched once");
    let one = changed(&issuing.claims(), "groups", json!("only"));
    let (user, _) = guarded
        .security
        .authn
        .token(&issuing.sign(&one), &[])
        .get()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(user.groups[0], "oidc:only");

    let guarded = issuing.taken(RULES).await;
    let (user, _) = guarded
        .security
        .authn
        .token(&token, &[])
        .get()
        .await
        .unwrap()
        .unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("x:ann", "3"));
    assert_eq!(user.extra["example.com/role"], ["admin"]);
    assert_eq!(user.groups, ["dev", "system:authenticated"]);
}

#[tokio::test]
async fn tokens_of_issuers_that_are_not_good_are_refused() {
    let issuing = Issuing::open().await;
    let (plain, rules) = (issuing.taken(PLAIN).await, issuing.taken(RULES).await);
    let mail = "  claimMappings:\n    username: {claim: email, prefix: ''}\n    uid: {claim: uid}\n";
    let mail = issuing.taken(mail).await;
    let good = issuing.claims();
    let now = issuing.env.clock.wall().as_second();
    assert_eq!(bearer(&plain, &issuing.sign(&good)).await, "oidc:ann");
    assert_eq!(bearer(&rules, &issuing.sign(&good)).await, "x:ann");
    assert_eq!(
        bearer(&mail, &issuing.sign(&changed(&good, "uid", json!("1")))).await,
        "ann@example.com"
    );
    let set = |name: &str, value: Value| changed(&good, name, value);
    let cases = [
        (
            "expired",
            &plain,
            set("exp", json!(now - 1)),
            "oidc: verify token: oidc: token is expired (Token Expiry: ",
        ),
        (
            "without an end",
            &plain,
            without(&good, "exp"),
            "token is expired",
        ),
        (
            "an end that is text",
            &plain,
            set("exp", json!("x")),
            "failed to unmarshal claims",
        ),
        (
            "an end beyond numbers",
            &plain,
            set("exp", json!(1e308)),
            "oidc:ann",
        ),
        (
            "not yet valid",
            &plain,
            set("nbf", json!(now + 3600)),
            "before the nbf (not before) time",
        ),
        (
            "for another",
            &plain,
            set("aud", json!("you")),
            "oidc: expected audience in [\"me\" \"us\"] got [\"you\"]",
        ),
        ("for nobody", &plain, without(&good, "aud"), "expected audience"),
        (
            "an audience that is a number",
            &plain,
            set("aud", json!(1)),
            "failed to unmarshal claims",
        ),
        (
            "another issuer",
            &plain,
            set("iss", json!("https://elsewhere.example")),
            "invalid bearer token",
        ),
        (
            "no user",
            &plain,
            without(&good, "sub"),
            "oidc: parse username claims \"sub\": claim not present",
        ),
        (
            "a user that is a number",
            &plain,
            set("sub", json!(1)),
            "oidc: parse username claims \"sub\"",
        ),
        (
            "an empty user",
            &plain,
            set("sub", json!("")),
            "the username is empty",
        ),
        (
            "groups that are numbers",
            &plain,
            set("groups", json!([1])),
            "oidc: parse groups claim \"groups\"",
        ),
        (
            "groups that are an object",
            &plain,
            set("groups", json!({})),
            "oidc: parse groups claim",
        ),
        (
            "groups that are elsewhere",
            &plain,
            changed(
                &without(&good, "groups"),
                "_claim_names",
                json!({"groups": "src1"}),
            ),
            "distributed claims",
        ),
        (
            "a required claim that is missing",
            &rules,
            without(&good, "role"),
            "error evaluating extra claim expression",
        ),
        (
            "a required claim of another value",
            &rules,
            set("role", json!("guest")),
            "oidc: required claim role value does not match. Got = guest, want = admin",
        ),
        (
            "a rule that does not hold",
            &rules,
            set("level", json!(1)),
            "validation expression 'claims.level > 2' failed: too low",
        ),
        (
            "a rule that fails",
            &rules,
            set("level", json!("high")),
            "resulted in error",
        ),
        (
            "a user that is not allowed",
            &rules,
            set("sub", json!("system:admin")),
            "failed: reserved",
        ),
        (
            "an expression that gives no text",
            &rules,
            set("sub", json!(5)),
            "oidc: error evaluating username claim expression",
        ),
        (
            "groups by expression that are a number",
            &rules,
            set("groups", json!(5)),
            "expression must return a string or a list of strings",
        ),
        (
            "a mail that is not verified",
            &mail,
            changed(&set("email_verified", json!(false)), "uid", json!("1")),
            "oidc: email not verified",
        ),
        (
            "a mail that is perhaps verified",
            &mail,
            changed(&set("email_verified", json!("yes")), "uid", json!("1")),
            "oidc: parse 'email_verified' claim",
        ),
        (
            "a uid that is missing",
            &mail,
            good.clone(),
            "oidc: parse uid claim \"uid\": claim not present",
        ),
    ];
    counted("tokens of issuers", cases.len());
    for (what, guarded, claims, why) in cases {
        let token = issuing.sign(&claims);
        let told = review(guarded, &token).await;
        assert!(told.contains(why), "{what}: {told}");
        if why != "oidc:ann" {
            assert_eq!(bearer(guarded, &token).await, "401", "{what}");
        }
    }
    let text = good.to_string().replacen('{', r#"{"sub":"admin","#, 1);
    let twice = issuing
        .key
        .sign(&serde_json::value::RawValue::from_string(text).unwrap())
        .unwrap();
    assert!(
        review(&plain, &twice)
            .await
            .contains("claim \"sub\" is there twice")
    );
    let stranger = Key::from_pem(&crate::security::stories::key()).unwrap();
    assert!(
        review(&plain, &stranger.sign(&good).unwrap())
            .await
            .contains("failed to verify id token signature")
    );
}

#[tokio::test]
async fn only_the_algorithms_that_are_named_are_taken() {
    let issuing = Issuing::open().await;
    let configuration = AuthenticationConfiguration::parse(&issuing.text(PLAIN)).unwrap();
    let issuers = Issuers::new(
        configuration,
        &[component::jwt::Algorithm::RS256],
        &[],
        &issuing.env,
    )
    .unwrap();
    let guarded = issuing.beside(&issuers).await;
    issuing.found(&issuers).await;
    let told = review(&guarded, &issuing.sign(&issuing.claims())).await;
    let why = "oidc: id token signed with unsupported algorithm, expected [\"RS256\"] got \"ES256\"";
    assert!(told.contains(why), "{told}");
}

#[tokio::test]
async fn an_issuer_may_come_later_and_go_and_fail() {
    let issuing = Issuing::open().await;
    issuing
        .site
        .says("/.well-known/openid-configuration", Reply::Code(503, "not yet"));
    let issuers = issuing.issuers(PLAIN);
    let guarded = issuing.beside(&issuers).await;
    let token = issuing.sign(&issuing.claims());
    assert!(
        review(&guarded, &token)
            .await
            .contains("oidc: authenticator not initialized")
    );
    assert_eq!(bearer(&guarded, &token).await, "401");
    issuing.appear();
    issuing.found(&issuers).await;
    for (what, reply) in [
        ("an error", Reply::Code(500, "broken")),
        ("a redirect", Reply::Redirect("/keys2".to_owned())),
        ("garbage", Reply::Garbage),
        ("too much", Reply::Huge),
        ("no JSON", Reply::Json("nonsense".to_owned())),
        ("no keys", Reply::Json("{}".to_owned())),
        (
            "keys of another kind",
            Reply::Json(r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#.to_owned()),
        ),
    ] {
        issuing.site.says("/keys", reply);
        let issuers = issuing.issuers(PLAIN);
        let guarded = issuing.beside(&issuers).await;
        issuing.found(&issuers).await;
        assert!(
            review(&guarded, &token)
                .await
                .contains("failed to verify signature"),
            "{what}"
        );
        // The next question comes too soon for another look.
        let before = issuing.site.asked("/keys").len();
        assert_eq!(bearer(&guarded, &token).await, "401", "{what}");
        assert_eq!(issuing.site.asked("/keys").len(), before, "{what}");
    }
    for (what, reply) in [
        (
            "another issuer",
            Reply::Json(r#"{"issuer":"https://elsewhere","jwks_uri":"https://elsewhere/keys"}"#.to_owned()),
        ),
        (
            "keys in the clear",
            Reply::Json(json!({"issuer": issuing.site.url, "jwks_uri": "http://127.0.0.1/keys"}).to_string()),
        ),
        ("garbage", Reply::Garbage),
    ] {
        issuing.site.says("/.well-known/openid-configuration", reply);
        let issuers = issuing.issuers(PLAIN);
        let guarded = issuing.beside(&issuers).await;
        assert_eq!(bearer(&guarded, &token).await, "401", "{what}");
        assert_eq!(
            issuers.missing(),
            std::slice::from_ref(&issuing.site.url),
            "{what}"
        );
    }
}

#[tokio::test]
async fn another_configuration_is_taken_while_it_runs() {
    let issuing = Issuing::open().await;
    let issuers = issuing.issuers(PLAIN);
    let guarded = issuing.beside(&issuers).await;
    issuing.found(&issuers).await;
    let token = issuing.sign(&issuing.claims());
    assert_eq!(bearer(&guarded, &token).await, "oidc:ann");
    for (text, why) in [
        ("nonsense: [".to_owned(), ""),
        (
            issuing.text("  claimMappings: {}\n"),
            "jwt[0].claimMappings.username: Required value",
        ),
        (
            issuing.text(PLAIN) + "anonymous: {enabled: true}\n",
            "anonymous: Forbidden: changed from initial configuration file",
        ),
    ] {
        let told = issuers.exchange(&text).unwrap_err();
        assert!(told.contains(why), "{told}");
        assert_eq!(bearer(&guarded, &token).await, "oidc:ann");
    }
    issuers.exchange(&issuing.text(RULES)).unwrap();
    issuing.found(&issuers).await;
    assert_eq!(bearer(&guarded, &token).await, "x:ann");
    let none = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
    issuers.exchange(none).unwrap();
    assert_eq!(bearer(&guarded, &token).await, "401");
}

#[tokio::test]
async fn what_is_asked_of_an_issuer_is_counted() {
    let issuing = Issuing::open().await;
    let guarded = issuing.taken(PLAIN).await;
    let hash = crate::metrics::hidden(&issuing.site.url);
    let told = || {
        let mut text = String::new();
        issuing.env.metrics.write(&mut text);
        text
    };
    let fetched = |result: &str| {
        format!(
            "apiserver_authentication_jwt_authenticator_jwks_fetch_last_timestamp_seconds{{result=\"{result}\",\
             jwt_issuer_hash=\"{hash}\",apiserver_id_hash=\"\"}} "
        )
    };
    assert!(!told().contains(&fetched("success")));
    let token = issuing.sign(&issuing.claims());
    // The second time it is remembered.
    for _ in 0..2 {
        assert_ne!(bearer(&guarded, &token).await, "401");
    }
    let late = issuing.sign(&changed(&issuing.claims(), "exp", json!(1)));
    assert_eq!(bearer(&guarded, &late).await, "401");
    let text = told();
    assert!(text.contains(&fetched("success")), "{text}");
    for result in ["success", "failure"] {
        let count = format!(
            "apiserver_authentication_jwt_authenticator_latency_seconds_count{{result=\"{result}\",\
             jwt_issuer_hash=\"{hash}\"}} 1\n"
        );
        assert!(text.contains(&count), "{count}{text}");
    }
    assert!(!text.contains(&fetched("failure")), "{text}");
    issuing.site.says("/keys", Reply::Code(500, "broken"));
    let again = issuing.taken(PLAIN).await;
    assert_eq!(bearer(&again, &token).await, "401");
    assert!(told().contains(&fetched("failure")));
}
