//! A container for the runtime.

use super::{Objects, PodFacts, env::expand, environment, resources, security};
use crate::view::{Container, Pod, Service};
use runtime::{ContainerConfig, Image, Mount, Propagation};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Where and with what a container is made.
pub struct ContainerSite<'a> {
    /// Restart count.
    pub attempt: u32,
    /// The image.
    pub image: &'a Image,
    /// Objects the pod names.
    pub objects: &'a Objects,
    /// Services for links.
    pub services: &'a [Service],
    /// Facts for the downward API.
    pub facts: &'a PodFacts,
    /// Where each volume is on the host.
    pub volumes: &'a BTreeMap<String, PathBuf>,
    /// The place of a subPath in a volume on the host.
    pub sub_path: &'a dyn Fn(&Path, &Path) -> Result<PathBuf, String>,
    /// The pod's `/etc/hosts` on the host.
    pub hosts_file: Option<PathBuf>,
    /// The container's termination log on the host.
    pub termination_log: PathBuf,
    /// Bytes of memory of the node.
    pub memory_capacity: i64,
    /// Where `Localhost` seccomp profiles lie.
    pub seccomp_root: &'a Path,
}

impl std::fmt::Debug for ContainerSite<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContainerSite(attempt {})", self.attempt)
    }
}

/// Log of an instance, under the pod's log folder.
pub fn log_path(container: &str, attempt: u32) -> String {
    format!("{container}/{attempt}.log")
}

/// The container for the runtime, or why it cannot be made (`CreateContainerConfigError`).
pub fn container_config(
    pod: &Pod,
    container: &Container,
    site: &ContainerSite<'_>,
) -> Result<ContainerConfig, String> {
    let env = environment(pod, container, site.objects, site.services, site.facts)?;
    let lookup = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let expanded = |words: &[String]| words.iter().map(|w| expand(w, lookup)).collect::<Vec<_>>();
    let security = security(pod, container, site.seccomp_root);
    super::image_user_allowed(pod, container, &security, &site.image.user)?;
    let mounts = mounts(container, site, lookup)?;
    let meta = &pod.metadata;
    let labels = [
        ("io.kubernetes.container.name", &container.name),
        ("io.kubernetes.pod.name", &meta.name),
        ("io.kubernetes.pod.namespace", &meta.namespace),
        ("io.kubernetes.pod.uid", &meta.uid),
    ];
    let termination_log = site.termination_log.display().to_string();
    let annotations = [
        ("io.kubernetes.container.restartCount", site.attempt.to_string()),
        (
            "io.kubernetes.container.terminationMessagePath",
            container.message_path().to_owned(),
        ),
        (
            "io.kubernetes.container.terminationMessagePolicy",
            container.termination_message_policy.clone(),
        ),
        (TERMINATION_LOG, termination_log),
    ];
    Ok(ContainerConfig {
        name: container.name.clone(),
        attempt: site.attempt,
        image: site.image.id.clone(),
        image_ref: container.image.clone(),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone(),
        mounts,
        labels: labels
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.clone()))
            .collect(),
        annotations: annotations.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
        log_path: log_path(&container.name, site.attempt),
        stdin: container.stdin,
        stdin_once: container.stdin_once,
        tty: container.tty,
        resources: resources::container_resources(pod, container, site.memory_capacity),
        security,
        stop_signal: container.lifecycle.stop_signal.clone(),
        env,
    })
}

/// Annotation of a container: its termination log on the host.
pub(crate) const TERMINATION_LOG: &str = "io.ferrokube.container.terminationLog";

fn mounts<'a>(
    container: &Container,
    site: &ContainerSite<'_>,
    lookup: impl Fn(&str) -> Option<&'a str>,
) -> Result<Vec<Mount>, String> {
    let mut mounts = Vec::new();
    for wanted in &container.volume_mounts {
        let Some(volume) = site.volumes.get(&wanted.name) else {
            return Err(format!(
                "cannot find volume {:?} to mount into container {:?}",
                wanted.name, container.name
            ));
        };
        let sub = if wanted.sub_path_expr.is_empty() {
            wanted.sub_path.clone()
        } else {
            expand(&wanted.sub_path_expr, &lookup)
        };
        let inside = Path::new(&sub)
            .components()
            .all(|c| matches!(c, std::path::Component::Normal(_)));
        if !inside {
            return Err(format!(
                "failed to prepare subPath for volumeMount {:?} of container {:?}",
                wanted.name, container.name
            ));
        }
        let host_path = if sub.is_empty() {
            volume.clone()
        } else {
            (site.sub_path)(volume, sub.as_ref())?
        };
        mounts.push(Mount {
            container_path: wanted.mount_path.clone(),
            host_path: host_path.display().to_string(),
            readonly: wanted.read_only,
            propagation: match wanted.mount_propagation.as_str() {
                "HostToContainer" => Propagation::HostToContainer,
                "Bidirectional" => Propagation::Bidirectional,
                _ => Propagation::None,
            },
        });
    }
    let has = |path: &str| {
        container
            .volume_mounts
            .iter()
            .any(|m| m.mount_path.trim_end_matches('/') == path)
    };
    if let Some(hosts) = site.hosts_file.as_ref().filter(|_| !has("/etc/hosts")) {
        mounts.push(file(hosts, "/etc/hosts"));
    }
    if !has(container.message_path()) {
        mounts.push(file(&site.termination_log, container.message_path()));
    }
    Ok(mounts)
}

fn file(host: &Path, path: &str) -> Mount {
    Mount {
        container_path: path.to_owned(),
        host_path: host.display().to_string(),
        readonly: false,
        propagation: Propagation::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_and_arguments() {
        let pod: Pod = serde_saphyr::from_str(
            "{spec: {containers: [{name: c, env: [{name: DIR, value: d}], args: ['$(DIR)/x'],
              volumeMounts: [{name: v, mountPath: /data, subPathExpr: '$(DIR)', readOnly: true}]}]}}",
        )
        .unwrap();
        let site = ContainerSite {
            attempt: 2,
            image: &Image {
                id: "sha256:1".to_owned(),
                ..Image::default()
            },
            objects: &Objects::default(),
            services: &[],
            facts: &PodFacts::default(),
            volumes: &[("v".to_owned(), PathBuf::from("/vol"))].into(),
            sub_path: &|volume, sub| Ok(volume.join(sub)),
            hosts_file: Some("/pod/etc-hosts".into()),
            termination_log: "/pod/log".into(),
            memory_capacity: 1 << 30,
            seccomp_root: Path::new("/seccomp"),
        };
        let config = container_config(&pod, &pod.spec.containers[0], &site).unwrap();
        assert_eq!(config.args, ["d/x"]);
        assert_eq!(config.log_path, "c/2.log");
        let mounts: Vec<String> = config
            .mounts
            .iter()
            .map(|m| format!("{}:{}:{}", m.host_path, m.container_path, m.readonly))
            .collect();
        assert_eq!(
            mounts,
            [
                "/vol/d:/data:true",
                "/pod/etc-hosts:/etc/hosts:false",
                "/pod/log:/dev/termination-log:false"
            ]
        );
    }
}
