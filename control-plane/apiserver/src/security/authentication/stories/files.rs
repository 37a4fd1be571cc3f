//! Files of tokens and passwords, and of issuers.

use super::super::{AuthenticationConfiguration, Issuers, OIDC_ALGORITHMS, PasswordFile, TokenFile, hash};
use super::{bearer, outside, server, told};
use crate::security::stories::bad_input::counted;
use base64::{Engine, engine::general_purpose::STANDARD};
use component::Random;

#[tokio::test]
async fn tokens_of_a_file_name_their_users() {
    let text = "secret,ann,7,\"dev,ops\"\n\n,nobody,1\nplain,bob,8\r\n\"with \"\"quotes\"\"\",\"eve, the third\",9\n";
    let file = TokenFile::parse("tokens", text).unwrap();
    let guarded = server(&outside(), |settings| {
        settings.authentication.token_file = Some(file.into())
    })
    .await;
    let (ann, audiences) = guarded
        .security
        .authn
        .token("secret", &[])
        .now()
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!((ann.name.as_str(), ann.uid.as_str()), ("ann", "7"));
    assert_eq!(ann.groups, ["dev", "ops", "system:authenticated"]);
    assert_eq!(audiences, [crate::security::stories::ISSUER]);
    for (token, who) in [
        ("plain", "bob"),
        ("with \"quotes\"", "eve, the third"),
        ("Secret", "401"),
        ("secre", "401"),
    ] {
        assert_eq!(bearer(&guarded, token).await, who, "{token}");
    }
    let other = guarded
        .security
        .authn
        .token("secret", &["vault".to_owned()])
        .now()
        .unwrap();
    assert_eq!(
        other.unwrap_err().why,
        "invalid bearer token",
        "they are for the API server alone"
    );
}

#[test]
fn bad_lines_are_refused() {
    let cases = [
        (
            "secret\n",
            "must have at least 3 columns (token, user name, user uid), found 1",
        ),
        (
            "secret,ann\n",
            "must have at least 3 columns (token, user name, user uid), found 2",
        ),
        ("a,b,c\nsecret,ann", "found 2"),
        ("secret,,1\n", "there is no user name"),
        ("\"secret,ann,1\n", "extraneous or missing \" in quoted-field"),
        ("sec\"ret,ann,1\n", "bare \" in non-quoted-field"),
        ("\"sec\"ret,ann,1\n", "extraneous or missing \" in quoted-field"),
    ];
    counted("files of tokens", cases.len());
    for (text, why) in cases {
        let told = TokenFile::parse("tokens", text).unwrap_err();
        assert!(told.contains(why), "{text:?}: {told}");
    }
    let env = component::Env::system();
    let good = hash("x", &env.random);
    let cases = [
        ("password,ann,1\n".to_owned(), "passwords are stored hashed"),
        (
            "pbkdf2-sha256:0:c2FsdHNhbHQ=:AAAA,ann,1\n".to_owned(),
            "passwords are stored hashed",
        ),
        (
            "pbkdf2-sha256:x:c2FsdHNhbHQ=:AAAA,ann,1\n".to_owned(),
            "passwords are stored hashed",
        ),
        (
            "md5:1:c2FsdHNhbHQ=:AAAA,ann,1\n".to_owned(),
            "passwords are stored hashed",
        ),
        (
            good.replace(":600000:", ":4000000000:") + ",ann,1\n",
            "passwords are stored hashed",
        ),
        (format!("{good}:x,ann,1\n"), "passwords are stored hashed"),
        (format!("{good},ann\n"), "must have at least 3 columns"),
        (format!("{good},,1\n"), "there is no user name"),
        (
            format!("{good},ann,1\n{good},ann,2\n"),
            "record number '2': the user is there twice",
        ),
    ];
    counted("files of passwords", cases.len());
    for (text, why) in cases {
        let told = PasswordFile::parse("passwords", &text, &env)
            .map(drop)
            .unwrap_err();
        assert!(told.contains(why), "{text:?}: {told}");
    }
}

#[tokio::test]
async fn passwords_are_compared_with_their_hash() {
    let env = outside();
    let random = Random::seeded(3);
    let text = format!("{},ann,7,\"dev,ops\"\n", hash("open sesame: ä", &random));
    assert!(!text.contains("sesame"));
    let file = PasswordFile::parse("passwords", &text, &env).unwrap();
    let guarded = server(&env, |settings| {
        settings.authentication.passwords = Some(file.into())
    })
    .await;
    let header = |text: &str| format!("Basic {}", STANDARD.encode(text));
    for (text, who) in [
        ("ann:open sesame: ä", "ann"),
        ("ann:open sesame: ä", "ann"),
        ("ann:open sesame: a", "401"),
        ("Ann:open sesame: ä", "401"),
    ] {
        assert_eq!(
            told(&guarded, &[("authorization", &header(text))], &[]).await,
            who,
            "{text}"
        );
    }
}

/// What is wrong with the configuration of issuers whose part after the head is `text`.
async fn wrong(text: &str) -> String {
    let text = format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n{text}");
    let parsed = match AuthenticationConfiguration::parse(&text) {
        Ok(parsed) => parsed,
        Err(why) => return why,
    };
    let own = ["https://own.example".to_owned()];
    match Issuers::new(parsed, &OIDC_ALGORITHMS, &own, &outside()) {
        Ok(_) => "taken".to_owned(),
        Err(why) => why
            .trim_start_matches("invalid authentication configuration: ")
            .to_owned(),
    }
}

#[tokio::test]
async fn configurations_of_issuers_are_validated_in_upstreams_words() {
    let one =
        |issuer: &str, rest: &str| format!("jwt:\n- issuer: {{{issuer}}}\n  claimMappings: {{{rest}}}\n");
    let issuer = "url: 'https://a.example', audiences: [me]";
    let user = "username: {claim: sub, prefix: ''}";
    assert_eq!(wrong("").await, "taken");
    assert_eq!(wrong(&one(issuer, user)).await, "taken");
    let cases = [
        (one("audiences: [me]", user), "jwt[0].issuer.url: Required value"),
        (
            one("url: 'http://a.example', audiences: [me]", user),
            "jwt[0].issuer.url: Invalid value: \"http://a.example\": URL scheme must be https",
        ),
        (
            one("url: 'https://u:p@a.example', audiences: [me]", user),
            "URL must not contain a username or password",
        ),
        (
            one("url: 'https://a.example?x=1', audiences: [me]", user),
            "URL must not contain a query",
        ),
        (
            one("url: 'https://a.example#x', audiences: [me]", user),
            "URL must not contain a fragment",
        ),
        (
            one("url: 'https://own.example', audiences: [me]", user),
            "URL must not overlap with disallowed issuers: [https://own.example]",
        ),
        (
            one(
                "url: 'https://a.example', discoveryURL: 'https://a.example/', audiences: [me]",
                user,
            ),
            "jwt[0].issuer.discoveryURL: Invalid value: \"https://a.example/\": discoveryURL must be different from URL",
        ),
        (
            one("url: 'https://a.example'", user),
            "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
        ),
        (
            one("url: 'https://a.example', audiences: ['']", user),
            "jwt[0].issuer.audiences[0]: Required value",
        ),
        (
            one(
                "url: 'https://a.example', audiences: [a, a], audienceMatchPolicy: MatchAny",
                user,
            ),
            "jwt[0].issuer.audiences[1]: Duplicate value: \"a\"",
        ),
        (
            one("url: 'https://a.example', audiences: [a, b]", user),
            "audienceMatchPolicy must be MatchAny for multiple audiences",
        ),
        (
            one(
                "url: 'https://a.example', audiences: [a], audienceMatchPolicy: X",
                user,
            ),
            "audienceMatchPolicy must be empty or MatchAny for single audience",
        ),
        (
            one(&format!("{issuer}, certificateAuthority: x"), user),
            "jwt[0].issuer.certificateAuthority: Invalid value: \"<omitted>\"",
        ),
        (
            one(issuer, ""),
            "jwt[0].claimMappings.username: Required value: claim or expression is required",
        ),
        (
            one(issuer, "username: {claim: sub}"),
            "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set",
        ),
        (
            one(
                issuer,
                "username: {claim: sub, prefix: '', expression: claims.sub}",
            ),
            "claim and expression can't both be set",
        ),
        (
            one(issuer, "username: {prefix: x, expression: claims.sub}"),
            "may not be specified when expression is set",
        ),
        (
            one(issuer, "username: {expression: 'claims.'}"),
            "jwt[0].claimMappings.username.expression: Invalid value: \"claims.\": compilation failed: ERROR: <input>:1:8",
        ),
        (
            one(issuer, "username: {expression: user.name}"),
            "undeclared reference to 'user'",
        ),
        (
            one(issuer, "username: {expression: claims.email}"),
            "claims.email_verified must be used in",
        ),
        (
            one(
                issuer,
                &format!("{user}, uid: {{claim: a, expression: claims.b}}"),
            ),
            "jwt[0].claimMappings.uid: Invalid value: \"\": claim and expression can't both be set",
        ),
        (
            one(
                issuer,
                &format!("{user}, extra: [{{key: foo, valueExpression: claims.a}}]"),
            ),
            "jwt[0].claimMappings.extra[0].key: Invalid value: \"foo\": must be a domain-prefixed path",
        ),
        (
            one(
                issuer,
                &format!("{user}, extra: [{{key: 'a.example/Foo', valueExpression: claims.a}}]"),
            ),
            "must be lowercase",
        ),
        (
            one(
                issuer,
                &format!("{user}, extra: [{{key: 'x.k8s.io/a', valueExpression: claims.a}}]"),
            ),
            "are reserved for Kubernetes use",
        ),
        (
            one(issuer, &format!("{user}, extra: [{{key: 'a.example/a'}}]")),
            "valueExpression: Required value",
        ),
        (
            one(issuer, user) + "  claimValidationRules: [{}]\n",
            "jwt[0].claimValidationRules[0]: Required value: claim or expression is required",
        ),
        (
            one(issuer, user) + "  claimValidationRules: [{claim: a, message: m}]\n",
            "may not be specified when claim is set",
        ),
        (
            one(issuer, user) + "  claimValidationRules: [{claim: a}, {claim: a}]\n",
            "jwt[0].claimValidationRules[1].claim: Duplicate value: \"a\"",
        ),
        (
            one(issuer, user) + "  claimValidationRules: [{expression: '1'}]\n",
            "must evaluate to bool",
        ),
        (
            one(issuer, user) + "  userValidationRules: [{}]\n",
            "jwt[0].userValidationRules[0].expression: Required value",
        ),
        (
            one(issuer, user) + "  userValidationRules: [{expression: claims.a == 'b'}]\n",
            "undeclared reference to 'claims'",
        ),
        (
            one(issuer, user) + "  nope: 1\n",
            "strict decoding error: unknown field `nope`",
        ),
        (
            format!(
                "{}- issuer: {{{issuer}}}\n  claimMappings: {{{user}}}\n",
                one(issuer, user)
            ),
            "jwt[1].issuer.url: Duplicate value: \"https://a.example\"",
        ),
        (
            "anonymous: {enabled: false, conditions: [{path: /livez}]}\n".to_owned(),
            "anonymous.conditions: Invalid value",
        ),
        ("jwt: 5\n".to_owned(), "strict decoding error"),
    ];
    counted("configurations of issuers", cases.len());
    for (text, why) in cases {
        let told = wrong(&text).await;
        assert!(told.contains(why), "{text}: {told}");
    }
    let many = format!("jwt:\n{}", format!("- issuer: {{{issuer}}}\n").repeat(65));
    assert!(wrong(&many).await.contains("must have at most 64 items"));
    for (text, why) in [
        ("", "empty config data"),
        (
            "kind: AuthenticationConfiguration\napiVersion: v1\n",
            "no kind \"AuthenticationConfiguration\" is registered for version \"v1\"",
        ),
        (
            "apiVersion: apiserver.config.k8s.io/v1\n",
            "Object 'Kind' is missing",
        ),
        ("apiVersion: [", ""),
        ("5", ""),
    ] {
        let told = AuthenticationConfiguration::parse(text).unwrap_err();
        assert!(told.contains(why), "{text}: {told}");
    }
}
