//! Stories of policies and settings.

use super::{
    super::{Audit, Batch, LogSettings, Mode, Policy, Settings, Truncate, policy::Wanted},
    asked, log, policy,
};
use crate::security::{Attributes, User};
use component::Env;
use std::{path::Path, sync::Arc, time::Duration};

#[test]
fn rules_choose_by_user_verb_resource_and_path() {
    let rules = "
- {level: None, userGroups: [ops], verbs: [get]}
- {level: Metadata, resources: [{group: '', resources: [secrets, 'pods/*', '*/scale']}]}
- {level: Request, namespaces: [kube-system, '']}
- {level: RequestResponse, resources: [{group: apps, resources: [deployments], resourceNames: [x]}], omitManagedFields: true}
- {level: Metadata, nonResourceURLs: ['/healthz*', /version]}
";
    let policy = Policy::parse(policy(rules).as_bytes()).unwrap();
    let level = |asked: &Attributes| policy.wants(asked).level.name();
    let path = |path: &str| Attributes {
        verb: "get".to_owned(),
        path: path.to_owned(),
        ..Attributes::default()
    };
    let apps = |name: &str| Attributes {
        group: "apps".to_owned(),
        name: name.to_owned(),
        ..asked("update", "deployments", "a")
    };
    let ops = Attributes {
        user: Arc::new(User::new("ops", &["ops"])),
        ..asked("get", "secrets", "a")
    };
    for (asked, wanted) in [
        (ops, "None"),
        (asked("get", "secrets", "a"), "Metadata"),
        (asked("get", "pods/log", "a"), "Metadata"),
        // As upstream: it is its own subresource.
        (asked("get", "pods", "a"), "Metadata"),
        (asked("get", "services", "a"), "None"),
        (asked("update", "things/scale", "a"), "Metadata"),
        (asked("get", "nodes", ""), "Request"),
        (asked("get", "services", "kube-system"), "Request"),
        (apps("x"), "RequestResponse"),
        (apps("y"), "None"),
        (path("/healthz/etcd"), "Metadata"),
        (path("/version"), "Metadata"),
        (path("/metrics"), "None"),
    ] {
        assert_eq!(level(&asked), wanted, "{asked:?}");
    }
    let Wanted {
        omit_managed_fields, ..
    } = policy.wants(&apps("x"));
    assert!(omit_managed_fields);
}

#[test]
fn policies_that_cannot_be_gone_by_are_refused_in_upstreams_words() {
    for (text, why) in [
        ("\t".to_owned(), "failed decoding: "),
        ("[]".to_owned(), "failed decoding: "),
        ("{}".to_owned(), "failed decoding: Object 'Kind' is missing"),
        (
            "kind: Policy".to_owned(),
            "failed decoding: no kind \"Policy\" is registered for version \"\"",
        ),
        (
            policy("- {level: Metadata}").replace("/v1", "/v1beta1"),
            "failed decoding: no kind \"Policy\" is registered for version \"audit.k8s.io/v1beta1\"",
        ),
        (
            policy("- {level: Metadata}").replace("kind: Policy", "kind: Pod"),
            "failed decoding: no kind \"Pod\" is registered for version \"audit.k8s.io/v1\"",
        ),
        (policy("  []"), "loaded illegal policy with 0 rules"),
        (policy("- {level: 7}"), "failed decoding: "),
        (policy("- {}"), "rules[0].level: Required value"),
        (
            policy("- {level: Everything}"),
            "rules[0].level: Unsupported value: \"Everything\": supported values: \"None\", \"Metadata\", \"Request\", \"RequestResponse\"",
        ),
        (
            policy("- {level: None, omitStages: [Never]}"),
            "rules[0].omitStages[0]: Invalid value: \"Never\": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic",
        ),
        (
            policy("- {level: None}\nomitStages: [x]"),
            "omitStages[0]: Invalid value: \"x\": allowed stages are ",
        ),
        (
            policy("- {level: None, nonResourceURLs: [healthz]}"),
            "rules[0].nonResourceURLs[0]: Invalid value: \"healthz\": non-resource URL rules must begin with a '/' character",
        ),
        (
            policy("- {level: None, nonResourceURLs: ['/a/*/b']}"),
            "rules[0].nonResourceURLs[0]: Invalid value: \"/a/*/b\": non-resource URL wildcards '*' must be the final character of the rule",
        ),
        (
            policy("- {level: None, nonResourceURLs: [/a], namespaces: [b]}"),
            "rules[0].nonResourceURLs: Invalid value: [\"/a\"]: rules cannot apply to both regular resources and non-resource URLs",
        ),
        (
            policy("- {level: None, resources: [{group: rbac.authorization.k8s.io/v1}]}"),
            "rules[0].resources.group: Invalid value: \"rbac.authorization.k8s.io/v1\": a lowercase RFC 1123 subdomain",
        ),
        (
            policy("- {level: None, resources: [{resourceNames: [a]}]}"),
            "rules[0].resources.resourceNames: Invalid value: [\"a\"]: using resourceNames requires at least one resource",
        ),
    ] {
        let error = Policy::parse(text.as_bytes()).map(|_| ()).unwrap_err();
        assert!(error.starts_with(why), "{text}\n{error}");
    }
    // As upstream, which only warns of fields that it does not know.
    Policy::parse(policy("- {level: Metadata, sages: [x]}").as_bytes()).unwrap();
    let missing = Policy::read(Path::new("/nowhere/policy"))
        .map(|_| ())
        .unwrap_err();
    assert!(
        missing.starts_with("failed to read file path \"/nowhere/policy\": "),
        "{missing}"
    );
}

#[tokio::test]
async fn settings_that_cannot_be_gone_by_are_refused_in_upstreams_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let batch = Batch {
        buffer_size: 1,
        max_size: 1,
        max_wait: Duration::ZERO,
        throttle: None,
        several: false,
    };
    let of = |mode: Mode, truncate: Option<Truncate>| Settings {
        log: Some(LogSettings {
            truncate,
            ..log(&path, mode)
        }),
        ..Settings::default()
    };
    let throttled = |throttle| {
        Mode::Batch(Batch {
            throttle: Some(throttle),
            ..batch
        })
    };
    for (settings, why) in [
        (
            of(
                Mode::Batch(Batch {
                    buffer_size: 0,
                    ..batch
                }),
                None,
            ),
            "invalid audit batch log buffer size 0, must be a positive number",
        ),
        (
            of(Mode::Batch(Batch { max_size: 0, ..batch }), None),
            "invalid audit batch log max batch size 0, must be a positive number",
        ),
        (
            of(throttled((0.0, 1)), None),
            "invalid audit batch log throttle QPS 0, must be a positive number",
        ),
        (
            of(throttled((1.0, 0)), None),
            "invalid audit batch log throttle burst 0, must be a positive number",
        ),
        (
            of(
                Mode::Blocking,
                Some(Truncate {
                    max_batch_size: 9,
                    max_event_size: 0,
                }),
            ),
            "invalid audit truncate log max event size 0, must be a positive number",
        ),
        (
            of(
                Mode::Blocking,
                Some(Truncate {
                    max_batch_size: 1,
                    max_event_size: 2,
                }),
            ),
            "invalid audit truncate log max batch size 1, must be greater than max event size (2)",
        ),
    ] {
        assert_eq!(
            Audit::open(&settings, &Env::system()).map(|_| ()).unwrap_err(),
            why
        );
    }
    // Without a policy nothing is told.
    assert!(
        Audit::open(&of(Mode::Blocking, None), &Env::system())
            .unwrap()
            .is_none()
    );
}
