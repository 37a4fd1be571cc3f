//! Tokens of service accounts that are broken, or that nobody signed who may.

use super::{
    super::{bearer, outside, review, server},
    ROBOT, good,
};
use crate::security::stories::{ISSUER, bad_input::counted, log::Log};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use component::jwt::Key;
use ring::{hmac, rand::SystemRandom, signature};

/// A token with any header and payload, signed by `sign`.
fn token(header: &str, payload: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let text = format!("{}.{}", BASE64.encode(header), BASE64.encode(payload));
    let signature = sign(text.as_bytes());
    format!("{text}.{}", BASE64.encode(signature))
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

/// A token is not believed more for what its key is called: a name is looked up among ours, and leads nowhere else.
#[tokio::test]
async fn names_of_keys_lead_nowhere() {
    let env = outside();
    let guarded = server(&env, |_| {}).await;
    let claims = serde_json::to_vec(&good(&guarded).await).unwrap();
    let key = Key::from_pem(&guarded.key).unwrap();
    let der: String = guarded
        .key
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let der = base64::engine::general_purpose::STANDARD.decode(der).unwrap();
    let (random, with) = (SystemRandom::new(), &signature::ECDSA_P256_SHA256_FIXED_SIGNING);
    let pair = signature::EcdsaKeyPair::from_pkcs8(with, &der, &random).unwrap();
    let ours = |text: &[u8]| pair.sign(&random, text).unwrap().as_ref().to_vec();
    let secret = |secret: &'static [u8]| {
        move |text: &[u8]| {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
            hmac::sign(&secret, text).as_ref().to_vec()
        }
    };
    let headed = |alg: &str, kid: &str| format!(r#"{{"alg":"{alg}","kid":{kid}}}"#);
    let named = headed("ES256", &format!("{:?}", key.id()));
    assert_eq!(bearer(&guarded, &token(&named, &claims, ours)).await, ROBOT);
    let nameless = token(r#"{"alg":"ES256"}"#, &claims, ours);
    assert_eq!(bearer(&guarded, &nameless).await, ROBOT, "all keys are tried");
    let long = format!("{:?}", "k".repeat(8 << 10));
    let enormous = format!("{:?}", "k".repeat(1 << 20));
    let inside = format!(r#""{}\u0000""#, key.id());
    let names = [
        r#""../../../../../etc/passwd""#,
        r#""../../../../../dev/null""#,
        r#""/dev/null""#,
        r#""file:///dev/null""#,
        r#""https://evil.example.com/keys.json""#,
        r#""%2e%2e%2f%2e%2e%2fdev%2fnull""#,
        r#""..\\..\\nul""#,
        r#""\u0000""#,
        &inside,
        r#""a\nlevel=error forged=line""#,
        r#""\u001b[2J""#,
        r#""' OR '1'='1""#,
        r#""; DROP TABLE keys""#,
        r#""$(reboot)""#,
        r#""{{7*7}}""#,
        r#""{\"kty\":\"oct\",\"k\":\"\"}""#,
        r#"" ""#,
        r#""*""#,
        &long,
        &enormous,
        r#"{"kty":"oct","k":""}"#,
        r#"["a","b"]"#,
        "7",
        "true",
        r#""\ud800""#,
    ];
    let log = Log::keep();
    for kid in names {
        for (alg, forged) in [
            ("ES256", token(&headed("ES256", kid), &claims, ours)),
            ("HS256", token(&headed("HS256", kid), &claims, secret(b""))),
            ("HS256", token(&headed("HS256", kid), &claims, secret(b"k"))),
            ("none", token(&headed("none", kid), &claims, |_| Vec::new())),
        ] {
            let kid = &kid[..kid.len().min(60)];
            log.said();
            assert_eq!(bearer(&guarded, &forged).await, "401", "{alg} {kid}");
            let said = log.said();
            assert!(!said.is_empty() && said.len() < 4096, "{alg} {kid}: {said}");
            assert!(!said.contains("\nlevel=error forged"), "{said}");
            let told = review(&guarded, &forged).await;
            assert!(told.contains("invalid bearer token"), "{alg} {kid}: {told}");
        }
    }
    counted("names of keys", names.len() * 4);
    // A header that brings its own key or says where it is.
    let jwk = serde_json::to_string(&key.public().jwk()).unwrap();
    for more in [
        format!(r#""jwk":{jwk}"#),
        r#""jku":"https://evil.example.com/keys.json""#.to_owned(),
        r#""x5u":"https://evil.example.com/chain.pem""#.to_owned(),
        r#""x5c":["MIIB"]"#.to_owned(),
    ] {
        let other = crate::security::stories::key();
        let signed = Key::from_pem(&other).unwrap();
        let header = format!(r#"{{"alg":"ES256","kid":"{}",{more}}}"#, signed.id());
        let forged = token(&header, &claims, secret(b""));
        assert_eq!(bearer(&guarded, &forged).await, "401", "{more}");
    }
    assert_eq!(bearer(&guarded, &token(&named, &claims, ours)).await, ROBOT);
}
