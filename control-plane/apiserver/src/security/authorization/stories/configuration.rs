//! Stories of how authorizers are configured.

use super::{asks, now};
use crate::{
    fixture,
    security::{
        Rbac,
        authorization::{Configuration, Configured, Maker, Mode, Reloading},
        stories::bad_input::counted,
    },
};
use component::Env;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

fn configured(authorizers: &str) -> String {
    format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n{authorizers}"
    )
}

/// An authorizer with a webhook, with `change` in place of lines of it.
pub(super) fn hook(file: &str, change: &[(&str, &str)]) -> String {
    let mut text = format!(
        "- type: Webhook\n  name: hook\n  webhook:\n    timeout: 3s\n    subjectAccessReviewVersion: v1\n    \
         failurePolicy: Deny\n    connectionInfo:\n      type: KubeConfigFile\n      kubeConfigFile: {file}\n"
    );
    for (from, to) in change {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    configured(&text)
}

#[test]
fn configurations_are_checked_in_upstreams_words() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kubeconfig");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let conditions = |list: &str| {
        let text = format!(
            "    matchConditionSubjectAccessReviewVersion: v1\n    matchConditions:\n{list}    failurePolicy: Deny\n"
        );
        hook(file, &[("    failurePolicy: Deny\n", &text)])
    };
    let at = "authorizers[0]";
    let cases = [
        (
            "".to_owned(),
            "failed to load AuthorizationConfiguration from file: ",
        ),
        (
            "\tx".to_owned(),
            "failed to load AuthorizationConfiguration from file: ",
        ),
        (
            "kind: Other".to_owned(),
            "failed to load AuthorizationConfiguration from file: no kind \"Other\" is registered for version \"\"",
        ),
        (
            configured("").replace("authorizers:\n", "authorizerz: []"),
            "failed to load AuthorizationConfiguration from file: strict decoding error: unknown field \"authorizerz\"",
        ),
        (
            configured("").replace("/v1\n", "/v7\n"),
            "failed to load AuthorizationConfiguration from file: no kind \"AuthorizationConfiguration\" is registered for version \"apiserver.config.k8s.io/v7\"",
        ),
        (
            configured("  []"),
            "authorizers: Required value: at least one authorization mode must be defined",
        ),
        (configured("- name: x"), "authorizers[0].type: Required value"),
        (
            configured("- {type: Oracle, name: x}"),
            "authorizers[0].type: Unsupported value: \"Oracle\": supported values: \"ABAC\", \"AlwaysAllow\", \"AlwaysDeny\", \"Node\", \"RBAC\", \"Webhook\"",
        ),
        (
            configured("- {type: RBAC, name: rbac}\n- {type: RBAC, name: two}"),
            "authorizers[1].type: Duplicate value: \"RBAC\"",
        ),
        (
            configured("- {type: RBAC}"),
            "authorizers[0].name: Required value",
        ),
        (
            configured("- {type: RBAC, name: mine}"),
            "expected name rbac for authorizer RBAC instead of mine",
        ),
        (
            configured("- {type: RBAC, name: Not-Good}"),
            "authorizers[0].name: Invalid value: \"Not-Good\": authorizer name is invalid: ",
        ),
        (
            configured("- {type: Node, name: x}\n- {type: RBAC, name: x}"),
            "authorizers[1].name: Duplicate value: \"x\"",
        ),
        (
            configured("- {type: Webhook, name: x}"),
            "authorizers[0].webhook: Required value: required when type=Webhook",
        ),
        (
            configured("- {type: RBAC, name: rbac, webhook: {}}"),
            "authorizers[0].webhook: Invalid value: \"non-null\": may only be specified when type=Webhook",
        ),
        (
            hook(file, &[("    timeout: 3s\n", "")]),
            "authorizers[0].timeout: Required value",
        ),
        (
            hook(file, &[("3s", "31s")]),
            "authorizers[0].timeout: Invalid value: \"31s\": must be > 0s and <= 30s",
        ),
        (
            hook(file, &[("3s", "-1s")]),
            "authorizers[0].timeout: Invalid value: \"-1s\": must be > 0s and <= 30s",
        ),
        (
            hook(file, &[("3s", "soon")]),
            "failed to load AuthorizationConfiguration from file: time: invalid duration \"soon\"",
        ),
        (
            hook(
                file,
                &[("    timeout: 3s\n", "    timeout: 3s\n    authorizedTTL: -1s\n")],
            ),
            "authorizers[0].authorizedTTL: Invalid value: \"-1s\": must be > 0s",
        ),
        (
            hook(
                file,
                &[("    timeout: 3s\n", "    timeout: 3s\n    unauthorizedTTL: -1s\n")],
            ),
            "authorizers[0].unauthorizedTTL: Invalid value: \"-1s\": must be > 0s",
        ),
        (
            hook(file, &[("    subjectAccessReviewVersion: v1\n", "")]),
            "authorizers[0].subjectAccessReviewVersion: Required value",
        ),
        (
            hook(file, &[("Version: v1\n", "Version: v2\n")]),
            "authorizers[0].subjectAccessReviewVersion: Unsupported value: \"v2\": supported values: \"v1\", \"v1beta1\"",
        ),
        (
            hook(file, &[("    failurePolicy: Deny\n", "")]),
            "authorizers[0].failurePolicy: Required value",
        ),
        (
            hook(file, &[("Deny", "Allow")]),
            "authorizers[0].failurePolicy: Unsupported value: \"Allow\": supported values: \"NoOpinion\", \"Deny\"",
        ),
        (
            hook(
                file,
                &[(
                    "    failurePolicy: Deny\n",
                    "    failurePolicy: Deny\n    url: x\n",
                )],
            ),
            "failed to load AuthorizationConfiguration from file: strict decoding error: unknown field \"url\"",
        ),
        (
            hook(file, &[("      type: KubeConfigFile\n", "")]),
            "authorizers[0].connectionInfo.type: Required value",
        ),
        (
            hook(file, &[("type: KubeConfigFile", "type: Pigeon")]),
            "authorizers[0].connectionInfo.type: Unsupported value: \"Pigeon\": supported values: \"InClusterConfig\", \"KubeConfigFile\"",
        ),
        (
            hook(file, &[("type: KubeConfigFile", "type: InClusterConfig")]),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: ",
        ),
        (
            hook(file, &[(file, "\"\"")]),
            "authorizers[0].connectionInfo.kubeConfigFile: Required value",
        ),
        (
            hook(file, &[(file, "here.conf")]),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"here.conf\": must be an absolute path",
        ),
        (
            hook(file, &[(file, "/nowhere/x")]),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/nowhere/x\": error loading file: stat /nowhere/x: no such file or directory",
        ),
        (
            hook(file, &[(file, "/")]),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/\": must be a regular file",
        ),
        (
            conditions("    - expression: \"\"\n"),
            "authorizers[0].matchConditions[0].expression: Required value",
        ),
        (
            conditions("    - expression: \"true\"\n    - expression: \"true\"\n"),
            "authorizers[0].matchConditions[1].expression: Duplicate value: \"true\"",
        ),
        (
            conditions("    - expression: \"request.user +\"\n"),
            "authorizers[0].matchConditions[0].expression: Invalid value: \"request.user +\": compilation failed: ",
        ),
        (
            conditions("    - expression: request.user\n"),
            "authorizers[0].matchConditions[0].expression: Invalid value: \"request.user\": must evaluate to bool but got string",
        ),
        (
            conditions("    - expression: request.nobody == 'x'\n"),
            "authorizers[0].matchConditions[0].expression: Invalid value: ",
        ),
        (
            conditions(&"    - expression: \"true\"\n".repeat(65)),
            "authorizers[0].matchConditions: Too many: 65: must have at most 64 items",
        ),
        (
            conditions("    - expression: \"true\"\n")
                .replace("    matchConditionSubjectAccessReviewVersion: v1\n", ""),
            "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are specified",
        ),
        (
            conditions("    - expression: \"true\"\n").replace(
                "matchConditionSubjectAccessReviewVersion: v1",
                "matchConditionSubjectAccessReviewVersion: v1beta1",
            ),
            "authorizers[0].matchConditionSubjectAccessReviewVersion: Unsupported value: \"v1beta1\": supported values: \"v1\"",
        ),
    ];
    counted("configurations of authorizers", cases.len());
    for (text, why) in cases {
        let error = Configuration::parse(text.as_bytes()).unwrap_err();
        let listed = format!("[{why}");
        assert!(
            error.starts_with(why) || error.starts_with(&listed),
            "{text}\n{error}\nnot {why} at {at}"
        );
    }
    let good =
        Configuration::parse(conditions("    - expression: has(request.resourceAttributes)\n").as_bytes());
    let good = good.unwrap().authorizers[0].webhook.clone().unwrap();
    assert_eq!(
        (good.authorized_ttl, good.unauthorized_ttl),
        (Duration::from_secs(300), Duration::from_secs(30))
    );
}

#[tokio::test(start_paused = true)]
async fn a_configuration_is_followed() {
    let (server, _) = fixture::server().await;
    let env = Env::simulated(5);
    let reader = server.reader();
    let maker = Maker {
        rbac: Arc::new(Rbac::new(reader.clone())),
        reader,
        abac: None,
        env: env.clone(),
    };
    let first = configured("- {type: AlwaysDeny, name: alwaysdeny}");
    let started = Configuration::parse(first.as_bytes()).unwrap();
    let reloading = Reloading::new(maker, started).unwrap();
    let file = Arc::new(Mutex::new(first.clone().into_bytes()));
    let read = file.clone();
    reloading.follow(
        Box::new(move || Ok(read.lock().unwrap().clone())),
        first.clone().into_bytes(),
    );
    let put = async |text: String| {
        *file.lock().unwrap() = text.into_bytes();
        env.clock.sleep(Duration::from_secs(70)).await;
    };
    let asked = asks("ann", &[], "get", "pods", "a");
    let allowed = || now(reloading.as_ref(), &asked).allowed();
    assert!(!allowed());
    put(configured("- {type: AlwaysAllow, name: alwaysallow}")).await;
    assert!(allowed());
    put(configured("- {type: Oracle, name: x}")).await;
    assert!(allowed(), "a broken one is not taken");
    put(configured("- {type: RBAC, name: rbac}")).await;
    assert!(allowed(), "RBAC was not there at the start");
    put(first).await;
    assert!(!allowed());
    let mut text = String::new();
    env.metrics.write(&mut text);
    let count = |status: &str, count: u32| {
        let name = "apiserver_authorization_config_controller_automatic_reloads_total";
        let line = format!("{name}{{status=\"{status}\",apiserver_id_hash=\"\"}} {count}");
        assert!(text.contains(&line), "{line}\n{text}");
    };
    count("success", 2);
    count("failure", 2);
    assert!(text.contains(
        r#"apiserver_authorization_decisions_total{type="AlwaysAllow",name="alwaysallow",decision="allowed"}"#
    ));
}

#[test]
fn authorizers_of_flags_are_called_as_upstream_calls_them() {
    let names = Mode::ALL.map(|mode| Configured::plain(mode).name);
    assert_eq!(
        names,
        ["abac", "alwaysallow", "alwaysdeny", "node", "rbac", "webhook"]
    );
}
