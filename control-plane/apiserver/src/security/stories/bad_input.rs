//! Bad input of authentication and authorization: how many cases there are, and that the server lives on.

use super::{ISSUER, guarded_by, key, log::Log, settings};
use crate::{http::stories::Http, security::authentication::TokenFile};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use component::Env;

/// The tables of cases, by what they are about.
const TABLES: [(&str, usize); 19] = [
    ("claims of service accounts", 38),
    ("tokens that are broken or forged", 65),
    ("names of keys", 100),
    ("headers", 19),
    ("bootstrap tokens", 19),
    ("certificates", 13),
    ("names in certificates", 87),
    ("front proxies", 10),
    ("files of tokens", 7),
    ("files of passwords", 9),
    ("configurations of issuers", 35),
    ("tokens of issuers", 25),
    ("answers about tokens", 22),
    ("lines of ABAC", 14),
    ("configurations of authorizers", 41),
    ("answers about rights", 21),
    ("impersonation", 24),
    ("over HTTP", 20),
    ("reviews", 14),
];

/// Notes that a table has so many cases: none goes unnoticed.
pub fn counted(table: &str, cases: usize) {
    let known = TABLES.iter().find(|(name, _)| *name == table);
    assert_eq!(
        known,
        Some(&(table, cases)),
        "the table of tables says another number"
    );
}

#[test]
fn bad_input_is_tried_in_many_cases() {
    let cases: usize = TABLES.iter().map(|(_, cases)| cases).sum();
    assert!(cases >= 480, "only {cases} cases of bad input are left");
}

#[tokio::test(start_paused = true)]
async fn over_http_each_is_refused_and_the_server_lives() {
    const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let env = Env::simulated(11);
    let mut made = settings(&env, &key());
    let file = TokenFile::parse("tokens", "secret,ann,1\n").unwrap();
    made.authentication.token_file = Some(file.into());
    let guarded = guarded_by(made).await;
    let of = |claims: &str| {
        format!(
            "Bearer {0}.{1}.{0}",
            BASE64.encode(r#"{"alg":"ES256"}"#),
            BASE64.encode(claims)
        )
    };
    let ours = |more: &str| of(&format!(r#"{{"iss":"{ISSUER}"{more}}}"#));
    let basic = |scheme: &str| format!("{scheme} YW5uOnNlY3JldA==");
    let cases = [
        (
            "an unknown token",
            "Bearer unknown".to_owned(),
            401,
            "invalid bearer token",
        ),
        (
            "a token that begins well",
            "Bearer secre".to_owned(),
            401,
            "invalid bearer token",
        ),
        (
            "a token with more",
            "Bearer secrets".to_owned(),
            401,
            "invalid bearer token",
        ),
        (
            "a token in large letters",
            "Bearer SECRET".to_owned(),
            401,
            "invalid bearer token",
        ),
        (
            "a token and another",
            "Bearer secret secret".to_owned(),
            401,
            "invalid bearer token",
        ),
        (
            "a token in quotes",
            "Bearer \"secret\"".to_owned(),
            401,
            "invalid bearer token",
        ),
        (
            "a token behind a comma",
            "Bearer ,secret".to_owned(),
            401,
            "invalid bearer token",
        ),
        (
            "a token behind a tab",
            "Bearer x\tsecret".to_owned(),
            401,
            "invalid bearer token",
        ),
        (
            "a token that is not ASCII",
            "Bearer sécret".to_owned(),
            401,
            "invalid bearer token",
        ),
        ("signed by nobody", ours(""), 401, "invalid bearer token"),
        (
            "signed by nobody, with more",
            ours(r#","sub":"x""#),
            401,
            "invalid bearer token",
        ),
        ("of nobody", of("{}"), 401, "invalid bearer token"),
        ("no claims", of(""), 401, "invalid bearer token"),
        ("claims that are a list", of("[]"), 401, "invalid bearer token"),
        (
            "a large one",
            ours(&format!(r#","x":"{}""#, "x".repeat(10_000))),
            401,
            "invalid bearer token",
        ),
        (
            "dots",
            format!("Bearer {}", ".".repeat(9000)),
            401,
            "invalid bearer token",
        ),
        ("a password, and none are known", basic("Basic"), 403, ""),
        ("another scheme", basic("Digest"), 403, ""),
        ("no scheme", "secret".to_owned(), 403, ""),
        ("a scheme alone", "Bearer".to_owned(), 403, ""),
    ];
    counted("over HTTP", cases.len());
    let log = Log::keep();
    let mut http = Http::new(&guarded.server).await;
    for (what, header, code, why) in cases {
        log.said();
        let refused = http
            .ask("GET", "/api/v1/secrets", &[("authorization", &header)], "")
            .await;
        assert_eq!(refused.code, code, "{what}: {}", refused.text);
        let said = log.said();
        if code == 401 {
            assert!(
                refused.text.contains(r#""message":"Unauthorized""#),
                "{what}: {}",
                refused.text
            );
            assert!(
                said.contains("unable to authenticate the request") && said.contains(why),
                "{what}: {said}"
            );
        } else {
            assert!(
                refused.text.contains(r#"User \"system:anonymous\" cannot list"#),
                "{what}: {}",
                refused.text
            );
        }
        let credentials = header.split_once(' ').map_or(header.as_str(), |(_, token)| token);
        assert!(
            credentials == "Bearer" || !said.contains(credentials),
            "{what}: a secret in the log: {said}"
        );
        let good = http
            .ask("POST", WHO, &[("authorization", "Bearer secret")], "{}")
            .await;
        assert!(good.text.contains(r#""username":"ann""#), "{what}: {}", good.text);
    }
    guarded.env.tasks.stop();
}

#[tokio::test(start_paused = true)]
async fn headers_too_large_are_refused_and_the_server_lives() {
    let guarded = super::guarded().await;
    for length in [1 << 20, 4 << 20] {
        let mut http = Http::new(&guarded.server).await;
        let header = format!("Bearer {}", "x".repeat(length));
        let refused = http
            .ask("GET", "/version", &[("authorization", &header)], "")
            .await;
        assert!(matches!(refused.code, 401 | 431), "{}", refused.code);
        let mut http = Http::new(&guarded.server).await;
        let good = http.ask("GET", "/version", &[("authorization", "")], "").await;
        assert_eq!(good.code, 200, "{}", good.text);
    }
    guarded.env.tasks.stop();
}
