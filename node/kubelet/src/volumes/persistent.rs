//! PersistentVolumes on this node (upstream: `pkg/volume/hostpath`, `pkg/volume/local`).

use super::{Claimed, MountFailure, Place, Volumes, set_up_failed};
use crate::{
    machine::Ownership,
    view::{HostPath, PersistentVolume, Pod, Volume},
};
use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
    sync::PoisonError,
};

/// Mode of a directory that `DirectoryOrCreate` makes.
const MODE: u32 = 0o755;
/// The same below the root of local-path, whose data is for any user a container may have.
const SHARED_MODE: u32 = 0o777;

impl Volumes {
    /// The place of a volume that a claim is bound to.
    pub(super) fn persistent(
        &self,
        pod: &Pod,
        volume: &Volume,
        claimed: &Claimed,
        warnings: &mut Vec<(&'static str, String)>,
    ) -> Result<Place, MountFailure> {
        let (name, spec) = (&claimed.volume.metadata.name, &claimed.volume.spec);
        let failed = |why: String| set_up_failed(name, &why);
        if spec.volume_mode == "Block" {
            return Err(MountFailure {
                reason: "FailedMapVolume",
                message: format!(
                    "MapVolume.SetUpDevice failed for volume {name:?} : raw block volumes are not supported by this kubelet"
                ),
                waits: false,
            });
        }
        if let Some(host) = &spec.host_path {
            return self.host_path(host, claimed.read_only).map_err(failed);
        }
        if let Some(local) = &spec.local {
            let place = Place {
                path: PathBuf::from(&local.path),
                read_only: claimed.read_only,
            };
            self.local_path(&place.path).map_err(|why| MountFailure {
                reason: "FailedMount",
                message: format!("MountVolume.NewMounter initialization failed for volume {name:?} : {why}"),
                waits: false,
            })?;
            warnings.extend(self.local(pod, name, &place).map_err(failed)?);
            return Ok(place);
        }
        if let Some(csi) = &spec.csi {
            return Err(MountFailure {
                reason: "FailedMount",
                message: format!(
                    "MountVolume.MountDevice failed for volume {name:?} : kubernetes.io/csi: attacher.MountDevice failed to \
                     create newCsiDriverClient: driver name {} not found in the list of registered CSI drivers",
                    csi.driver
                ),
                waits: false,
            });
        }
        Err(set_up_failed(&volume.name, "no volume plugin matched"))
    }

    /// The place of a hostPath, checked and made as its type says.
    pub(super) fn host_path(&self, host: &HostPath, read_only: bool) -> Result<Place, String> {
        let path = PathBuf::from(&host.path);
        if path.components().any(|c| c == Component::ParentDir) {
            return Err(format!("invalid HostPath `{}`: must not contain '..'", host.path));
        }
        let shared = path.starts_with(&self.local_path_root) && path != self.local_path_root;
        let mode = if shared { SHARED_MODE } else { MODE };
        self.machine.host_path(&path, &host.kind, mode)?;
        Ok(Place { path, read_only })
    }

    fn local_path(&self, path: &Path) -> Result<(), String> {
        if path.components().any(|c| c == Component::ParentDir) {
            return Err(format!("invalid path: {} must not contain '..'", path.display()));
        }
        match self.machine.is_dir(path) {
            Ok(true) => Ok(()),
            Ok(false) => Err("only directory and block device are supported".to_owned()),
            Err(_) => Err(format!("path {:?} does not exist", path.display().to_string())),
        }
    }

    /// A local volume's first pod gives it to its fsGroup; others that want another group only hear of it.
    fn local(&self, pod: &Pod, name: &str, place: &Place) -> Result<Option<(&'static str, String)>, String> {
        let (context, uid) = (&pod.spec.security_context, &pod.metadata.uid);
        let known = self.in_use(name, |pods| pods.clone());
        let mut warning = None;
        if let Some(group) = context.fs_group.filter(|_| !known.contains(uid)) {
            if known.is_empty() {
                let to = Ownership {
                    group,
                    read_only: place.read_only,
                    unless_root_fits: context.fs_group_change_policy == "OnRootMismatch",
                };
                self.machine
                    .set_group(&place.path, to)
                    .map_err(|e| e.to_string())?;
            } else {
                let found = self.machine.group_of(&place.path);
                let found = found
                    .map_err(|e| format!("failed to check fsGroup for {} ({e})", place.path.display()))?;
                warning = (found != group).then(|| {
                    let text = format!(
                        "The requested fsGroup is {group}, but the volume {name} has GID {found}. The volume may not be \
                         shareable."
                    );
                    ("AlreadyMountedVolume", text)
                });
            }
        }
        self.in_use(name, |pods| pods.insert(uid.clone()));
        Ok(warning)
    }

    fn in_use<T>(&self, name: &str, f: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        let mut all = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        f(all.entry(name.to_owned()).or_default())
    }
}

/// The group that a volume's annotation says its files belong to.
pub(super) fn group(volume: &PersistentVolume) -> Option<i64> {
    volume
        .metadata
        .annotations
        .get("pv.beta.kubernetes.io/gid")?
        .parse()
        .ok()
}
