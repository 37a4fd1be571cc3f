//! Volumes of a pod on the host: directories under the pod's folder, filled from objects, fields and tokens, and what
//! claims are bound to (upstream: `pkg/volume`, `pkg/kubelet/volumemanager`).

mod bundle;
mod claim;
mod empty_dir;
mod local_path;
mod pem;
mod persistent;
mod pod_certificate;
mod project;
mod token;

use bundle::Bundles;
pub use local_path::LocalPath;
pub(crate) use local_path::ROOT_ANNOTATION;
use pod_certificate::{Asker, Certificates, Requests};
use token::Tokens;

use crate::{
    config::Config,
    machine::{Files, Machine},
    pod::{Objects, PodFacts},
    view::{PersistentVolume, Pod, Projection, Volume},
};
use client::Client;
use component::Env;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Volumes that could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountFailure {
    /// Reason of the event.
    pub reason: &'static str,
    /// Text of the event.
    pub message: String,
    /// Nothing is wrong yet: a claim is waited for, which only asking again tells of.
    pub waits: bool,
}

/// A volume of a pod, ready to be given to containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Where it is on the host.
    pub path: PathBuf,
    /// No container may write to it.
    pub read_only: bool,
}

/// What stands, and when it must be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounted {
    /// Where each volume is; images are the runtime's.
    pub places: BTreeMap<String, Place>,
    /// Groups that the volumes belong to, beside the fsGroup.
    pub groups: Vec<i64>,
    /// When a token must be renewed.
    pub renew: Option<Timestamp>,
    /// Reasons and texts of events.
    pub warnings: Vec<(&'static str, String)>,
}

/// What is remembered of a pod's volumes from one look to the next.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    tokens: Tokens,
    certificates: Certificates,
    /// What the claims of its volumes are bound to.
    claimed: BTreeMap<String, Claimed>,
}

impl Memory {
    /// Reasons and texts of warnings that are to be told once, whether or not all volumes stand.
    pub fn take_events(&mut self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.certificates.events)
    }
}

/// What volumes are filled from.
#[derive(Clone, Copy)]
struct Given<'a> {
    pod: &'a Pod,
    objects: &'a Objects,
    facts: &'a PodFacts,
}

/// A bound claim.
#[derive(Clone, Debug, Default)]
struct Claimed {
    volume: PersistentVolume,
    read_only: bool,
}

/// Makes volumes.
#[derive(Clone)]
pub struct Volumes {
    machine: Arc<dyn Machine>,
    client: Client,
    env: Env,
    root: PathBuf,
    /// Below it directories are made for everyone to write to.
    local_path_root: PathBuf,
    /// Local volumes, by the pods that use them.
    in_use: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>,
    bundles: Bundles,
    requests: Requests,
}

impl std::fmt::Debug for Volumes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Volumes({})", self.root.display())
    }
}

impl Volumes {
    /// Under the kubelet's folder.
    pub fn new(machine: Arc<dyn Machine>, client: Client, env: Env, config: &Config) -> Self {
        Self {
            machine,
            client,
            env,
            root: config.root_dir.clone(),
            local_path_root: config.local_path_root.clone(),
            in_use: Arc::default(),
            bundles: Bundles::default(),
            requests: Requests::new(&config.node_name),
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
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.values_mut().for_each(|pods| _ = pods.remove(uid));
        in_use.retain(|_, pods| !pods.is_empty());
        drop(in_use);
        self.machine.remove_tree(&self.pod_dir(uid))
    }

    /// Mounts `sub` of a volume for the `index`th mount of a container.
    pub fn sub_path(
        &self,
        pod: &Pod,
        (volume, path): (&str, &Path),
        sub: &Path,
        (container, index): (&str, usize),
    ) -> std::io::Result<PathBuf> {
        let at = self.pod_dir(&pod.metadata.uid).join("volume-subpaths");
        let at = at.join(volume).join(container).join(index.to_string());
        self.machine.sub_path(path, sub, &at)?;
        Ok(at)
    }

    fn dir(&self, pod: &Pod, plugin: &str, volume: &str) -> PathBuf {
        self.pod_dir(&pod.metadata.uid)
            .join("volumes")
            .join(format!("kubernetes.io~{plugin}"))
            .join(volume)
    }

    /// Makes all volumes of a pod that its containers use, or brings those that stand up to date.
    pub async fn sync(
        &self,
        pod: &Pod,
        objects: &Objects,
        facts: &PodFacts,
        memory: &mut Memory,
    ) -> Result<Mounted, MountFailure> {
        self.claims(pod, memory).await?;
        let mut mounted = Mounted::default();
        let given = Given { pod, objects, facts };
        let used = pod.used_volumes();
        for volume in pod.spec.volumes.iter().filter(|v| used.contains(v.name.as_str())) {
            if volume.image.is_some() {
                continue;
            }
            let place = match memory.claimed.get(&volume.name) {
                Some(claimed) => {
                    mounted.groups.extend(persistent::group(&claimed.volume));
                    self.persistent(pod, volume, claimed, &mut mounted.warnings)?
                }
                None => {
                    let made = self.volume(given, volume, memory).await;
                    made.map_err(|why| MountFailure {
                        waits: memory.certificates.waits(),
                        ..set_up_failed(&volume.name, &why)
                    })?
                }
            };
            mounted.places.insert(volume.name.clone(), place);
        }
        let looks = [memory.tokens.next_renewal(), memory.certificates.next_look()];
        mounted.renew = looks.into_iter().flatten().min();
        if trusts(pod) {
            // Bundles are looked at again as upstream's kubelet looks at all volumes.
            let soon = self.env.clock.wall() + jiff::SignedDuration::from_mins(1);
            mounted.renew = Some(mounted.renew.map_or(soon, |renew| renew.min(soon)));
        }
        Ok(mounted)
    }

    async fn volume(&self, given: Given<'_>, volume: &Volume, memory: &mut Memory) -> Result<Place, String> {
        let Given { pod, facts, .. } = given;
        if let Some(host) = &volume.host_path {
            return self.host_path(host, false);
        }
        if let Some(empty) = &volume.empty_dir {
            let dir = self.dir(pod, "empty-dir", &volume.name);
            return self.empty_dir(pod, empty, facts, dir);
        }
        if let Some(csi) = &volume.csi {
            return Err(format!(
                "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name {} not found in the list of \
                 registered CSI drivers",
                csi.driver
            ));
        }
        if volume.others.contains_key("gitRepo") {
            return Err("git-repo volume plugin has been disabled; if necessary, it may be re-enabled by enabling the \
                        feature-gate `GitRepoVolumeDriver`"
                .to_owned());
        }
        let (plugin, files, secret) = self.files(given, volume, memory).await?;
        let dir = self.dir(pod, plugin, &volume.name);
        self.publish(&dir, &files, pod.spec.security_context.fs_group, secret)?;
        Ok(Place {
            path: dir,
            read_only: true,
        })
    }

    async fn files(
        &self,
        given: Given<'_>,
        volume: &Volume,
        memory: &mut Memory,
    ) -> Result<(&'static str, Files, bool), String> {
        let Given { pod, objects, facts } = given;
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
        let (mut errors, mode) = (Vec::new(), projected.default_mode);
        for (index, source) in projected.sources.iter().enumerate() {
            let of = (volume.name.as_str(), index);
            let made = self.projection(&mut files, of, source, mode, given, memory).await;
            errors.extend(made.err());
        }
        match errors.as_slice() {
            [] => Ok(("projected", files, true)),
            [error] => Err(error.clone()),
            errors => Err(format!("[{}]", errors.join(", "))),
        }
    }

    async fn projection(
        &self,
        files: &mut Files,
        of: (&str, usize),
        source: &Projection,
        mode: Option<u32>,
        given: Given<'_>,
        memory: &mut Memory,
    ) -> Result<(), String> {
        let Given { pod, objects, facts } = given;
        if let Some(source) = &source.config_map {
            project::config_map(files, source, mode, objects)?;
        }
        if let Some(source) = &source.secret {
            project::secret(files, source, mode, objects)?;
        }
        if let Some(source) = &source.downward_api {
            project::downward(files, source, mode, pod, facts)?;
        }
        if let Some(source) = &source.service_account_token {
            let token = memory.tokens.get(&self.client, &self.env, pod, source).await?;
            project::credential(files, &source.path, mode, pod, token);
        }
        if let Some(source) = &source.cluster_trust_bundle {
            let text = self.bundles.text(source, &self.client, &self.env).await?;
            project::put(files, &source.path, text.into_bytes(), mode.unwrap_or(0o644));
        }
        if let Some(source) = &source.pod_certificate {
            let asker = Asker {
                requests: &self.requests,
                client: &self.client,
                env: &self.env,
                pod,
            };
            let bundle = memory.certificates.get(of, source, asker).await?;
            let both = format!("{}{}", bundle.key, bundle.chain);
            for (path, text) in [
                (&source.credential_bundle_path, both),
                (&source.key_path, bundle.key),
                (&source.certificate_chain_path, bundle.chain),
            ] {
                if !path.is_empty() {
                    project::credential(files, path, mode, pod, text);
                }
            }
        }
        match source.others.keys().next() {
            Some(other) => Err(format!(
                "projected volumes of {other} are not supported by this kubelet"
            )),
            None => Ok(()),
        }
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

/// Whether the pod wants certificates to trust.
fn trusts(pod: &Pod) -> bool {
    let projected = pod
        .spec
        .volumes
        .iter()
        .filter_map(|volume| volume.projected.as_ref());
    projected
        .flat_map(|projected| &projected.sources)
        .any(|source| source.cluster_trust_bundle.is_some())
}

/// As upstream's mounter says that a volume cannot be had.
fn set_up_failed(volume: &str, why: &str) -> MountFailure {
    MountFailure {
        reason: "FailedMount",
        message: format!("MountVolume.SetUp failed for volume {volume:?} : {why}"),
        waits: false,
    }
}
