//! From what the kubelet asks and what the image says to what the launch child does.

use super::{Native, sandbox::host_name};
use crate::{
    edge::{ContainerConfig, Error, Mount, Propagation, Result, Seccomp, Security},
    images::{ImageRecord, Images},
    launch::{Bind, Process, Spec, all_capabilities, resolve_capabilities},
    record::SandboxRecord,
    seccomp::{self, Profile},
};
use std::{fs, path::PathBuf};

#[rustfmt::skip]
const MASKED: [&str; 12] = [
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

impl Native {
    /// The spec of a container.
    pub(super) fn spec(
        &self,
        sandbox: &SandboxRecord,
        config: &ContainerConfig,
        image: &ImageRecord,
    ) -> Result<Spec> {
        let dir = self.pod_dir(&sandbox.id);
        let security = &config.security;
        let file = |name: &str, target: &str| Bind {
            source: dir.join(name),
            target: PathBuf::from(target),
            layers: Vec::new(),
            image_sub_path: String::new(),
            readonly: security.readonly_rootfs,
            recursive_read_only: false,
            propagation: Propagation::None,
        };
        let mut mounts = vec![
            file("hostname", "/etc/hostname"),
            file("resolv.conf", "/etc/resolv.conf"),
        ];
        let asked: Result<Vec<Bind>> = config.mounts.iter().map(|mount| self.bind(mount)).collect();
        let mut asked = asked?;
        // What is mounted under another mount must come after it.
        asked.sort_by_key(|bind| bind.target.components().count());
        mounts.extend(asked);
        let usual = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Ok(Spec {
            layers_dir: self.images.layers_dir(),
            layers: Images::layer_names(image),
            readonly_rootfs: security.readonly_rootfs,
            mounts,
            shm: if sandbox.config.host_ipc {
                PathBuf::from("/dev/shm")
            } else {
                dir.join("shm")
            },
            privileged: security.privileged,
            masked_paths: security.masked_paths.clone().unwrap_or_else(|| usual(&MASKED)),
            readonly_paths: security
                .readonly_paths
                .clone()
                .unwrap_or_else(|| usual(&READ_ONLY)),
            cgroup_mounts: self.cgroups.mounts_inside(),
            process: process(sandbox, config, image)?,
        })
    }

    fn bind(&self, mount: &Mount) -> Result<Bind> {
        let source = PathBuf::from(&mount.host_path);
        let layers = if mount.image.is_empty() {
            // As other runtimes do: what is not there is an empty directory.
            if !source.exists() {
                fs::create_dir_all(&source).map_err(|error| {
                    Error::Invalid(format!("failed to mkdir {:?}: {error}", mount.host_path))
                })?;
            }
            Vec::new()
        } else {
            let image = self.images.find(&mount.image);
            Images::layer_names(
                &image.ok_or_else(|| Error::NotFound(format!("image {:?} not found", mount.image)))?,
            )
        };
        Ok(Bind {
            source,
            target: PathBuf::from(&mount.container_path),
            layers,
            image_sub_path: mount.image_sub_path.clone(),
            readonly: mount.readonly,
            recursive_read_only: mount.recursive_read_only,
            propagation: mount.propagation,
        })
    }
}

fn process(sandbox: &SandboxRecord, config: &ContainerConfig, image: &ImageRecord) -> Result<Process> {
    let (security, of_image) = (&config.security, &image.config.config);
    let capabilities = if security.privileged {
        all_capabilities()
    } else {
        resolve_capabilities(&security.add_capabilities, &security.drop_capabilities)
            .map_err(Error::Invalid)?
    };
    let args = arguments(config, image);
    if args.is_empty() {
        return Err(Error::Invalid("no command specified".to_owned()));
    }
    let cwd = if config.working_dir.is_empty() {
        &of_image.working_dir
    } else {
        &config.working_dir
    };
    Ok(Process {
        args,
        env: environment(sandbox, config, image),
        cwd: cwd.clone(),
        image_user: of_image.user.clone(),
        run_as_user: security.run_as_user,
        run_as_group: security.run_as_group,
        run_as_non_root: security.run_as_non_root,
        supplemental_groups: security.supplemental_groups.clone(),
        strict_supplemental_groups: security.strict_supplemental_groups,
        seccomp: filters(security, &capabilities)?,
        capabilities: capabilities.into_iter().map(ToOwned::to_owned).collect(),
        no_new_privs: security.no_new_privs,
        oom_score_adj: config.resources.oom_score_adj,
        tty: config.tty,
    })
}

/// `command` replaces the image's entry point and drops its arguments; `args` replaces its arguments only.
fn arguments(config: &ContainerConfig, image: &ImageRecord) -> Vec<String> {
    let of_image = &image.config.config;
    let (mut args, default) = match config.command.is_empty() {
        true => (
            of_image.entrypoint.clone().unwrap_or_default(),
            of_image.cmd.clone().unwrap_or_default(),
        ),
        false => (config.command.clone(), Vec::new()),
    };
    args.extend(if config.args.is_empty() {
        default
    } else {
        config.args.clone()
    });
    args
}

fn environment(
    sandbox: &SandboxRecord,
    config: &ContainerConfig,
    image: &ImageRecord,
) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    let mut put = |key: String, value: String| match env.iter_mut().find(|(known, _)| *known == key) {
        Some((_, old)) => *old = value,
        None => env.push((key, value)),
    };
    for pair in image.config.config.env.iter().flatten() {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        put(key.to_owned(), value.to_owned());
    }
    if config.tty {
        put("TERM".to_owned(), "xterm".to_owned());
    }
    let hostname = match sandbox.config.hostname.as_str() {
        "" => host_name().unwrap_or_default(),
        name => name.to_owned(),
    };
    put("HOSTNAME".to_owned(), hostname);
    config
        .env
        .iter()
        .cloned()
        .for_each(|(key, value)| put(key, value));
    env
}

fn filters(security: &Security, capabilities: &[&str]) -> Result<Vec<seccomp::Program>> {
    if security.privileged {
        return Ok(Vec::new());
    }
    match &security.seccomp {
        Seccomp::Unconfined => Ok(Vec::new()),
        Seccomp::RuntimeDefault => seccomp::default_programs(capabilities).map_err(Error::Internal),
        Seccomp::Localhost(path) => {
            let text = fs::read(path)
                .map_err(|error| Error::Invalid(format!("cannot load seccomp profile {path:?}: {error}")))?;
            Profile::parse(&text)
                .and_then(|profile| profile.compile())
                .map_err(Error::Invalid)
        }
    }
}
