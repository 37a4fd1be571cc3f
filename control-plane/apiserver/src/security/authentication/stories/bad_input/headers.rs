//! Headers of requests that name nobody.

use super::super::{outside, server, told};
use crate::security::{authentication, stories::bad_input::counted};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64},
};

#[tokio::test]
async fn headers_that_are_wrong_name_nobody() {
    let env = outside();
    let lines = format!("{},ann,1\n", authentication::hash("right", &env.random));
    let passwords = authentication::PasswordFile::parse("passwords", &lines, &env).unwrap();
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
