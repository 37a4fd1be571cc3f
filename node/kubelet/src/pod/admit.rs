//! Pods that this node cannot take as they are (upstream: `pkg/kubelet/sysctl/allowlist.go`, `pkg/kubelet/lifecycle`).

use crate::view::Pod;
use api::sysctl;

/// Parameters of the IPC namespace; those that end with a dot stand for all that begin with them.
const OF_IPC: [&str; 5] = [
    "kernel.sem",
    "kernel.shm",
    "kernel.msg",
    "fs.mqueue.",
    "kernel.sem.",
];
const OF_NET: &str = "net.";

/// Why a pod is rejected: reason and message.
pub type Rejection = (String, String);

/// What the node is, as far as pods may ask for it.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Kernel parameters allowed beyond the safe ones.
    pub unsafe_sysctls: &'a [String],
    /// AppArmor is in the kernel and on.
    pub app_armor: bool,
}

/// A parameter's name with dots between its parts; a slash stands for a dot in a part.
pub(crate) fn dotted(name: &str) -> String {
    let slashes = name.find('/').unwrap_or(usize::MAX) < name.find('.').unwrap_or(usize::MAX);
    let swap = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    if slashes {
        name.chars().map(swap).collect()
    } else {
        name.to_owned()
    }
}

/// Whether the node can take the pod.
pub fn admit(pod: &Pod, offer: Offer<'_>) -> Result<(), Rejection> {
    let spec = &pod.spec;
    if !matches!(spec.os.name.as_str(), "" | "linux") {
        let text = "Failed to admit pod as the OS field doesn't match node OS";
        return Err(("PodOSNotSupported".to_owned(), text.to_owned()));
    }
    for sysctl in &spec.security_context.sysctls {
        let name = dotted(&sysctl.name);
        let forbidden = |why: String| ("SysctlForbidden".to_owned(), format!("forbidden sysctl: {why}"));
        if !allowed(&name, offer.unsafe_sysctls) {
            return Err(forbidden(format!("{name:?} not allowlisted")));
        }
        if spec.host_ipc && OF_IPC.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(forbidden(format!("{name:?} not allowed with host IPC enabled")));
        }
        if spec.host_network && name.starts_with(OF_NET) {
            return Err(forbidden(format!("{name:?} not allowed with host Net enabled")));
        }
    }
    let shared = spec.security_context.app_armor_profile.as_ref();
    let profiles = pod
        .every_container()
        .filter_map(|c| c.security_context.app_armor_profile.as_ref().or(shared));
    if profiles.into_iter().any(|profile| profile.kind != "Unconfined") {
        let why = if offer.app_armor {
            "the container runtime does not support AppArmor"
        } else {
            "AppArmor is not enabled on the host"
        };
        return Err(("AppArmor".to_owned(), format!("Cannot enforce AppArmor: {why}")));
    }
    Ok(())
}

fn allowed(name: &str, more: &[String]) -> bool {
    let fits = |pattern: &String| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => dotted(pattern) == name,
    };
    sysctl::is_safe(name, u32::MAX) || more.iter().any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(spec: &str, more: &[&str]) -> String {
        let pod: Pod = serde_saphyr::from_str(&format!("{{spec: {spec}}}")).unwrap();
        let more: Vec<String> = more.iter().map(|s| (*s).to_owned()).collect();
        let offer = Offer {
            unsafe_sysctls: &more,
            app_armor: false,
        };
        admit(&pod, offer).map_or_else(|(reason, text)| format!("{reason}: {text}"), |()| "ok".to_owned())
    }

    #[test]
    fn kernel_parameters_are_safe_or_allowed() {
        let with = |name: &str, more: &str| {
            format!("{{{more} securityContext: {{sysctls: [{{name: {name}, value: '1'}}]}}}}")
        };
        assert_eq!(verdict(&with("net.ipv4.tcp_syncookies", ""), &[]), "ok");
        assert_eq!(verdict(&with("net/ipv4/tcp_syncookies", ""), &[]), "ok");
        assert_eq!(verdict(&with("net.ipv4.tcp_notsent_lowat", ""), &[]), "ok");
        assert_eq!(
            verdict(&with("kernel.msgmax", ""), &[]),
            "SysctlForbidden: forbidden sysctl: \"kernel.msgmax\" not allowlisted"
        );
        assert_eq!(verdict(&with("kernel.msgmax", ""), &["kernel.msg*"]), "ok");
        assert_eq!(
            verdict(&with("net.ipv4.tcp_syncookies", "hostNetwork: true,"), &[]),
            "SysctlForbidden: forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host Net enabled"
        );
        assert_eq!(
            verdict(&with("kernel.shm_rmid_forced", "hostIPC: true,"), &[]),
            "SysctlForbidden: forbidden sysctl: \"kernel.shm_rmid_forced\" not allowed with host IPC enabled"
        );
    }

    #[test]
    fn what_the_host_lacks_is_refused() {
        assert_eq!(
            verdict(
                "{containers: [{securityContext: {appArmorProfile: {type: RuntimeDefault}}}]}",
                &[]
            ),
            "AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host"
        );
        let unconfined = "{securityContext: {appArmorProfile: {type: Unconfined}}, containers: [{name: c}]}";
        assert_eq!(verdict(unconfined, &[]), "ok");
        assert!(verdict("{os: {name: windows}}", &[]).starts_with("PodOSNotSupported: Failed to admit pod"));
    }
}
