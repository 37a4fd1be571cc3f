//! Volumes of a pod on the host: directories under the pod's folder, filled from objects, fields and tokens.

mod project;
mod token;

pub use token::Tokens;

use crate::{
    machine::{Files, Machine},
    pod::{Objects, PodFacts},
    view::{Pod, Volume},
};
use client::Client;
use component::Env;
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A volume that could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountFailure {
    /// Its name.
    pub volume: String,
    /// Why.
    pub why: String,
}

/// What stands, and when it must be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounted {
    /// Where each volume is.
    pub paths: BTreeMap<String, PathBuf>,
    /// When a token must be renewed.
    pub renew: Option<Timestamp>,
}

/// Makes volumes.
#[derive(Clone)]
pub struct Volumes {
    machine: Arc<dyn Machine>,
    client: Client,
    env: Env,
    root: PathBuf,
}

impl std::fmt::Debug for Volumes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Volumes({})", self.root.display())
    }
}

impl Volumes {
    /// Under `root` (the kubelet's folder).
    pub fn new(machine: Arc<dyn Machine>, client: Client, env: Env, root: PathBuf) -> Self {
        Self {
            machine,
            client,
            env,
            root,
        }
    }

    /// A pod's folder.
    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// Pods that have a folder.
    pub fn pods(&self) -> Vec<String> {
        self.machine.children(&self.root.join("pods"))
    }

    /// Removes all that a pod has on disk.
    pub fn remove(&self, uid: &str) -> std::io::Result<()> {
        self.machine.remove_tree(&self.pod_dir(uid))
    }

    fn dir(&self, pod: &Pod, plugin: &str, volume: &str) -> PathBuf {
        self.pod_dir(&pod.metadata.uid)
            .join("volumes")
            .join(format!("kubernetes.io~{plugin}"))
            .join(volume)
    }

    /// Makes all volumes of a pod, or brings those that stand up to date.
    pub async fn sync(
        &self,
        pod: &Pod,
        objects: &Objects,
        facts: &PodFacts,
        tokens: &mut Tokens,
    ) -> Result<Mounted, MountFailure> {
        let mut mounted = Mounted::default();
        for volume in &pod.spec.volumes {
            let made = self.volume(pod, volume, objects, facts, tokens).await;
            let path = made.map_err(|why| MountFailure {
                volume: volume.name.clone(),
                why,
            })?;
            mounted.paths.insert(volume.name.clone(), path);
        }
        mounted.renew = tokens.next_renewal();
        Ok(mounted)
    }

    async fn volume(
        &self,
        pod: &Pod,
        volume: &Volume,
        objects: &Objects,
        facts: &PodFacts,
        tokens: &mut Tokens,
    ) -> Result<PathBuf, String> {
        let group = pod.spec.security_context.fs_group;
        if let Some(host) = &volume.host_path {
            let path = PathBuf::from(&host.path);
            self.machine.host_path(&path, &host.kind)?;
            return Ok(path);
        }
        if let Some(empty) = &volume.empty_dir {
            let dir = self.dir(pod, "empty-dir", &volume.name);
            let fresh = self.machine.is_dir(&dir).is_err();
            if empty.medium == "Memory" {
                let limit = empty.size_limit.filter(|q| !q.is_zero());
                let size = limit.map(|q| u64::try_from(q.value()).unwrap_or(u64::MAX));
                self.machine.mount_tmpfs(&dir, size).map_err(|e| e.to_string())?;
            }
            if fresh {
                // Later its mode is the containers' own business.
                self.machine
                    .make_dir(&dir, 0o777, group)
                    .map_err(|e| e.to_string())?;
            }
            return Ok(dir);
        }
        let (plugin, files, secret) = self.files(pod, volume, objects, facts, tokens).await?;
        let dir = self.dir(pod, plugin, &volume.name);
        self.publish(&dir, &files, group, secret)?;
        Ok(dir)
    }

    async fn files(
        &self,
        pod: &Pod,
        volume: &Volume,
        objects: &Objects,
        facts: &PodFacts,
        tokens: &mut Tokens,
    ) -> Result<(&'static str, Files, bool), String> {
        let mut files = Files::new();
        if let Some(source) = &volume.config_map {
            project::config_map(&mut files, source, source.default_mode, objects)?;
            return Ok(("configmap", files, false));
        }
        if let Some(source) = &volume.secret {
            project::secret(&mut files, &source.into(), source.default_mode, objects)?;
            return Ok(("secret", files, true));
        }
        if let Some(source) = &volume.downward_api {
            project::downward(&mut files, source, source.default_mode, pod, facts)?;
            return Ok(("downward-api", files, false));
        }
        let Some(projected) = &volume.projected else {
            return Err("no volume plugin matched".to_owned());
        };
        for source in &projected.sources {
            let mode = projected.default_mode;
            if let Some(source) = &source.config_map {
                project::config_map(&mut files, source, mode, objects)?;
            }
            if let Some(source) = &source.secret {
                project::secret(&mut files, source, mode, objects)?;
            }
            if let Some(source) = &source.downward_api {
                project::downward(&mut files, source, mode, pod, facts)?;
            }
            if let Some(source) = &source.service_account_token {
                let token = tokens.get(&self.client, &self.env, pod, source).await?;
                let shared = pod.spec.security_context.fs_group.is_some();
                let mode = if shared { 0o600 } else { mode.unwrap_or(0o644) };
                project::put(&mut files, &source.path, token.into_bytes(), mode);
            }
        }
        Ok(("projected", files, true))
    }

    fn publish(&self, dir: &Path, files: &Files, group: Option<i64>, secret: bool) -> Result<(), String> {
        if secret {
            // Secrets stay out of the disk.
            self.machine.mount_tmpfs(dir, None).map_err(|e| e.to_string())?;
        }
        self.machine
            .make_dir(dir, 0o777, group)
            .map_err(|e| e.to_string())?;
        self.machine.publish(dir, files, group).map_err(|e| e.to_string())
    }
}
