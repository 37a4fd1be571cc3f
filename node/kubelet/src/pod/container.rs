//! A container for the runtime.

use super::{Objects, PodFacts, env::expand, environment, resources, security};
use crate::{
    view::{Container, Pod, Service, VolumeMount},
    volumes::Place,
};
use runtime::{ContainerConfig, Image, Mount, Propagation};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
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
    pub volumes: &'a BTreeMap<String, Place>,
    /// Ids of the images that are volumes.
    pub images: &'a BTreeMap<String, String>,
    /// Groups of the volumes.
    pub groups: &'a [i64],
    /// The place of a subPath in a volume on the host, of the container's mount of that number.
    pub sub_path: &'a SubPath<'a>,
    /// The pod's `/etc/hosts` on the host.
    pub hosts_file: Option<PathBuf>,
    /// The container's termination log on the host.
    pub termination_log: PathBuf,
    /// Bytes of memory of the node.
    pub memory_capacity: i64,
    /// Where `Localhost` seccomp profiles lie.
    pub seccomp_root: &'a Path,
}

/// Mounts the subPath of a container's mount, of that number, in a volume.
pub type SubPath<'a> = dyn Fn(usize, &VolumeMount, &Place, &Path) -> std::io::Result<PathBuf> + 'a;

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
    let mut security = security(pod, container, site.seccomp_root);
    for group in site.groups {
        if !security.supplemental_groups.contains(group) {
            security.supplemental_groups.push(*group);
        }
    }
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
        target: None,
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
    for (index, wanted) in container.volume_mounts.iter().enumerate() {
        let sub = sub_path(wanted, &lookup)?;
        if let Some(image) = site.images.get(&wanted.name) {
            mounts.push(Mount {
                container_path: absolute(&wanted.mount_path),
                readonly: true,
                image: image.clone(),
                image_sub_path: sub,
                ..Mount::default()
            });
            continue;
        }
        let Some(place) = site.volumes.get(&wanted.name) else {
            return Err(format!(
                "cannot find volume {:?} to mount into container {:?}",
                wanted.name, container.name
            ));
        };
        let host_path = if sub.is_empty() {
            place.path.clone()
        } else {
            let found = (site.sub_path)(index, wanted, place, sub.as_ref());
            found.map_err(|error| {
                tracing::warn!(container = container.name, sub, %error, "subPath");
                let (volume, container) = (&wanted.name, &container.name);
                format!("failed to prepare subPath for volumeMount {volume:?} of container {container:?}")
            })?
        };
        mounts.push(Mount {
            container_path: absolute(&wanted.mount_path),
            host_path: host_path.display().to_string(),
            readonly: wanted.read_only || place.read_only,
            recursive_read_only: recursive(wanted)?,
            propagation: match wanted.mount_propagation.as_str() {
                "HostToContainer" => Propagation::HostToContainer,
                "Bidirectional" => Propagation::Bidirectional,
                _ => Propagation::None,
            },
            ..Mount::default()
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

/// The path in the volume.
fn sub_path<'a>(mount: &VolumeMount, lookup: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
    if mount.sub_path_expr.is_empty() {
        return inside(mount.sub_path.clone());
    }
    let missing = RefCell::new(BTreeSet::new());
    let expanded = expand(&mount.sub_path_expr, |name: &str| {
        let value = lookup(name).filter(|value| !value.is_empty());
        if value.is_none() {
            missing.borrow_mut().insert(name.to_owned());
        }
        value
    });
    let missing: Vec<String> = missing.into_inner().into_iter().collect();
    if missing.is_empty() {
        inside(expanded)
    } else {
        Err(format!("missing value for {}", missing.join(", ")))
    }
}

fn inside(path: String) -> Result<String, String> {
    if path.starts_with('/') {
        return Err(format!("error SubPath `{path}` must not be an absolute path"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!(
            "unable to provision SubPath `{path}`: must not contain '..'"
        ));
    }
    Ok(path)
}

/// A relative mount path is one in the root.
fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

fn recursive(mount: &VolumeMount) -> Result<bool, String> {
    let name = &mount.name;
    let asked = match mount.recursive_read_only.as_str() {
        "" | "Disabled" => return Ok(false),
        mode @ ("Enabled" | "IfPossible") => mode,
        other => return Err(format!("unknown recursive read-only mode {other:?}")),
    };
    if !mount.read_only {
        return Err(format!(
            "volume {name:?} requested recursive read-only mode, but it is not read-only"
        ));
    }
    if !matches!(mount.mount_propagation.as_str(), "" | "None") {
        return Err(format!(
            "volume {name:?} requested recursive read-only mode {asked:?}, but it is not compatible with propagation {}",
            mount.mount_propagation
        ));
    }
    Ok(true)
}

fn file(host: &Path, path: &str) -> Mount {
    Mount {
        container_path: path.to_owned(),
        host_path: host.display().to_string(),
        ..Mount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_and_arguments() {
        let pod: Pod = serde_saphyr::from_str(
            "{spec: {containers: [{name: c, env: [{name: DIR, value: d}], args: ['$(DIR)/x'],
              volumeMounts: [{name: v, mountPath: /data, subPathExpr: '$(DIR)', readOnly: true, recursiveReadOnly: IfPossible},
                {name: settings, mountPath: etc/settings}, {name: i, mountPath: /image, subPath: usr}]}]}}",
        )
        .unwrap();
        let place = |path: &str, read_only| Place {
            path: path.into(),
            read_only,
        };
        let site = ContainerSite {
            attempt: 2,
            image: &Image {
                id: "sha256:1".to_owned(),
                ..Image::default()
            },
            objects: &Objects::default(),
            services: &[],
            facts: &PodFacts::default(),
            volumes: &[
                ("v".to_owned(), place("/vol", false)),
                ("settings".to_owned(), place("/set", true)),
            ]
            .into(),
            images: &[("i".to_owned(), "sha256:2".to_owned())].into(),
            groups: &[77],
            sub_path: &|_, _, place, sub| Ok(place.path.join(sub)),
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
            .map(|m| {
                let from = format!("{}{}{}", m.host_path, m.image, m.image_sub_path);
                format!(
                    "{from}:{}:{}:{}",
                    m.container_path, m.readonly, m.recursive_read_only
                )
            })
            .collect();
        assert_eq!(
            mounts,
            [
                "/vol/d:/data:true:true",
                "/set:/etc/settings:true:false",
                "sha256:2usr:/image:true:false",
                "/pod/etc-hosts:/etc/hosts:false:false",
                "/pod/log:/dev/termination-log:false:false"
            ]
        );
        assert_eq!(config.security.supplemental_groups, [77]);
    }

    #[test]
    fn sub_paths_are_checked() {
        let of = |mount: &str| {
            let mount: VolumeMount = serde_saphyr::from_str(mount).unwrap();
            sub_path(&mount, |name| (name == "A").then_some("x"))
        };
        assert_eq!(of("{subPathExpr: $(A)/y}").unwrap(), "x/y");
        assert_eq!(
            of("{subPathExpr: $(B)/$(C)}").unwrap_err(),
            "missing value for B, C"
        );
        assert_eq!(
            of("{subPath: /etc}").unwrap_err(),
            "error SubPath `/etc` must not be an absolute path"
        );
        assert_eq!(
            of("{subPath: a/../b}").unwrap_err(),
            "unable to provision SubPath `a/../b`: must not contain '..'"
        );
    }

    #[test]
    fn recursive_read_only_goes_with_read_only_and_no_propagation() {
        let of = |mount: &str| recursive(&serde_saphyr::from_str(mount).unwrap());
        assert_eq!(of("{readOnly: true, recursiveReadOnly: Enabled}"), Ok(true));
        assert_eq!(of("{recursiveReadOnly: Disabled}"), Ok(false));
        assert!(of("{name: v, recursiveReadOnly: Enabled}").is_err());
        assert!(
            of("{name: v, readOnly: true, mountPropagation: HostToContainer, recursiveReadOnly: Enabled}")
                .is_err()
        );
    }
}
