//! The data of `local-path` volumes on this node. A volume whose data must be removed before it goes has a finalizer; the
//! kubelet of the node that has the data removes both.

use crate::{
    machine::Machine,
    resources::VOLUMES,
    view::{NodeMatch, PersistentVolume},
};
use api::Object;
use client::{About, Cache, Client, Patch, Recorder, Severity};
use component::Env;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The finalizer of volumes that have data on a node.
pub(crate) const FINALIZER: &str = "ferrokube.io/local-path-data";
/// The node's annotation that says where such data lies.
pub(crate) const ROOT_ANNOTATION: &str = "ferrokube.io/local-path-root";
const PROTECTION: &str = "kubernetes.io/pv-protection";
const RETRY: Duration = Duration::from_secs(15);

/// Removes the data of released volumes.
pub struct LocalPath {
    /// Below it lies all data.
    pub root: PathBuf,
    /// The node.
    pub node: String,
    /// For the volumes.
    pub client: Client,
    /// For the files.
    pub machine: Arc<dyn Machine>,
    /// For events.
    pub recorder: Recorder,
    /// For time and tasks.
    pub env: Env,
}

impl std::fmt::Debug for LocalPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalPath({})", self.root.display())
    }
}

#[derive(Serialize)]
struct Change<'a> {
    metadata: ChangedMeta<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangedMeta<'a> {
    uid: &'a str,
    resource_version: String,
    finalizers: Vec<&'a str>,
}

impl LocalPath {
    /// Follows the volumes of `cache`.
    pub async fn run(self, cache: Cache) {
        let mut changes = cache.subscribe();
        let mut failed: BTreeMap<String, Arc<Object>> = BTreeMap::new();
        loop {
            let change = tokio::select! {
                biased;
                change = changes.recv() => change,
                () = self.env.clock.sleep(RETRY), if !failed.is_empty() => {
                    for object in std::mem::take(&mut failed).into_values() {
                        self.look(object, &mut failed).await;
                    }
                    continue;
                }
            };
            match change {
                None => return,
                Some(client::Change::Deleted { old }) => drop(failed.remove(old.uid())),
                Some(client::Change::Applied { new, .. }) => {
                    failed.remove(new.uid());
                    self.look(new, &mut failed).await;
                }
            }
        }
    }

    async fn look(&self, object: Arc<Object>, failed: &mut BTreeMap<String, Arc<Object>>) {
        let Some(data) = object
            .view()
            .ok()
            .and_then(|volume| due(&object, &volume, &self.node))
        else {
            return;
        };
        if let Err(why) = self.release(&object, data).await {
            let about = About::object(&object);
            self.recorder
                .record(about, Severity::Warning, "VolumeFailedDelete", why);
            failed.insert(object.uid().to_owned(), object);
        }
    }

    async fn release(&self, object: &Object, data: Option<PathBuf>) -> Result<(), String> {
        if let Some(path) = data {
            let (machine, root) = (self.machine.clone(), self.root.clone());
            let removed = self
                .env
                .tasks
                .blocking(move || machine.remove_beneath(&root, &path))
                .await;
            removed
                .unwrap_or(Ok(()))
                .map_err(|error| format!("data of the volume not removed: {error}"))?;
        }
        let change = Change {
            metadata: ChangedMeta {
                uid: object.uid(),
                resource_version: object.resource_version().to_string(),
                finalizers: object.finalizers().filter(|f| *f != FINALIZER).collect(),
            },
        };
        let written = self
            .client
            .patch(&VOLUMES, &object.key(), "", Patch::Merge, &change)
            .await;
        match written {
            Err(status) if !status.is_not_found() => Err(format!("finalizer not removed: {status}")),
            _ => Ok(()),
        }
    }
}

/// Whether a volume's data on `node` is to go now, and where it lies; a volume that is kept by its reclaim policy only
/// loses the finalizer. What is still bound is left alone.
fn due(object: &Object, volume: &PersistentVolume, node: &str) -> Option<Option<PathBuf>> {
    object.deletion_timestamp()?;
    let has = |wanted: &str| object.finalizers().any(|f| f == wanted);
    if !has(FINALIZER) || has(PROTECTION) || !names(volume, node) {
        return None;
    }
    let spec = &volume.spec;
    let path = spec
        .host_path
        .as_ref()
        .map(|h| &h.path)
        .or(spec.local.as_ref().map(|l| &l.path));
    let removed = spec.persistent_volume_reclaim_policy == "Delete";
    Some(path.filter(|_| removed).map(|path| Path::new(path).to_owned()))
}

/// Whether the volume can be reached on that node only.
fn names(volume: &PersistentVolume, node: &str) -> bool {
    let only = |m: &NodeMatch, key: &str| m.key == key && m.operator == "In" && m.values == [node];
    let terms = &volume.spec.node_affinity.required.node_selector_terms;
    let named = |term: &crate::view::NodeTerm| {
        term.match_expressions
            .iter()
            .any(|m| only(m, "kubernetes.io/hostname"))
            || term.match_fields.iter().any(|m| only(m, "metadata.name"))
    };
    !terms.is_empty() && terms.iter().all(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(change: impl Fn(String) -> String) -> Option<Option<PathBuf>> {
        let text = change(
            r#"{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"v","uid":"u","resourceVersion":"7",
              "deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["ferrokube.io/local-path-data"]},
              "spec":{"persistentVolumeReclaimPolicy":"Delete","hostPath":{"path":"/data/v"},"nodeAffinity":{"required":
              {"nodeSelectorTerms":[{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"In","values":["n1"]}]}]}}}}"#
                .to_owned(),
        );
        let object = Object::parse(text.into_bytes().into(), 7, &[]).unwrap();
        due(&object, &object.view().unwrap(), "n1")
    }

    #[test]
    fn only_released_volumes_of_this_node_lose_their_data() {
        assert_eq!(look(|t| t), Some(Some("/data/v".into())));
        assert_eq!(look(|t| t.replace("\"Delete\"", "\"Retain\"")), Some(None));
        assert_eq!(look(|t| t.replace("\"n1\"", "\"n2\"")), None);
        assert_eq!(look(|t| t.replace("[\"n1\"]", "[\"n1\",\"n2\"]")), None);
        assert_eq!(
            look(|t| t.replace("\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",", "")),
            None
        );
        assert_eq!(look(|t| t.replace("local-path-data\"", "other\"")), None);
        assert_eq!(
            look(|t| t.replace(
                "local-path-data\"",
                "local-path-data\",\"kubernetes.io/pv-protection\""
            )),
            None,
            "still bound"
        );
    }
}
