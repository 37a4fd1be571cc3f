//! What is not a good credential is refused with upstream's status, and never taken.
#![expect(clippy::disallowed_types, reason = "tests write claims as JSON")]

use super::{Guarded, bearer, outside, review, server, told};
use crate::security::stories::{bad_input::counted, log::Log};
use crate::security::{User, stories::ISSUER};
use api::Gvr;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64},
};
use component::jwt::Key;
use ring::hmac;
use serde_json::{Value, json};

const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
const ROBOT: &str = "system:serviceaccount:default:robot";

/// Claims of a good token.
async fn good(guarded: &Guarded) -> Value {
    let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot"}}"#;
    let account = guarded.create(&SERVICE_ACCOUNTS, "default", account).await;
    let now = guarded.env.clock.wall().as_second();
    json!({
        "iss": ISSUER, "sub": ROBOT, "aud": [ISSUER], "exp": now + 3600, "iat": now, "nbf": now, "jti": "1",
        "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "robot", "uid": account.uid()}},
    })
}

fn changed(claims: &Value, path: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    *claims.pointer_mut(path).unwrap() = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims["kubernetes.io"][name] = value;
    claims
}

/// A token with any header and payload, signed by `sign`.
fn token(header: &str, payload: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let text = format!("{}.{}", BASE64.encode(header), BASE64.encode(payload));
    let signature = sign(text.as_bytes());
    format!("{text}.{}", BASE64.encode(signature))
}

#[tokio::test]
async fn claims_that_are_wrong_are_refused() {
    let env = outside();
    let guarded = server(&env, |_| {}).await;
    let good = good(&guarded).await;
    let key = Key::from_pem(&guarded.key).unwrap();
    let now = env.clock.wall().as_second();
    assert_eq!(bearer(&guarded, &key.sign(&good).unwrap()).await, ROBOT);
    let named = |name: &str, uid: &str| json!({"name": name, "uid": uid});
    let cases = [
        (
            "expired",
            changed(&good, "/exp", json!(now - 1)),
            "service account token has expired",
        ),
        ("expires at zero", changed(&good, "/exp", json!(0)), "has expired"),
        (
            "expired before time",
            changed(&good, "/exp", json!(-5)),
            "has expired",
        ),
        ("without an end", without(&good, "exp"), "has expired"),
        (
            "an end that is text",
            changed(&good, "/exp", json!("tomorrow")),
            "token claims",
        ),
        (
            "an end that is null",
            changed(&good, "/exp", Value::Null),
            "token claims",
        ),
        (
            "an end that is true",
            changed(&good, "/exp", json!(true)),
            "token claims",
        ),
        (
            "not yet valid",
            changed(&good, "/nbf", json!(now + 600)),
            "service account token is not valid yet",
        ),
        (
            "never valid",
            changed(&good, "/nbf", json!(1e300)),
            "is not valid yet",
        ),
        (
            "a start that is text",
            changed(&good, "/nbf", json!("now")),
            "token claims",
        ),
        (
            "a time of making that is a list",
            changed(&good, "/iat", json!([1])),
            "token claims",
        ),
        (
            "another audience",
            changed(&good, "/aud", json!(["vault"])),
            "is invalid for the target audiences",
        ),
        (
            "one other audience",
            changed(&good, "/aud", json!("vault")),
            "is invalid for the target audiences",
        ),
        (
            "an audience that is a number",
            changed(&good, "/aud", json!(5)),
            "token claims",
        ),
        (
            "an audience that is an object",
            changed(&good, "/aud", json!({})),
            "token claims",
        ),
        (
            "audiences that are numbers",
            changed(&good, "/aud", json!([1, 2])),
            "token claims",
        ),
        (
            "another issuer",
            changed(&good, "/iss", json!("https://elsewhere")),
            "invalid bearer token",
        ),
        (
            "an issuer with a slash",
            changed(&good, "/iss", json!(format!("{ISSUER}/"))),
            "invalid bearer token",
        ),
        ("no issuer", without(&good, "iss"), "invalid bearer token"),
        (
            "an issuer that is a number",
            changed(&good, "/iss", json!(1)),
            "invalid bearer token",
        ),
        (
            "an issuer that is a list",
            changed(&good, "/iss", json!([ISSUER])),
            "invalid bearer token",
        ),
        ("no private claims", without(&good, "kubernetes.io"), "not found"),
        (
            "private claims that are text",
            changed(&good, "/kubernetes.io", json!("x")),
            "token claims",
        ),
        (
            "no namespace",
            changed(&good, "/kubernetes.io/namespace", json!("")),
            "not found",
        ),
        (
            "another namespace",
            changed(&good, "/kubernetes.io/namespace", json!("kube-system")),
            "not found",
        ),
        (
            "an account that is not there",
            changed(&good, "/kubernetes.io/serviceaccount/name", json!("x")),
            "not found",
        ),
        (
            "the account of before",
            changed(&good, "/kubernetes.io/serviceaccount/uid", json!("x")),
            "does not match claim",
        ),
        (
            "an account without uid",
            changed(&good, "/kubernetes.io/serviceaccount/uid", json!("")),
            "does not match claim",
        ),
        (
            "an account that is text",
            changed(&good, "/kubernetes.io/serviceaccount", json!("robot")),
            "token claims",
        ),
        (
            "a pod that is not there",
            with(&good, "pod", named("p", "1")),
            "service account token has been invalidated",
        ),
        (
            "a pod that is text",
            with(&good, "pod", json!("p")),
            "token claims",
        ),
        (
            "a secret that is not there",
            with(&good, "secret", named("s", "1")),
            "has been invalidated",
        ),
        (
            "a node that is not there",
            with(&good, "node", named("n", "1")),
            "has been invalidated",
        ),
        (
            "a warning that is text",
            with(&good, "warnafter", json!("x")),
            "token claims",
        ),
        ("a list", json!([good]), "invalid bearer token"),
        ("a number", json!(5), "invalid bearer token"),
        ("null", Value::Null, "invalid bearer token"),
        (
            "the issuer of tokens in secrets",
            changed(&good, "/iss", json!("kubernetes/serviceaccount")),
            "claim is missing",
        ),
    ];
    let log = Log::keep();
    counted("claims of service accounts", cases.len());
    for (what, claims, why) in cases {
        let token = key.sign(&claims).unwrap();
        log.said();
        assert_eq!(bearer(&guarded, &token).await, "401", "{what}");
        let said = log.said();
        assert!(said.contains(why) && !said.contains(&token), "{what}: {said}");
        let told = review(&guarded, &token).await;
        assert!(told.contains(why), "{what}: {told}");
    }
    assert_eq!(bearer(&guarded, &key.sign(&good).unwrap()).await, ROBOT);
}

#[tokio::test]
async fn tokens_that_are_broken_or_forged_are_refused() {
    let env = outside();
    let guarded = server(&env, |_| {}).await;
    let claims = good(&guarded).await;
    let key = Key::from_pem(&guarded.key).unwrap();
    let other = Key::from_pem(&crate::security::stories::key()).unwrap();
    let good = key.sign(&claims).unwrap();
    assert_eq!(bearer(&guarded, &good).await, ROBOT);
    let (text, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = text.split_once('.').unwrap();
    let (kid, body) = (key.id(), serde_json::to_vec(&claims).unwrap());
    let stolen = BASE64.decode(signature).unwrap();
    let headed = |header: &str| token(header, &body, |_| stolen.clone());
    let named = |alg: &str| format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#);
    let jwk = key.public().jwk();
    let point = [BASE64.decode(&jwk.x).unwrap(), BASE64.decode(&jwk.y).unwrap()].concat();
    let shared = |alg: &str, with: hmac::Algorithm, secret: &[u8]| {
        let secret = hmac::Key::new(with, secret);
        token(&named(alg), &body, |text| {
            hmac::sign(&secret, text).as_ref().to_vec()
        })
    };
    let said = |body: &str| {
        let claims: &[u8] = body.as_bytes();
        format!("{header}.{}.{signature}", BASE64.encode(claims))
    };
    let text_of = String::from_utf8(body.clone()).unwrap();
    let twice = |extra: &str| text_of.replacen('{', &format!("{{{extra},"), 1);
    let mut flipped = stolen.clone();
    flipped[10] ^= 1;
    let cases = [
        ("alg none", headed(&named("none"))),
        (
            "alg none without signature",
            token(&named("none"), &body, |_| Vec::new()),
        ),
        ("alg NONE", token(&named("NONE"), &body, |_| Vec::new())),
        ("alg nOnE", token(&named("nOnE"), &body, |_| Vec::new())),
        ("alg empty", token(&named(""), &body, |_| Vec::new())),
        ("no alg", headed(&format!(r#"{{"kid":"{kid}"}}"#))),
        (
            "alg is a number",
            headed(&format!(r#"{{"alg":1,"kid":"{kid}"}}"#)),
        ),
        ("alg is null", headed(&format!(r#"{{"alg":null,"kid":"{kid}"}}"#))),
        (
            "alg is a list",
            headed(&format!(r#"{{"alg":["ES256"],"kid":"{kid}"}}"#)),
        ),
        (
            "HS256 with the key id",
            shared("HS256", hmac::HMAC_SHA256, kid.as_bytes()),
        ),
        (
            "HS256 with the public key",
            shared("HS256", hmac::HMAC_SHA256, &point),
        ),
        (
            "HS384 with the public key",
            shared("HS384", hmac::HMAC_SHA384, &point),
        ),
        (
            "HS512 with the public key",
            shared("HS512", hmac::HMAC_SHA512, &point),
        ),
        (
            "ES256 signed as HS256",
            shared("ES256", hmac::HMAC_SHA256, &point),
        ),
        ("RS256 with a key of ECDSA", headed(&named("RS256"))),
        ("PS256 with a key of ECDSA", headed(&named("PS256"))),
        ("ES384 with a key of P-256", headed(&named("ES384"))),
        ("ES512 with a key of P-256", headed(&named("ES512"))),
        ("EdDSA", headed(&named("EdDSA"))),
        ("es256 in small letters", headed(&named("es256"))),
        ("a header that is no JSON", headed("nonsense")),
        ("a header that is a list", headed("[]")),
        ("an empty header", headed("")),
        ("a header cut off", headed(r#"{"alg":"ES256""#)),
        (
            "alg twice",
            headed(&format!(r#"{{"alg":"none","alg":"ES256","kid":"{kid}"}}"#)),
        ),
        (
            "a critical header",
            headed(&format!(r#"{{"alg":"ES256","kid":"{kid}","crit":["exp"]}}"#)),
        ),
        ("an unknown key", headed(r#"{"alg":"ES256","kid":"unknown"}"#)),
        ("a key id that is a number", headed(r#"{"alg":"ES256","kid":5}"#)),
        (
            "no key id and another key",
            token(r#"{"alg":"ES256"}"#, &body, |_| stolen.clone()),
        ),
        ("another key", other.sign(&claims).unwrap()),
        ("another key by the id of ours", {
            let signed = other.sign(&claims).unwrap();
            format!("{text}.{}", signed.rsplit('.').next().unwrap())
        }),
        (
            "a signature with one bit changed",
            format!("{text}.{}", BASE64.encode(&flipped)),
        ),
        ("a signature cut off", good[..good.len() - 4].to_owned()),
        ("an empty signature", format!("{text}.")),
        (
            "a signature of zeroes",
            format!("{text}.{}", BASE64.encode([0; 64])),
        ),
        (
            "a signature that is too long",
            format!("{text}.{}", BASE64.encode([stolen.clone(), vec![0]].concat())),
        ),
        ("no signature", text.to_owned()),
        ("header alone", header.to_owned()),
        ("a fourth part", format!("{good}.{signature}")),
        ("five parts", format!("{good}..")),
        ("dots", "..".to_owned()),
        ("many dots", ".".repeat(5000)),
        ("a broken header", format!("!!!.{payload}.{signature}")),
        ("broken claims", format!("{header}.!!!.{signature}")),
        ("a broken signature", format!("{text}.!!!")),
        ("padding", format!("{header}=.{payload}=.{signature}=")),
        ("the usual alphabet", format!("{header}.{payload}.++//")),
        ("a space inside", format!("{header}. {payload}.{signature}")),
        ("claims of another", said(&text_of.replace("robot", "admin"))),
        ("claims that are no JSON", said("nonsense")),
        ("claims cut off", said(&text_of[..text_of.len() - 5])),
        ("claims with more behind", said(&format!("{text_of}{text_of}"))),
        ("no claims", said("")),
        (
            "claims nested deeply",
            said(&format!(r#"{{"iss":"{ISSUER}","a":{}}}"#, "[".repeat(5000))),
        ),
        (
            "claims that are no text",
            format!("{header}.{}.{signature}", BASE64.encode([0xff, 0xfe, 0x00])),
        ),
        (
            "the issuer twice",
            key.sign(
                &serde_json::value::RawValue::from_string(twice(&format!(r#""iss":"{ISSUER}""#))).unwrap(),
            )
            .unwrap(),
        ),
        (
            "the end twice",
            key.sign(&serde_json::value::RawValue::from_string(twice(r#""exp":99999999999"#)).unwrap())
                .unwrap(),
        ),
        (
            "the audience twice",
            key.sign(
                &serde_json::value::RawValue::from_string(twice(&format!(r#""aud":["{ISSUER}"]"#))).unwrap(),
            )
            .unwrap(),
        ),
        (
            "an end beyond numbers",
            key.sign(
                &serde_json::value::RawValue::from_string(
                    text_of.replace(r#""exp":"#, r#""exp":1e999,"x":"#),
                )
                .unwrap(),
            )
            .unwrap(),
        ),
        ("enormous", format!("{good}{}", "A".repeat(1 << 20))),
        (
            "too large by one",
            format!("{good}{}", "A".repeat(16 * 1024 + 1 - good.len())),
        ),
        (
            "JSON, not compact",
            format!(
                r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
            ),
        ),
        ("gibberish", "gibberish".to_owned()),
        ("a letter", "x".to_owned()),
        ("not ASCII", "tökén".to_owned()),
    ];
    counted("tokens that are broken or forged", cases.len());
    for (what, token) in cases {
        assert_eq!(bearer(&guarded, &token).await, "401", "{what}");
        assert!(
            review(&guarded, &token).await.contains("invalid bearer token"),
            "{what}"
        );
    }
    for end in 1..good.len() {
        assert_eq!(
            bearer(&guarded, &good[..end]).await,
            "401",
            "the first {end} letters"
        );
    }
    assert_eq!(bearer(&guarded, &good).await, ROBOT);
}

#[tokio::test]
async fn headers_that_are_wrong_name_nobody() {
    let env = outside();
    let lines = format!("{},ann,1\n", super::super::hash("right", &env.random));
    let passwords = super::super::PasswordFile::parse("passwords", &lines, &env).unwrap();
    let guarded = server(&env, |settings| {
        settings.authentication.passwords = Some(passwords.into())
    })
    .await;
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let socket = ("upgrade", "websocket");
    let offered = |token: &str| format!("base64url.bearer.authorization.k8s.io.{}", BASE64.encode(token));
    assert_eq!(
        told(&guarded, &[("authorization", &basic("ann:right"))], &[]).await,
        "ann"
    );
    let cases = [
        ("nothing", vec![], "anonymous"),
        (
            "an empty token",
            vec![("authorization", "Bearer ".to_owned())],
            "anonymous",
        ),
        (
            "a scheme alone",
            vec![("authorization", "Bearer".to_owned())],
            "anonymous",
        ),
        (
            "an empty header",
            vec![("authorization", String::new())],
            "anonymous",
        ),
        (
            "another scheme",
            vec![("authorization", "Digest x".to_owned())],
            "anonymous",
        ),
        (
            "a token of a letter",
            vec![("authorization", "Bearer x".to_owned())],
            "401",
        ),
        (
            "two tokens",
            vec![("authorization", "Bearer x y".to_owned())],
            "401",
        ),
        (
            "a wrong password",
            vec![("authorization", basic("ann:wrong"))],
            "401",
        ),
        ("no password", vec![("authorization", basic("ann:"))], "401"),
        (
            "the hash as password",
            vec![(
                "authorization",
                basic(&format!("ann:{}", lines.split(',').next().unwrap())),
            )],
            "401",
        ),
        (
            "a password of another",
            vec![("authorization", basic("bob:right"))],
            "401",
        ),
        ("no user", vec![("authorization", basic(":right"))], "401"),
        (
            "a user without password",
            vec![("authorization", basic("ann"))],
            "anonymous",
        ),
        (
            "broken base64",
            vec![("authorization", "Basic !!!".to_owned())],
            "anonymous",
        ),
        (
            "a token in a socket that is bad",
            vec![
                socket_owned(socket),
                ("sec-websocket-protocol", format!("v5, {}", offered("x"))),
            ],
            "401",
        ),
        (
            "a token in a socket, and no protocol",
            vec![socket_owned(socket), ("sec-websocket-protocol", offered("x"))],
            "401",
        ),
        (
            "two tokens in a socket",
            vec![
                socket_owned(socket),
                (
                    "sec-websocket-protocol",
                    format!("v5, {}, {}", offered("x"), offered("y")),
                ),
            ],
            "401",
        ),
        (
            "a token in a socket in no base64",
            vec![
                socket_owned(socket),
                (
                    "sec-websocket-protocol",
                    "v5, base64url.bearer.authorization.k8s.io.!!".to_owned(),
                ),
            ],
            "401",
        ),
        (
            "headers of a proxy",
            vec![
                ("x-remote-user", "admin".to_owned()),
                ("x-remote-group", "system:masters".to_owned()),
            ],
            "anonymous",
        ),
    ];
    counted("headers", cases.len());
    for (what, headers, wanted) in cases {
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(told(&guarded, &headers, &[]).await, wanted, "{what}");
    }
}

fn socket_owned((name, value): (&'static str, &str)) -> (&'static str, String) {
    (name, value.to_owned())
}

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
