//! Security of a container: the pod's context under the container's own.

use crate::view::{Container, Pod, SeccompProfile};
use runtime::{Seccomp, Security};
use std::path::Path;

/// What the runtime is told. `seccomp_root` is where `Localhost` profiles lie.
///
/// A container without a profile gets the runtime's default one, as upstream with `seccompDefault`.
pub fn security(pod: &Pod, container: &Container, seccomp_root: &Path) -> Security {
    let (own, shared) = (&container.security_context, &pod.spec.security_context);
    let privileged = own.privileged.unwrap_or(false);
    let profile = own.seccomp_profile.as_ref().or(shared.seccomp_profile.as_ref());
    let unmasked = own.proc_mount.as_deref() == Some("Unmasked");
    let mut groups = shared.supplemental_groups.clone();
    groups.extend(shared.fs_group);
    Security {
        privileged,
        add_capabilities: own.capabilities.add.clone(),
        drop_capabilities: own.capabilities.drop.clone(),
        run_as_user: own.run_as_user.or(shared.run_as_user),
        run_as_group: own.run_as_group.or(shared.run_as_group),
        run_as_non_root: own.run_as_non_root.or(shared.run_as_non_root).unwrap_or(false),
        supplemental_groups: groups,
        strict_supplemental_groups: shared.supplemental_groups_policy == "Strict",
        readonly_rootfs: own.read_only_root_filesystem.unwrap_or(false),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        seccomp: if privileged {
            Seccomp::Unconfined
        } else {
            seccomp(profile, seccomp_root)
        },
        masked_paths: unmasked.then(Vec::new),
        readonly_paths: unmasked.then(Vec::new),
    }
}

fn seccomp(profile: Option<&SeccompProfile>, root: &Path) -> Seccomp {
    match profile.map(|p| (p.kind.as_str(), p)) {
        Some(("Unconfined", _)) => Seccomp::Unconfined,
        Some(("Localhost", p)) => Seccomp::Localhost(root.join(&p.localhost_profile).display().to_string()),
        _ => Seccomp::RuntimeDefault,
    }
}

/// Refuses an image that would run as root in a container that must not.
pub fn image_user_allowed(
    pod: &Pod,
    container: &Container,
    security: &Security,
    user: &str,
) -> Result<(), String> {
    if !security.run_as_non_root {
        return Ok(());
    }
    let place = format!("(pod: {:?}, container: {})", pod.full_name(), container.name);
    match security.run_as_user {
        Some(0) => return Err(format!("container's runAsUser breaks non-root policy {place}")),
        Some(_) => return Ok(()),
        None => {}
    }
    let name = user.split(':').next().unwrap_or_default();
    match name.parse::<i64>() {
        Ok(0) => Err(format!(
            "container has runAsNonRoot and image will run as root {place}"
        )),
        Ok(_) => Ok(()),
        Err(_) if name.is_empty() => Err(format!(
            "container has runAsNonRoot and image will run as root {place}"
        )),
        Err(_) => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root {place}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_wins_over_the_pod() {
        let pod: Pod = serde_saphyr::from_str(
            "{spec: {securityContext: {runAsUser: 1, runAsGroup: 2, fsGroup: 9, seccompProfile: {type: Unconfined}},
              containers: [{securityContext: {runAsUser: 5, allowPrivilegeEscalation: false, seccompProfile: {type: Localhost, localhostProfile: a.json}}}]}}",
        )
        .unwrap();
        let security = security(&pod, &pod.spec.containers[0], Path::new("/seccomp"));
        assert_eq!((security.run_as_user, security.run_as_group), (Some(5), Some(2)));
        assert_eq!(security.supplemental_groups, [9]);
        assert!(security.no_new_privs);
        assert_eq!(security.seccomp, Seccomp::Localhost("/seccomp/a.json".to_owned()));
    }

    #[test]
    fn non_root_is_checked_against_the_image() {
        let pod: Pod = serde_saphyr::from_str(
            "{spec: {containers: [{name: c, securityContext: {runAsNonRoot: true}}]}}",
        )
        .unwrap();
        let container = &pod.spec.containers[0];
        let security = security(&pod, container, Path::new("/"));
        let check = |user: &str| image_user_allowed(&pod, container, &security, user);
        assert!(check("1000:1000").is_ok());
        assert!(check("").unwrap_err().contains("image will run as root"));
        assert!(check("nginx").unwrap_err().contains("non-numeric user (nginx)"));
    }
}
