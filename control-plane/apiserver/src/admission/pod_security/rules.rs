//! The rules of the standards, one by one.

use super::{
    checks::{Broken, Rule},
    pod::{Container, Context, Handler, Pod, SECCOMP_CONTAINER, SECCOMP_POD, Spec},
};
use api::sysctl;
use std::collections::BTreeSet;

pub(super) fn unless_windows(pod: &Pod, rule: Rule) -> Option<Broken> {
    if pod.spec.os.name == "windows" {
        None
    } else {
        rule(pod)
    }
}

/// A pod with users of its own may be more within them.
pub(super) fn unless_own_users(pod: &Pod, rule: Rule) -> Option<Broken> {
    if pod.spec.host_users == Some(false) {
        None
    } else {
        rule(pod)
    }
}

fn broken(reason: &str, detail: String) -> Option<Broken> {
    Some(Broken {
        reason: reason.to_owned(),
        detail,
    })
}

fn quoted<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("\"{item}\"")).collect();
    items.join(", ")
}

fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// `containers "a", "b"`.
fn containers(names: &[&str]) -> String {
    let word = plural(names.len(), "container", "containers");
    format!("{word} {}", quoted(names.iter().copied()))
}

/// The names of the containers that are `bad`.
fn those(spec: &Spec, mut bad: impl FnMut(&Container) -> bool) -> Vec<&str> {
    let mut names = Vec::new();
    for container in spec.all() {
        if bad(container) {
            names.push(container.name.as_str());
        }
    }
    names
}

/// Who sets something bad: the pod, containers; none if nobody does. `bad` is asked about the pod first.
fn setters(spec: &Spec, mut bad: impl FnMut(&Context) -> bool) -> Option<String> {
    let mut who = Vec::new();
    if bad(&spec.security_context) {
        who.push("pod".to_owned());
    }
    let names = those(spec, |container| bad(&container.security_context));
    if !names.is_empty() {
        who.push(containers(&names));
    }
    (!who.is_empty()).then(|| who.join(" and "))
}

pub(super) fn app_armor(pod: &Pod) -> Option<Broken> {
    const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
    let mut values = BTreeSet::new();
    let by_fields = setters(&pod.spec, |context| {
        let profile = context
            .app_armor_profile
            .as_ref()
            .map(|profile| profile.r#type.as_str());
        let bad = profile.filter(|kind| !["RuntimeDefault", "Localhost"].contains(kind));
        values.extend(bad.map(str::to_owned));
        bad.is_some()
    });
    let fine =
        |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let annotated: Vec<String> = pod
        .metadata
        .annotations
        .iter()
        .filter(|(key, value)| key.starts_with(ANNOTATION) && !fine(value))
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    let annotations = plural(annotated.len(), "annotation", "annotations").to_owned();
    let annotations = (!annotated.is_empty()).then_some(annotations);
    let who: Vec<String> = by_fields.into_iter().chain(annotations).collect();
    if who.is_empty() {
        return None;
    }
    let values: Vec<String> = values.into_iter().chain(annotated).collect();
    let reason = plural(
        values.len(),
        "forbidden AppArmor profile",
        "forbidden AppArmor profiles",
    );
    let values = quoted(values.iter().map(String::as_str));
    broken(
        reason,
        format!(
            "{} must not set AppArmor profile type to {values}",
            who.join(" and ")
        ),
    )
}

const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Who adds other capabilities than `fine`, in words.
fn added(spec: &Spec, fine: &[&str]) -> Option<String> {
    let mut others = BTreeSet::new();
    let names = those(spec, |container| {
        let add = &container.security_context.capabilities.add;
        let before = add.iter().filter(|name| !fine.contains(&name.as_str()));
        let more: Vec<&String> = before.collect();
        others.extend(more.iter().map(|name| (*name).clone()));
        !more.is_empty()
    });
    let others = quoted(others.iter().map(String::as_str));
    let who = containers(&names);
    (!names.is_empty())
        .then(|| format!("{who} must not include {others} in securityContext.capabilities.add"))
}

pub(super) fn capabilities_baseline(pod: &Pod) -> Option<Broken> {
    broken(
        "non-default capabilities",
        added(&pod.spec, &DEFAULT_CAPABILITIES)?,
    )
}

pub(super) fn capabilities_restricted(pod: &Pod) -> Option<Broken> {
    let drops = |container: &Container| {
        let drop = &container.security_context.capabilities.drop;
        drop.iter().any(|name| name == "ALL")
    };
    let keeping = those(&pod.spec, |container| !drops(container));
    let keeping = (!keeping.is_empty()).then(|| {
        let who = containers(&keeping);
        format!("{who} must set securityContext.capabilities.drop=[\"ALL\"]")
    });
    let added = added(&pod.spec, &["NET_BIND_SERVICE"]);
    let details: Vec<String> = keeping.into_iter().chain(added).collect();
    if details.is_empty() {
        return None;
    }
    broken("unrestricted capabilities", details.join("; "))
}

pub(super) fn host_namespaces(pod: &Pod) -> Option<Broken> {
    let spec = &pod.spec;
    let shared = [
        (spec.host_network, "hostNetwork=true"),
        (spec.host_pid, "hostPID=true"),
        (spec.host_ipc, "hostIPC=true"),
    ];
    let shared: Vec<&str> = shared
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| *name)
        .collect();
    if shared.is_empty() {
        return None;
    }
    broken("host namespaces", shared.join(", "))
}

/// `volumes "a", "b"`.
fn named_volumes(names: &[&str]) -> String {
    let word = plural(names.len(), "volume", "volumes");
    format!("{word} {}", quoted(names.iter().copied()))
}

pub(super) fn host_path_volumes(pod: &Pod) -> Option<Broken> {
    let of_host = pod
        .spec
        .volumes
        .iter()
        .filter(|volume| volume.sources.contains_key("hostPath"));
    let names: Vec<&str> = of_host.map(|volume| volume.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    broken("hostPath volumes", named_volumes(&names))
}

pub(super) fn host_ports(pod: &Pod) -> Option<Broken> {
    let mut ports = BTreeSet::new();
    let names = those(&pod.spec, |container| {
        let taken = container.ports.iter().filter(|port| port.host_port != 0);
        let taken: Vec<String> = taken.map(|port| port.host_port.to_string()).collect();
        ports.extend(taken.iter().cloned());
        !taken.is_empty()
    });
    if names.is_empty() {
        return None;
    }
    let uses = plural(names.len(), "uses", "use");
    let word = plural(ports.len(), "hostPort", "hostPorts");
    let ports: Vec<String> = ports.into_iter().collect();
    broken(
        "hostPort",
        format!("{} {uses} {word} {}", containers(&names), ports.join(", ")),
    )
}

pub(super) fn host_probes(pod: &Pod) -> Option<Broken> {
    let mut hosts = BTreeSet::new();
    let mut names = BTreeSet::new();
    for container in pod.spec.all() {
        let Container {
            liveness_probe,
            readiness_probe,
            startup_probe,
            lifecycle,
            ..
        } = container;
        let hooks = [&lifecycle.post_start, &lifecycle.pre_stop];
        let all: [&Handler; 5] = [liveness_probe, readiness_probe, startup_probe, hooks[0], hooks[1]];
        let said = all
            .iter()
            .flat_map(|handler| [&handler.http_get.host, &handler.tcp_socket.host]);
        for host in said.filter(|host| !host.is_empty()) {
            hosts.insert(host.as_str());
            names.insert(container.name.as_str());
        }
    }
    if names.is_empty() {
        return None;
    }
    let names: Vec<&str> = names.into_iter().collect();
    let uses = plural(names.len(), "uses", "use");
    let word = plural(hosts.len(), "probe or lifecycle host", "probe or lifecycle hosts");
    broken(
        "probe or lifecycle host",
        format!("{} {uses} {word} {}", containers(&names), quoted(hosts)),
    )
}

pub(super) fn privileged(pod: &Pod) -> Option<Broken> {
    let names = those(&pod.spec, |container| container.security_context.privileged);
    if names.is_empty() {
        return None;
    }
    let who = containers(&names);
    broken(
        "privileged",
        format!("{who} must not set securityContext.privileged=true"),
    )
}

pub(super) fn proc_mount(pod: &Pod) -> Option<Broken> {
    let mut kinds = BTreeSet::new();
    let names = those(&pod.spec, |container| {
        let kind = container.security_context.proc_mount.as_deref();
        let other = kind.filter(|kind| *kind != "Default");
        kinds.extend(other.map(str::to_owned));
        other.is_some()
    });
    if names.is_empty() {
        return None;
    }
    let (who, kinds) = (containers(&names), quoted(kinds.iter().map(String::as_str)));
    broken(
        "procMount",
        format!("{who} must not set securityContext.procMount to {kinds}"),
    )
}

pub(super) const SE_LINUX: [&str; 4] = [
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
];

pub(super) fn se_linux(pod: &Pod, fine: &[&str]) -> Option<Broken> {
    let (mut types, mut user, mut role) = (BTreeSet::new(), false, false);
    let who = setters(&pod.spec, |context| {
        let Some(options) = &context.se_linux_options else {
            return false;
        };
        let kind = options.r#type.as_str();
        let bad = !kind.is_empty() && !fine.contains(&kind);
        if bad {
            types.insert(kind.to_owned());
        }
        user |= !options.user.is_empty();
        role |= !options.role.is_empty();
        bad || !options.user.is_empty() || !options.role.is_empty()
    })?;
    let mut what = Vec::new();
    if !types.is_empty() {
        let word = plural(types.len(), "type", "types");
        what.push(format!("{word} {}", quoted(types.iter().map(String::as_str))));
    }
    what.extend(user.then(|| "user may not be set".to_owned()));
    what.extend(role.then(|| "role may not be set".to_owned()));
    let what = what.join("; ");
    broken(
        "seLinuxOptions",
        format!("{who} set forbidden securityContext.seLinuxOptions: {what}"),
    )
}

pub(super) fn seccomp_annotations(pod: &Pod) -> Option<Broken> {
    let fine = |value: &str| {
        value == "runtime/default" || value == "docker/default" || value.starts_with("localhost/")
    };
    let of_containers = pod
        .spec
        .all()
        .map(|container| format!("{SECCOMP_CONTAINER}{}", container.name));
    let bad: BTreeSet<String> = [SECCOMP_POD.to_owned()]
        .into_iter()
        .chain(of_containers)
        .filter_map(|key| {
            let value = pod.metadata.annotations.get(&key).filter(|value| !fine(value))?;
            Some(format!("{key}={value:?}"))
        })
        .collect();
    if bad.is_empty() {
        return None;
    }
    let word = plural(bad.len(), "annotation", "annotations");
    let bad: Vec<String> = bad.into_iter().collect();
    broken("seccompProfile", format!("forbidden {word} {}", bad.join(", ")))
}

fn fine_seccomp(context: &Context) -> Option<bool> {
    let profile = context.seccomp_profile.as_ref()?;
    Some(["Localhost", "RuntimeDefault"].contains(&profile.r#type.as_str()))
}

pub(super) fn seccomp_baseline(pod: &Pod) -> Option<Broken> {
    let mut kinds = BTreeSet::new();
    let who = setters(&pod.spec, |context| {
        let bad = fine_seccomp(context) == Some(false);
        let kind = context.seccomp_profile.as_ref().filter(|_| bad);
        kinds.extend(kind.map(|profile| profile.r#type.clone()));
        bad
    })?;
    let kinds = quoted(kinds.iter().map(String::as_str));
    broken(
        "seccompProfile",
        format!("{who} must not set securityContext.seccompProfile.type to {kinds}"),
    )
}

pub(super) fn seccomp_restricted(pod: &Pod) -> Option<Broken> {
    if let Some(bad) = seccomp_baseline(pod) {
        return Some(bad);
    }
    if fine_seccomp(&pod.spec.security_context) == Some(true) {
        return None;
    }
    let names = those(&pod.spec, |container| {
        fine_seccomp(&container.security_context).is_none()
    });
    if names.is_empty() {
        return None;
    }
    let who = containers(&names);
    broken(
        "seccompProfile",
        format!(
            "pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""
        ),
    )
}

pub(super) fn sysctls(pod: &Pod, release: u32) -> Option<Broken> {
    let set = pod
        .spec
        .security_context
        .sysctls
        .iter()
        .map(|sysctl| sysctl.name.as_str());
    let others: Vec<&str> = set.filter(|name| !sysctl::is_safe(name, release)).collect();
    if others.is_empty() {
        return None;
    }
    broken("forbidden sysctls", others.join(", "))
}

pub(super) fn host_process(pod: &Pod) -> Option<Broken> {
    let who = setters(&pod.spec, |context| context.windows_options.host_process)?;
    broken(
        "hostProcess",
        format!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    )
}

pub(super) fn escalation(pod: &Pod) -> Option<Broken> {
    let may = |container: &Container| container.security_context.allow_privilege_escalation != Some(false);
    let names = those(&pod.spec, may);
    if names.is_empty() {
        return None;
    }
    let who = containers(&names);
    broken(
        "allowPrivilegeEscalation != false",
        format!("{who} must set securityContext.allowPrivilegeEscalation=false"),
    )
}

/// The kinds of volume that anyone may have.
pub(super) const FREE: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// The others, in the order in which they are looked for.
pub(super) const RARE: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

pub(super) fn volumes(pod: &Pod) -> Option<Broken> {
    let (mut names, mut kinds) = (Vec::new(), BTreeSet::new());
    for volume in &pod.spec.volumes {
        let has = |kind: &&&str| volume.sources.contains_key(**kind);
        if FREE.iter().any(|kind| has(&kind)) {
            continue;
        }
        names.push(volume.name.as_str());
        kinds.insert(RARE.iter().find(has).copied().unwrap_or("unknown"));
    }
    if names.is_empty() {
        return None;
    }
    let uses = plural(names.len(), "uses", "use");
    let word = plural(kinds.len(), "restricted volume type", "restricted volume types");
    broken(
        "restricted volume types",
        format!("{} {uses} {word} {}", named_volumes(&names), quoted(kinds)),
    )
}

pub(super) fn non_root(pod: &Pod) -> Option<Broken> {
    let reason = "runAsNonRoot != true";
    if let Some(who) = setters(&pod.spec, |context| context.run_as_non_root == Some(false)) {
        return broken(
            reason,
            format!("{who} must not set securityContext.runAsNonRoot=false"),
        );
    }
    if pod.spec.security_context.run_as_non_root == Some(true) {
        return None;
    }
    let names = those(&pod.spec, |container| {
        container.security_context.run_as_non_root.is_none()
    });
    if names.is_empty() {
        return None;
    }
    let who = containers(&names);
    broken(
        reason,
        format!("pod or {who} must set securityContext.runAsNonRoot=true"),
    )
}

pub(super) fn user(pod: &Pod) -> Option<Broken> {
    let who = setters(&pod.spec, |context| context.run_as_user == Some(0))?;
    broken("runAsUser=0", format!("{who} must not set runAsUser=0"))
}
