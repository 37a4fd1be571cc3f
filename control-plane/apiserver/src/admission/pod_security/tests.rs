//! The rules, a line a case, and stories of namespaces.

mod bypasses;
mod standards;

use super::{Configuration, Level, Policy, Standard, Version, checks, pod::Pod};
use crate::{
    admission::{Attributes, Operation, Plugin, Rounds},
    handler::Call,
};

fn standard(text: &str) -> Standard {
    let (level, version) = text.split_once(':').unwrap();
    Standard {
        level: Level::parse(level).unwrap(),
        version: Version::parse(version).unwrap(),
    }
}

fn pod(json: &str) -> Pod {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn broken(by: &str, json: &str) -> String {
    checks::in_full(&checks::evaluate(standard(by), &pod(json)))
}

/// A pod that breaks nothing, but for `more` in its spec and `container` in its container's security context.
fn good(more: &str, container: &str) -> String {
    format!(
        r#"{{"spec":{{{more}"containers":[{{"name":"c","securityContext":{{{container}"allowPrivilegeEscalation":false,
        "runAsNonRoot":true,"seccompProfile":{{"type":"RuntimeDefault"}},"capabilities":{{"drop":["ALL"]}}}}}}]}}}}"#
    )
}

#[test]
fn a_plain_pod_is_told_what_the_restricted_level_wants() {
    let plain = r#"{"spec":{"containers":[{"name":"nginx"}]}}"#;
    assert_eq!(broken("baseline:latest", plain), "");
    assert_eq!(
        broken("restricted:latest", plain),
        r#"allowPrivilegeEscalation != false (container "nginx" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "nginx" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "nginx" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "nginx" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#
    );
    assert_eq!(broken("restricted:latest", &good("", "")), "");
    // Releases brought the rules one after the other.
    assert_eq!(
        broken("restricted:v1.7", plain),
        r#"runAsNonRoot != true (pod or container "nginx" must set securityContext.runAsNonRoot=true)"#
    );
}

#[test]
fn the_baseline() {
    let context = |text: &str| {
        format!(
            r#"{{"spec":{{"initContainers":[{{"name":"a","securityContext":{{{text}}}}}],"containers":[{{"name":"b","securityContext":{{{text}}}}}]}}}}"#
        )
    };
    let of_pod = |text: &str| format!(r#"{{"spec":{{"securityContext":{{{text}}}}}}}"#);
    for (by, json, words) in [
        (
            "latest",
            r#"{"spec":{"hostNetwork":true,"hostPID":true,"hostIPC":true}}"#.to_owned(),
            "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
        ),
        ("latest", context(r#""privileged":true"#), r#"privileged (containers "a", "b" must not set securityContext.privileged=true)"#),
        (
            "latest",
            context(r#""capabilities":{"add":["NET_RAW","CHOWN","SYS_ADMIN"]}"#),
            r#"non-default capabilities (containers "a", "b" must not include "NET_RAW", "SYS_ADMIN" in securityContext.capabilities.add)"#,
        ),
        (
            "latest",
            r#"{"spec":{"volumes":[{"name":"v","hostPath":{"path":"/"}},{"name":"w","emptyDir":{}}]}}"#.to_owned(),
            r#"hostPath volumes (volume "v")"#,
        ),
        (
            "latest",
            r#"{"spec":{"containers":[{"name":"c","ports":[{"hostPort":80},{"containerPort":1},{"hostPort":443}]}]}}"#.to_owned(),
            r#"hostPort (container "c" uses hostPorts 443, 80)"#,
        ),
        (
            "latest",
            r#"{"spec":{"containers":[{"name":"c","livenessProbe":{"httpGet":{"host":"h"}},"lifecycle":{"preStop":{"tcpSocket":{"host":"i"}}}}]}}"#.to_owned(),
            r#"probe or lifecycle host (container "c" uses probe or lifecycle hosts "h", "i")"#,
        ),
        (
            "v1.33",
            r#"{"spec":{"containers":[{"name":"c","livenessProbe":{"httpGet":{"host":"h"}}}]}}"#.to_owned(),
            "",
        ),
        (
            "latest",
            context(r#""procMount":"Unmasked""#),
            r#"procMount (containers "a", "b" must not set securityContext.procMount to "Unmasked")"#,
        ),
        ("latest", good(r#""hostUsers":false,"#, r#""procMount":"Unmasked","#), ""),
        (
            "latest",
            of_pod(r#""seLinuxOptions":{"type":"spc_t","user":"u","role":"r"}"#),
            r#"seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set)"#,
        ),
        ("latest", of_pod(r#""seLinuxOptions":{"type":"container_engine_t"}"#), ""),
        (
            "v1.30",
            of_pod(r#""seLinuxOptions":{"type":"container_engine_t"}"#),
            r#"seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "container_engine_t")"#,
        ),
        (
            "latest",
            context(r#""seccompProfile":{"type":"Unconfined"}"#),
            r#"seccompProfile (containers "a", "b" must not set securityContext.seccompProfile.type to "Unconfined")"#,
        ),
        (
            "v1.18",
            r#"{"metadata":{"annotations":{"seccomp.security.alpha.kubernetes.io/pod":"unconfined"}}}"#.to_owned(),
            r#"seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")"#,
        ),
        (
            "latest",
            of_pod(r#""sysctls":[{"name":"kernel.msgmax"},{"name":"net.ipv4.tcp_rmem"}]"#),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            "v1.31",
            of_pod(r#""sysctls":[{"name":"net.ipv4.tcp_rmem"}]"#),
            "forbidden sysctls (net.ipv4.tcp_rmem)",
        ),
        (
            "latest",
            of_pod(r#""windowsOptions":{"hostProcess":true}"#),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            "latest",
            r#"{"metadata":{"annotations":{"container.apparmor.security.beta.kubernetes.io/a":"unconfined"}},"spec":{"securityContext":{"appArmorProfile":{"type":"Unconfined"}}}}"#.to_owned(),
            r#"forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to "Unconfined", "container.apparmor.security.beta.kubernetes.io/a="unconfined"")"#,
        ),
    ] {
        assert_eq!(broken(&format!("baseline:{by}"), &json), words, "{json}");
    }
}

#[test]
fn the_restricted_level() {
    for (by, json, words) in [
        (
            "latest",
            good(r#""volumes":[{"name":"v","nfs":{}},{"name":"h","hostPath":{}},{"name":"s","secret":{}}],"#, ""),
            r#"restricted volume types (volumes "v", "h" use restricted volume types "hostPath", "nfs")"#,
        ),
        (
            "latest",
            good("", "").replace(r#""drop":["ALL"]"#, r#""drop":["ALL"],"add":["CHOWN","NET_BIND_SERVICE"]"#),
            r#"unrestricted capabilities (container "c" must not include "CHOWN" in securityContext.capabilities.add)"#,
        ),
        (
            "latest",
            good(r#""securityContext":{"runAsUser":0},"#, r#""runAsUser":0,"#),
            r#"runAsUser=0 (pod and container "c" must not set runAsUser=0)"#,
        ),
        ("v1.22", good("", r#""runAsUser":0,"#), ""),
        ("latest", good(r#""hostUsers":false,"#, r#""runAsUser":0,"#), ""),
        (
            "latest",
            good(r#""hostUsers":false,"#, r#""procMount":"Unmasked","#),
            r#"procMount (container "c" must not set securityContext.procMount to "Unmasked")"#,
        ),
        (
            "latest",
            good(r#""securityContext":{"runAsNonRoot":false},"#, ""),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            "latest",
            r#"{"spec":{"os":{"name":"windows"},"securityContext":{"runAsNonRoot":true},"containers":[{"name":"c"}]}}"#.to_owned(),
            "",
        ),
    ] {
        assert_eq!(broken(&format!("restricted:{by}"), &json), words, "{json}");
    }
}

fn policy(labels: &[(&'static str, &'static str)]) -> (String, Vec<String>) {
    let find = |key: &str| {
        let key = key.strip_prefix("pod-security.kubernetes.io/")?;
        labels
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| *value)
    };
    let (Policy { enforce, audit, warn }, errors) = Policy::default().of(find);
    let errors = errors.iter().map(ToString::to_string).collect();
    (format!("{enforce} {audit} {warn}"), errors)
}

#[test]
fn labels_make_a_policy() {
    let fine = |labels, wanted: &str| assert_eq!(policy(labels), (wanted.to_owned(), Vec::new()));
    fine(&[], "privileged:latest privileged:latest privileged:latest");
    // Who is refused by it is warned of it.
    fine(
        &[("enforce", "baseline"), ("enforce-version", "v1.30")],
        "baseline:v1.30 privileged:latest baseline:v1.30",
    );
    fine(
        &[
            ("enforce", "baseline"),
            ("warn", "privileged"),
            ("audit", "restricted"),
        ],
        "baseline:latest restricted:latest privileged:latest",
    );
    let (said, errors) = policy(&[("enforce", "strict"), ("warn-version", "1.30")]);
    assert_eq!(said, "restricted:latest privileged:latest privileged:latest");
    assert_eq!(
        errors,
        [
            "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, \
             baseline, restricted",
            "metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"1.30\": must be \"latest\" or \
             \"v1.x\""
        ]
    );
}

mod stories {
    use super::*;
    use crate::{admission::resource_quota::story::Story, fixture, server::Server};
    use api::{Gvr, Object};
    use bytes::Bytes;
    use client::{Patch, Target, Write};
    use component::Env;
    use std::sync::Arc;

    const PODS: Gvr = Gvr::new("", "v1", "pods");

    struct Plain {
        story: Story,
        plugin: super::super::PodSecurity,
    }

    /// A server, and the plugin apart, to see what it notes.
    async fn start(configuration: Configuration) -> Plain {
        let env = Env::simulated(7);
        let store = etcd::Engine::in_memory(env.clone()).unwrap();
        let mut config = fixture::config(store, resources::table().to_vec(), fixture::no_nodes());
        config.admission.configuration.pod_security = configuration.clone();
        let story = Story::start(config, &env).await;
        let plugin = super::super::PodSecurity {
            reader: Server::reader(&story.server),
            default: configuration.policy().0,
            exemptions: configuration.exemptions,
        };
        Plain { story, plugin }
    }

    impl Plain {
        async fn label(&self, labels: &str) -> Result<Arc<Object>, api::Status> {
            let patch = format!(r#"{{"metadata":{{"labels":{{{labels}}}}}}}"#);
            let target = Target::object(&super::super::NAMESPACES, &api::Key::new("", "default"));
            self.story
                .client
                .write(target, Write::Patch(Patch::Merge, patch.into()))
                .await
        }

        /// What the plugin says to an object, and what it notes.
        fn ask(&self, resource: &str, user: &str, json: &str) -> (Option<String>, Vec<String>, Vec<String>) {
            let mut call = Call::default();
            call.attributes.resource = resource.to_owned();
            call.attributes.group = if resource == "deployments" { "apps" } else { "" }.to_owned();
            call.attributes.namespace = "default".to_owned();
            call.attributes.user = Arc::new(crate::security::User::new(user, &[]));
            let object = Object::parse(Bytes::from(json.to_owned()), 0, &[]).unwrap();
            let attributes = Attributes {
                call: &call,
                operation: Operation::Create,
                place: None,
                kind: api::Gvk::new("", "v1", "Pod"),
                name: "p",
                object: Some(Arc::new(object)),
                old: None,
                delete: None,
                rounds: Rounds::default(),
                normal: None,
            };
            let said = match self.plugin.validates(&attributes) {
                true => self
                    .plugin
                    .validate(&attributes)
                    .err()
                    .map(|status| status.message),
                false => None,
            };
            let notes = attributes.notes().annotations();
            let notes = notes
                .into_iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            (said, attributes.notes().take_warnings(), notes)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_breaks_the_level_is_refused_warned_of_and_noted() {
        let plain = start(Configuration::default()).await;
        plain
            .label(r#""pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/audit":"restricted""#)
            .await
            .unwrap();
        let bad = r#"{"metadata":{"name":"p"},"spec":{"hostNetwork":true,"containers":[{"name":"c","image":"i"}]}}"#;
        let (refused, warnings, notes) = plain.ask("pods", "jane", bad);
        assert_eq!(
            refused.unwrap(),
            "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"
        );
        assert!(warnings.is_empty());
        assert_eq!(
            notes[0],
            "pod-security.kubernetes.io/enforce-policy=baseline:latest"
        );
        let audit = "pod-security.kubernetes.io/audit-violations=would violate PodSecurity \"restricted:latest\": host";
        assert!(notes[1].starts_with(audit), "{notes:?}");
        // A workload is only warned.
        let workload = format!(r#"{{"metadata":{{"name":"d"}},"spec":{{"template":{bad}}}}}"#);
        let (refused, warnings, _) = plain.ask("deployments", "jane", &workload);
        let warning = "would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
        assert_eq!((refused, warnings), (None, vec![warning.to_owned()]));
        // The server asks it.
        let refused = plain.story.create(&PODS, bad).await.unwrap_err();
        assert!(
            refused
                .message
                .contains("violates PodSecurity \"baseline:latest\""),
            "{refused}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn labels_that_are_wrong_are_refused_and_existing_pods_are_told_of() {
        let plain = start(Configuration::default()).await;
        let refused = plain
            .label(r#""pod-security.kubernetes.io/enforce":"strict""#)
            .await
            .unwrap_err();
        assert_eq!(
            refused.message,
            "Namespace \"default\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \
             \"strict\": must be one of privileged, baseline, restricted"
        );
        for name in ["b", "a"] {
            let pod = format!(
                r#"{{"metadata":{{"name":"{name}"}},"spec":{{"hostPID":true,"containers":[{{"name":"c","image":"i"}}]}}}}"#
            );
            plain.story.create(&PODS, &pod).await.unwrap();
        }
        assert_eq!(
            plain.plugin.existing("default", standard("baseline:latest")),
            [
                "existing pods in namespace \"default\" violate the new PodSecurity enforce level \"baseline:latest\"",
                "a (and 1 other pod): host namespaces"
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn some_are_exempt() {
        let configuration: Configuration = serde_json::from_str(
            r#"{"defaults":{"enforce":"baseline"},"exemptions":{"usernames":["root"],"runtimeClasses":["kata"]}}"#,
        )
        .unwrap();
        configuration.check().unwrap();
        let plain = start(configuration).await;
        let bad = |class: &str| {
            format!(
                r#"{{"metadata":{{"name":"p"}},"spec":{{{class}"hostPID":true,"containers":[{{"name":"c"}}]}}}}"#
            )
        };
        assert!(plain.ask("pods", "jane", &bad("")).0.is_some());
        let exempt = |why: &str| vec![format!("pod-security.kubernetes.io/exempt={why}")];
        assert_eq!(
            plain.ask("pods", "root", &bad("")),
            (None, Vec::new(), exempt("user"))
        );
        let kata = bad(r#""runtimeClassName":"kata","#);
        assert_eq!(
            plain.ask("pods", "jane", &kata),
            (None, Vec::new(), exempt("runtimeClass"))
        );
    }

    #[test]
    fn a_wrong_configuration_is_told() {
        let check = |text: &str| serde_json::from_str::<Configuration>(text).unwrap().check();
        assert_eq!(
            check(r#"{"defaults":{"enforce":"x"},"exemptions":{"usernames":["a","a"]}}"#).unwrap_err(),
            "[defaults.enforce: Invalid value: \"x\": must be one of privileged, baseline, restricted, \
             exemptions.usernames[1]: Duplicate value: \"a\"]"
        );
    }
}
