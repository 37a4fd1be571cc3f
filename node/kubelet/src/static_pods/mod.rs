//! Static pods: the manifests of a folder run here whether the API server answers or not, and are shown there by mirror
//! pods (upstream: `pkg/kubelet/config/file.go`, `pkg/kubelet/pod/mirror_client.go`).

mod manifest;
mod mirrors;

pub(crate) use manifest::StaticPod;

use crate::{
    registry::Input,
    view::Pod,
    worker::{Shared, Worker},
};
use api::{Key, Object};
use futures::StreamExt;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// How often the folder is read although nothing was seen to happen in it (upstream: `fileCheckFrequency`).
const CHECK: Duration = Duration::from_secs(20);

/// A mirror pod as the API has it.
#[derive(Clone, Debug)]
struct Mirror {
    uid: String,
    hash: String,
    ending: bool,
}

/// The static pods of this node and their mirror pods, by namespace and name.
#[derive(Debug, Default)]
pub(crate) struct StaticPods {
    wanted: Mutex<BTreeMap<Key, StaticPod>>,
    mirrors: Mutex<BTreeMap<Key, Mirror>>,
    /// The mirrors may not be what they should be.
    news: Notify,
}

impl StaticPods {
    fn wanted<T>(&self, f: impl FnOnce(&mut BTreeMap<Key, StaticPod>) -> T) -> T {
        f(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn mirrors<T>(&self, f: impl FnOnce(&mut BTreeMap<Key, Mirror>) -> T) -> T {
        f(&mut self.mirrors.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes note of a pod of the API; whether it is a mirror pod, which is not run.
    pub fn saw(&self, shared: &Shared, object: &Object, pod: &Pod) -> bool {
        let Some(hash) = pod.metadata.annotations.get(manifest::MIRROR) else {
            return false;
        };
        let mirror = Mirror {
            uid: object.uid().to_owned(),
            hash: hash.clone(),
            ending: pod.metadata.deletion_timestamp.is_some(),
        };
        self.mirrors(|all| all.insert(object.key(), mirror));
        self.aim(shared, &object.key());
        self.news.notify_one();
        true
    }

    /// Takes note of a pod that is gone from the API; whether it was a mirror pod.
    pub fn lost(&self, shared: &Shared, object: &Object) -> bool {
        let was = self.mirrors(|all| {
            let is_it = all.get(&object.key()).is_some_and(|m| m.uid == object.uid());
            is_it.then(|| all.remove(&object.key())).flatten()
        });
        if was.is_some() {
            self.aim(shared, &object.key());
            self.news.notify_one();
        }
        was.is_some()
    }

    /// Says to the worker of a static pod where its status is to be told.
    fn aim(&self, shared: &Shared, key: &Key) {
        let Some(uid) = self.wanted(|all| all.get(key).map(|pod| pod.uid.clone())) else {
            return;
        };
        let mirror = self.mirrors(|all| all.get(key).filter(|m| m.hash == uid && !m.ending).cloned());
        shared
            .registry
            .aim(&uid, mirror.map(|m| m.uid).unwrap_or_default());
    }

    /// Runs what lies in `folder`, and what changes there.
    pub async fn run(shared: Arc<Shared>, folder: std::path::PathBuf) {
        loop {
            // The folder may be another by now.
            let mut changes = shared.machine.watch(&folder);
            shared.statics.sync(&shared, read(&shared, &folder));
            tokio::select! {
                biased;
                Some(()) = changes.next() => {}
                () = shared.registry.forgotten.notified() => {}
                () = shared.env.clock.sleep(CHECK) => {}
            }
        }
    }

    fn sync(&self, shared: &Arc<Shared>, mut found: BTreeMap<Key, StaticPod>) {
        // What was read before keeps the time that it was seen first.
        self.wanted(|known| {
            for (key, pod) in &mut found {
                if let Some(same) = known.get(key).filter(|k| k.uid == pod.uid) {
                    pod.clone_from(same);
                }
            }
        });
        let before = self.wanted(|wanted| std::mem::replace(wanted, found.clone()));
        for (key, old) in &before {
            if found.get(key).is_none_or(|new| new.uid != old.uid) {
                shared.registry.gone(&old.uid, None);
            }
        }
        for (key, pod) in found {
            // One that was changed waits until the old one is over.
            let taken = shared.registry.pods().iter().any(|input| {
                let meta = &input.pod.metadata;
                meta.name == key.name && meta.namespace == key.namespace
            });
            if taken {
                continue;
            }
            let input = Input {
                pod: pod.pod.clone(),
                is_static: true,
                ..Input::default()
            };
            if let Some((receiver, poke)) = shared.registry.tell(&pod.uid, input) {
                tracing::info!(pod = pod.pod.full_name(), "static pod");
                Worker::spawn(shared, pod.uid.clone(), receiver, poke);
            }
            self.aim(shared, &key);
        }
        self.news.notify_one();
    }
}

/// The manifests of a folder that can be read. Names that start with a dot are passed over.
fn read(shared: &Shared, folder: &Path) -> BTreeMap<Key, StaticPod> {
    let mut found = BTreeMap::new();
    let names = shared.machine.children(folder);
    for name in names.into_iter().filter(|name| !name.starts_with('.')) {
        let path = folder.join(&name);
        if shared.machine.is_dir(&path).unwrap_or(true) {
            continue;
        }
        let text = shared.machine.read_tail(&path, MOST).map_err(|e| e.to_string());
        let at = shared.env.clock.wall();
        match text.and_then(|text| StaticPod::parse(&text, &shared.config.node_name, at)) {
            Ok(pod) => {
                found.entry(pod.key()).or_insert(pod);
            }
            Err(why) => tracing::error!(path = %path.display(), why, "could not process manifest file"),
        }
    }
    found
}

/// Longest manifest.
const MOST: usize = 1 << 20;
