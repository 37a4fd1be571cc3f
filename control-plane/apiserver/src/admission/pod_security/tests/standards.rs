//! The standards against upstream's own cases (`pod-security-admission/test`): the least pod that a level takes, with one
//! thing changed, in each place where it can be.
#![expect(clippy::disallowed_types, reason = "pods are put together of parts")]

use super::{
    super::{checks, rules},
    broken, pod, standard,
};
use serde_json::{Value as Json, json};

/// Where a container stands.
const PLACES: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// The least that `restricted` takes, with a container in each place.
fn least() -> Json {
    let container = |name: &str| {
        json!({"name": name, "image": "i", "securityContext": {"allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]}}})
    };
    let mut pod = json!({"metadata": {}, "spec": {"securityContext": {"runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"}}}});
    for place in PLACES {
        pod["spec"][place] = json!([container(place)]);
    }
    pod
}

/// `into` with the members of `more`; a null takes one away.
fn merge(into: &mut Json, more: &Json) {
    let Some(more) = more.as_object() else {
        *into = more.clone();
        return;
    };
    if into.is_null() {
        *into = json!({});
    }
    for (name, value) in more {
        match value {
            Json::Null => drop(into.as_object_mut().unwrap().remove(name)),
            value => merge(&mut into[name], value),
        }
    }
}

/// What is wrong, in short, by a standard.
fn reasons(by: &str, changed: &Json) -> Vec<String> {
    let broken = checks::evaluate(standard(by), &pod(&changed.to_string()));
    broken.into_iter().map(|broken| broken.reason).collect()
}

/// That a change is taken (`reason` is empty) or is the one thing wrong.
fn case(by: &str, changed: &Json, reason: &str) {
    let found = reasons(by, changed);
    let wanted: Vec<&str> = Some(reason)
        .filter(|reason| !reason.is_empty())
        .into_iter()
        .collect();
    assert_eq!(
        found,
        wanted,
        "{by}: {}\n{changed}",
        broken(by, &changed.to_string())
    );
    // Who takes everything takes it.
    assert!(reasons("privileged:latest", changed).is_empty());
}

/// A change of a container, in each place.
fn of_container(by: &str, change: &Json, reason: &str) {
    for place in PLACES {
        let mut changed = least();
        merge(&mut changed["spec"][place][0], change);
        case(by, &changed, reason);
    }
}

/// A change of the pod.
fn of_pod(by: &str, change: &Json, reason: &str) {
    let mut changed = least();
    merge(&mut changed, change);
    case(by, &changed, reason);
}

/// A change of a security context, of the pod and of containers.
fn of_any(by: &str, context: &Json, reason: &str) {
    of_pod(by, &json!({"spec": {"securityContext": context}}), reason);
    of_container(by, &json!({"securityContext": context}), reason);
}

#[test]
fn the_least_pod_is_taken_by_every_release() {
    for release in (0..=37)
        .map(|minor| format!("v1.{minor}"))
        .chain(["latest".to_owned()])
    {
        for level in ["baseline", "restricted"] {
            case(&format!("{level}:{release}"), &least(), "");
        }
    }
}

#[test]
fn what_upstream_holds_against_the_baseline() {
    let by = "baseline:latest";
    let context = |context: Json| json!({"securityContext": context});
    for (change, reason) in [
        (context(json!({"privileged": true})), "privileged"),
        (context(json!({"privileged": false})), ""),
        (
            context(json!({"capabilities": {"add": ["NET_RAW"]}})),
            "non-default capabilities",
        ),
        // Names are what they are.
        (
            context(json!({"capabilities": {"add": ["chown"]}})),
            "non-default capabilities",
        ),
        (
            context(json!({"capabilities": {"add": ["CAP_CHOWN"]}})),
            "non-default capabilities",
        ),
        (
            context(json!({"capabilities": {"add": ["ALL"]}})),
            "non-default capabilities",
        ),
        (
            context(
                json!({"capabilities": {"add": ["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL",
            "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"]}}),
            ),
            "",
        ),
        (context(json!({"procMount": "Unmasked"})), "procMount"),
        (context(json!({"procMount": "Default"})), ""),
        (
            json!({"ports": [{"containerPort": 1, "hostPort": 12345}]}),
            "hostPort",
        ),
        (json!({"ports": [{"containerPort": 12345}]}), ""),
        (
            json!({"restartPolicy": "Always", "securityContext": {"privileged": true}}),
            "privileged",
        ),
    ] {
        of_container(by, &change, reason);
    }
    let probe = |kind: &str, host: &str| json!({kind: {"host": host, "port": 80}});
    for (change, reason) in [
        (
            json!({"livenessProbe": probe("httpGet", "bad.host")}),
            "probe or lifecycle host",
        ),
        (
            json!({"readinessProbe": probe("tcpSocket", "8.8.8.8")}),
            "probe or lifecycle host",
        ),
        (
            json!({"startupProbe": probe("httpGet", "8.8.8.8")}),
            "probe or lifecycle host",
        ),
        (
            json!({"lifecycle": {"postStart": probe("httpGet", "bad.host")}}),
            "probe or lifecycle host",
        ),
        (
            json!({"lifecycle": {"preStop": probe("tcpSocket", "bad.host")}}),
            "probe or lifecycle host",
        ),
        (json!({"livenessProbe": probe("httpGet", "")}), ""),
        (json!({"livenessProbe": {"exec": {"command": ["true"]}}}), ""),
    ] {
        of_container(by, &change, reason);
        of_container("baseline:v1.33", &change, "");
    }
    for (change, reason) in [
        (json!({"hostNetwork": true}), "host namespaces"),
        (json!({"hostPID": true}), "host namespaces"),
        (json!({"hostIPC": true}), "host namespaces"),
        (
            json!({"hostNetwork": false, "hostPID": false, "hostIPC": false}),
            "",
        ),
        (
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/a"}}]}),
            "hostPath volumes",
        ),
        (json!({"volumes": [{"name": "w", "emptyDir": {}}]}), ""),
        (
            json!({"securityContext": {"sysctls": [{"name": "othersysctl", "value": "1"}]}}),
            "forbidden sysctls",
        ),
        (
            json!({"securityContext": {"sysctls": [{"name": "net/ipv4/tcp_syncookies", "value": "1"}]}}),
            "forbidden sysctls",
        ),
        (
            json!({"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"},
            {"name": "net.ipv4.ping_group_range", "value": "1 0"}]}}),
            "",
        ),
    ] {
        of_pod(by, &json!({"spec": change}), reason);
    }
}

#[test]
fn what_upstream_holds_against_contexts_of_pods_and_containers() {
    let by = "baseline:latest";
    for (context, reason) in [
        (json!({"seLinuxOptions": {}}), ""),
        (json!({"seLinuxOptions": {"type": "container_t"}}), ""),
        (json!({"seLinuxOptions": {"type": "container_init_t"}}), ""),
        (json!({"seLinuxOptions": {"type": "container_kvm_t"}}), ""),
        (json!({"seLinuxOptions": {"type": "container_engine_t"}}), ""),
        (json!({"seLinuxOptions": {"level": "s0:c123,c456"}}), ""),
        (json!({"seLinuxOptions": {"type": "somevalue"}}), "seLinuxOptions"),
        (
            json!({"seLinuxOptions": {"type": "Container_t"}}),
            "seLinuxOptions",
        ),
        (json!({"seLinuxOptions": {"user": "somevalue"}}), "seLinuxOptions"),
        (json!({"seLinuxOptions": {"role": "somevalue"}}), "seLinuxOptions"),
        (
            json!({"seccompProfile": {"type": "Unconfined"}}),
            "seccompProfile",
        ),
        (
            json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}),
            "",
        ),
        (json!({"appArmorProfile": {"type": "RuntimeDefault"}}), ""),
        (
            json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "foo"}}),
            "",
        ),
        (
            json!({"appArmorProfile": {"type": "Unconfined"}}),
            "forbidden AppArmor profile",
        ),
        (json!({"windowsOptions": {}}), ""),
        (json!({"windowsOptions": {"hostProcess": false}}), ""),
        (json!({"windowsOptions": {"hostProcess": true}}), "hostProcess"),
    ] {
        of_any(by, &context, reason);
    }
    of_any(
        "baseline:v1.30",
        &json!({"seLinuxOptions": {"type": "container_engine_t"}}),
        "seLinuxOptions",
    );
    let annotated = |key: &str, value: &str| json!({"metadata": {"annotations": {key: value}}});
    let armor = "container.apparmor.security.beta.kubernetes.io/containers";
    let seccomp = "container.seccomp.security.alpha.kubernetes.io/initContainers";
    for (by, key, value, reason) in [
        (by, armor, "unconfined", "forbidden AppArmor profile"),
        (by, armor, "bogus", "forbidden AppArmor profile"),
        (by, armor, "runtime/default", ""),
        (by, armor, "localhost/foo", ""),
        (by, seccomp, "unconfined", ""),
        ("baseline:v1.18", seccomp, "unconfined", "seccompProfile"),
        (
            "baseline:v1.18",
            "seccomp.security.alpha.kubernetes.io/pod",
            "unconfined",
            "seccompProfile",
        ),
        (
            "baseline:v1.18",
            "seccomp.security.alpha.kubernetes.io/pod",
            "localhost/x",
            "",
        ),
        ("baseline:v1.18", seccomp, "runtime/default", ""),
    ] {
        of_pod(by, &annotated(key, value), reason);
    }
}

#[test]
fn sysctls_are_safe_from_the_release_that_found_them_so() {
    for (name, since) in api::sysctl::SAFE {
        let change = json!({"spec": {"securityContext": {"sysctls": [{"name": name, "value": "1"}]}}});
        of_pod(&format!("baseline:v1.{since}"), &change, "");
        of_pod("restricted:latest", &change, "");
        if let Some(before) = since.checked_sub(1) {
            of_pod(&format!("baseline:v1.{before}"), &change, "forbidden sysctls");
        }
    }
}

#[test]
fn what_upstream_holds_against_the_restricted_level() {
    let by = "restricted:latest";
    for (context, reason) in [
        (
            json!({"allowPrivilegeEscalation": true}),
            "allowPrivilegeEscalation != false",
        ),
        (
            json!({"allowPrivilegeEscalation": null}),
            "allowPrivilegeEscalation != false",
        ),
        (json!({"capabilities": null}), "unrestricted capabilities"),
        (json!({"capabilities": {"drop": []}}), "unrestricted capabilities"),
        (
            json!({"capabilities": {"drop": ["CHOWN", "NET_RAW"]}}),
            "unrestricted capabilities",
        ),
        (
            json!({"capabilities": {"drop": ["all"]}}),
            "unrestricted capabilities",
        ),
        (
            json!({"capabilities": {"add": ["CHOWN"]}}),
            "unrestricted capabilities",
        ),
        (json!({"capabilities": {"add": ["NET_BIND_SERVICE"]}}), ""),
        (json!({"runAsNonRoot": false}), "runAsNonRoot != true"),
        (json!({"runAsUser": 0}), "runAsUser=0"),
        (json!({"runAsUser": 1000}), ""),
        (
            json!({"seccompProfile": {"type": "Unconfined"}}),
            "seccompProfile",
        ),
        (json!({"procMount": "Unmasked"}), "procMount"),
    ] {
        of_container(by, &json!({"securityContext": context}), reason);
    }
    for (context, reason) in [
        (json!({"runAsNonRoot": null}), "runAsNonRoot != true"),
        (json!({"runAsNonRoot": false}), "runAsNonRoot != true"),
        (json!({"runAsUser": 0}), "runAsUser=0"),
        (json!({"runAsUser": 1000}), ""),
        (json!({"seccompProfile": null}), "seccompProfile"),
        (
            json!({"seccompProfile": {"type": "Unconfined"}}),
            "seccompProfile",
        ),
    ] {
        of_pod(by, &json!({"spec": {"securityContext": context}}), reason);
    }
    // What the pod leaves open all of its containers must say.
    let mut each = least();
    each["spec"]["securityContext"] = json!({});
    let own =
        json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}});
    for place in PLACES {
        assert_eq!(reasons(by, &each).len(), 2, "{each}");
        merge(&mut each["spec"][place][0], &own);
    }
    case(by, &each, "");
    for kind in rules::FREE {
        of_pod(by, &json!({"spec": {"volumes": [{"name": "v", kind: {}}]}}), "");
    }
    for kind in rules::RARE {
        of_pod(
            by,
            &json!({"spec": {"volumes": [{"name": "v", kind: {}}]}}),
            "restricted volume types",
        );
    }
    of_pod(
        by,
        &json!({"spec": {"volumes": [{"name": "v"}]}}),
        "restricted volume types",
    );
}

#[test]
fn users_of_its_own_and_windows_are_judged_as_upstream_judges() {
    let unmasked = json!({"securityContext": {"procMount": "Unmasked"}});
    let own = |hosts: bool| {
        let mut changed = least();
        changed["spec"]["hostUsers"] = hosts.into();
        merge(&mut changed["spec"]["containers"][0], &unmasked);
        changed
    };
    case("baseline:v1.34", &own(false), "procMount");
    case("baseline:v1.35", &own(false), "");
    case("baseline:v1.35", &own(true), "procMount");
    case("restricted:v1.35", &own(false), "procMount");
    let root = |by: &str, reason: &str| {
        let mut changed = least();
        changed["spec"]["hostUsers"] = false.into();
        merge(
            &mut changed["spec"]["securityContext"],
            &json!({"runAsUser": 0, "runAsNonRoot": null}),
        );
        let found = reasons(by, &changed);
        assert_eq!(found.join(","), reason, "{by}");
    };
    root("restricted:v1.35", "");
    root("restricted:v1.34", "runAsNonRoot != true,runAsUser=0");
    // What Windows has not is not asked of it.
    let mut windows = least();
    windows["spec"]["os"] = json!({"name": "windows"});
    windows["spec"]["securityContext"] = json!({"runAsNonRoot": true});
    for place in PLACES {
        windows["spec"][place][0]["securityContext"] = json!({});
    }
    case("restricted:v1.25", &windows, "");
    assert_eq!(reasons("restricted:v1.24", &windows).len(), 3);
    windows["spec"]["securityContext"]["windowsOptions"] = json!({"hostProcess": true});
    case("restricted:latest", &windows, "hostProcess");
}
