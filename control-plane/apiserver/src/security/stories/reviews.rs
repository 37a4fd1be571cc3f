//! Reviews that ask amiss.

use super::{bad_input::counted, guarded_by, key, settings};
use crate::{http::stories::Http, security::authentication::TokenFile};
use component::Env;

#[tokio::test(start_paused = true)]
async fn reviews_that_ask_amiss_are_refused_in_upstreams_words() {
    let env = Env::simulated(11);
    let mut made = settings(&env, &key());
    let file = TokenFile::parse("tokens", "secret,root,1,system:masters\n").unwrap();
    made.authentication.token_file = Some(file.into());
    let guarded = guarded_by(made).await;
    let mut http = Http::new(&guarded.server).await;
    let mut ask = async |url: &str, kind: &str, more: &str| {
        let (group, _) = url.strip_prefix("/apis/").unwrap().split_once('/').unwrap();
        let body = format!(r#"{{"apiVersion":"{group}/v1","kind":"{kind}",{more}}}"#);
        let told = http
            .ask("POST", url, &[("authorization", "Bearer secret")], &body)
            .await;
        (told.code, told.text)
    };
    let any = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let own = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let local = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";
    let rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let tokens = "/apis/authentication.k8s.io/v1/tokenreviews";
    let pods = r#""resourceAttributes":{"namespace":"default","verb":"get","resource":"pods"}"#;
    let path = r#""nonResourceAttributes":{"path":"/x","verb":"get"}"#;
    let (all, mine, there, which) = (
        "SubjectAccessReview",
        "SelfSubjectAccessReview",
        "LocalSubjectAccessReview",
        "SelfSubjectRulesReview",
    );
    let cases = [
        (
            any,
            all,
            r#""spec":{"user":"a"}"#.to_owned(),
            422,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            any,
            all,
            format!(r#""spec":{{"user":"a",{pods},{path}}}"#),
            422,
            "cannot be specified in combination with resourceAttributes",
        ),
        (
            any,
            all,
            format!(r#""spec":{{{pods}}}"#),
            422,
            "spec.user: Invalid value: \\\"\\\": at least one of user or group must be specified",
        ),
        (
            any,
            all,
            format!(r#""metadata":{{"name":"x"}},"spec":{{"user":"a",{pods}}}"#),
            422,
            "must be empty",
        ),
        (
            any,
            all,
            format!(r#""metadata":{{"namespace":"default"}},"spec":{{"user":"a",{pods}}}"#),
            422,
            "must be empty",
        ),
        (
            any,
            all,
            r#""spec":{"user":7}"#.to_owned(),
            400,
            "cannot be handled as a SubjectAccessReview",
        ),
        (any, "Pod", format!(r#""spec":{{"user":"a",{pods}}}"#), 400, ""),
        (own, mine, r#""spec":{}"#.to_owned(), 422, "exactly one of"),
        (
            own,
            mine,
            format!(r#""metadata":{{"labels":{{"a":"b"}}}},"spec":{{{pods}}}"#),
            422,
            "must be empty",
        ),
        (
            local,
            there,
            format!(r#""spec":{{"user":"a",{}}}"#, pods.replace("default", "other")),
            422,
            "spec.resourceAttributes.namespace: Invalid value: \\\"other\\\": must match metadata.namespace",
        ),
        (
            local,
            there,
            format!(r#""metadata":{{"namespace":"other"}},"spec":{{"user":"a",{pods}}}"#),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            local,
            there,
            format!(r#""spec":{{"user":"a",{path}}}"#),
            422,
            "disallowed on this kind of request",
        ),
        (
            rules,
            which,
            r#""spec":{}"#.to_owned(),
            400,
            "no namespace on request",
        ),
        (
            tokens,
            "TokenReview",
            r#""spec":{}"#.to_owned(),
            400,
            "token is required for TokenReview in authentication",
        ),
    ];
    counted("reviews", cases.len());
    for (url, kind, more, code, why) in cases {
        let (said, text) = ask(url, kind, &more).await;
        assert_eq!(said, code, "{more}: {text}");
        assert!(text.contains(why), "{more}: {text}");
    }
    for (url, kind, more) in [
        (
            any,
            all,
            format!(r#""metadata":{{"creationTimestamp":null}},"spec":{{"user":"a",{pods}}}"#),
        ),
        (
            local,
            there,
            format!(r#""metadata":{{"namespace":"default"}},"spec":{{"groups":["system:masters"],{pods}}}"#),
        ),
        (own, mine, format!(r#""metadata":{{}},"spec":{{{path}}}"#)),
    ] {
        let (code, text) = ask(url, kind, &more).await;
        assert_eq!(code, 201, "{text}");
        assert!(
            text.contains(if url == any {
                r#""allowed":false"#
            } else {
                r#""allowed":true"#
            }),
            "{text}"
        );
    }
    guarded.env.tasks.stop();
}
