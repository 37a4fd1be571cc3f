//! The runtime in the daemon. What it knows is on disk; what happens comes from supervisors as events.

mod container;
mod link;
mod sandbox;
mod serve;
mod spec;
mod streams;

use crate::{
    cgroup::Cgroups,
    edge::{ContainerId, Error, Result, RuntimeEvent, SandboxId},
    images::{Images, Registries},
    program::Sealed,
    record::{self, CONTAINER, ContainerRecord, SANDBOX, SandboxRecord},
};
use component::Env;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::sync::broadcast;

/// Events kept for a slow reader.
const EVENTS_KEPT: usize = 1024;

/// Where the runtime keeps things and whom it works with.
pub struct Config {
    /// What must outlive a reboot: `images/`, `pods/`.
    pub data_dir: PathBuf,
    /// What need not: `pods/ID.sock`, `netns/ID`.
    pub run_dir: PathBuf,
    /// `registries.yaml`; it need not exist.
    pub registries: PathBuf,
    /// The pod network.
    pub cni: Arc<dyn cni::Cni>,
    /// Cgroup under which all of ours stand, such as `/ferrokube`.
    pub cgroup_root: String,
    /// The program that supervisors run, which must call [`crate::hook`] first; `None`: this one.
    pub program: Option<PathBuf>,
}

/// Our own container runtime.
pub struct Native {
    config: Config,
    env: Env,
    images: Images,
    cgroups: Cgroups,
    program: Sealed,
    pods: Mutex<BTreeMap<String, Pod>>,
    events: broadcast::Sender<RuntimeEvent>,
    /// For tasks that must not keep the runtime alive.
    me: Weak<Self>,
}

/// A sandbox as the daemon has it.
#[derive(Clone, Debug)]
struct Pod {
    record: SandboxRecord,
    /// Its supervisor answers.
    alive: bool,
    containers: BTreeMap<String, ContainerRecord>,
}

impl Native {
    /// Opens the runtime and takes up the sandboxes that are there. Must be called inside a Tokio runtime.
    pub fn open(config: Config, env: Env) -> Result<Arc<Self>> {
        let said = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| Error::Internal(format!("{what}: {error}"))
        };
        for dir in [
            config.data_dir.join("pods"),
            config.run_dir.join("pods"),
            config.run_dir.join("netns"),
        ] {
            fs::create_dir_all(&dir).map_err(said(&format!("make {}", dir.display())))?;
        }
        let registries = Registries::read(&config.registries)?;
        let images = Images::open(config.data_dir.join("images"), registries, env.clone())
            .map_err(said("open the image store"))?;
        let cgroups = Cgroups::detect(&config.cgroup_root).map_err(said("look at cgroups"))?;
        let path = config
            .program
            .clone()
            .unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        let program = Sealed::copy(&path).map_err(said("copy the supervisor's program"))?;
        let pods = Mutex::new(read_pods(&config.data_dir.join("pods")).map_err(said("read sandboxes"))?);
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        let native = Arc::new_cyclic(|me| {
            let me = me.clone();
            Self {
                config,
                env,
                images,
                cgroups,
                program,
                pods,
                events,
                me,
            }
        });
        native.take_up();
        Ok(native)
    }

    /// Finds the supervisors of the sandboxes that were read.
    fn take_up(&self) {
        let pods = self.pods().clone();
        for (id, pod) in pods {
            if pod.record.stopped {
                continue;
            }
            match link::Link::open(&self.socket(&id)) {
                Ok(link) => {
                    self.with_pod(&id, |pod| pod.alive = true);
                    self.watch(id, link);
                }
                Err(error) => {
                    tracing::warn!(sandbox = id, %error, "the sandbox's supervisor is gone");
                    self.bury(&id);
                }
            }
        }
    }

    /// Passes on a supervisor's events until it is gone.
    fn watch(&self, id: String, link: link::Link) {
        let native = self.me.clone();
        self.env.tasks.spawn("sandbox events", async move {
            let subscribed = link.ask(crate::protocol::Command::Subscribe, &[]).await;
            while subscribed.is_ok()
                && let Ok(Some((reply, _))) = link.hear().await
            {
                let Some(native) = native.upgrade() else { return };
                if let crate::protocol::Reply::Event { container, exited } = reply {
                    let (sandbox, container) = (SandboxId(id.clone()), ContainerId(container));
                    let make = if exited {
                        RuntimeEvent::Exited
                    } else {
                        RuntimeEvent::Started
                    };
                    let _ = native.events.send(make(sandbox, container));
                }
            }
            if let Some(native) = native.upgrade() {
                native.lost(&id);
            }
        });
    }

    /// A supervisor's connection ended: by our will, or because it died.
    fn lost(&self, id: &str) {
        let unexpected = self.with_pod(id, |pod| std::mem::take(&mut pod.alive) && !pod.record.stopped);
        if unexpected == Some(true) {
            tracing::error!(sandbox = id, "the sandbox's supervisor died");
            self.bury(id);
        }
        let _ = self
            .events
            .send(RuntimeEvent::SandboxGone(SandboxId(id.to_owned())));
    }

    fn pods(&self) -> MutexGuard<'_, BTreeMap<String, Pod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_pod<T>(&self, id: &str, f: impl FnOnce(&mut Pod) -> T) -> Option<T> {
        self.pods().get_mut(id).map(f)
    }

    fn pod(&self, id: &str) -> Result<Pod> {
        self.pods()
            .get(id)
            .cloned()
            .ok_or_else(|| Error::NotFound(format!("sandbox {id:?} not found")))
    }

    /// The sandbox that container `id` is in, and the container.
    fn container(&self, id: &str) -> Result<(String, ContainerRecord)> {
        let pods = self.pods();
        let found = pods
            .iter()
            .find_map(|(pod, p)| Some((pod.clone(), p.containers.get(id)?.clone())));
        found.ok_or_else(|| Error::NotFound(format!("container {id:?} not found")))
    }

    fn socket(&self, sandbox: &str) -> PathBuf {
        self.config.run_dir.join("pods").join(format!("{sandbox}.sock"))
    }

    fn pod_dir(&self, sandbox: &str) -> PathBuf {
        self.config.data_dir.join("pods").join(sandbox)
    }

    fn container_dir(&self, sandbox: &str, container: &str) -> PathBuf {
        self.pod_dir(sandbox).join("containers").join(container)
    }

    fn new_id(&self) -> String {
        let mut bytes = [0u8; 16];
        self.env.random.fill(&mut bytes);
        component::hex::encode(bytes)
    }
}

fn read_pods(dir: &Path) -> io::Result<BTreeMap<String, Pod>> {
    let mut pods = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(record) = record::read::<SandboxRecord>(&path.join(SANDBOX))? else {
            continue;
        };
        let mut containers = BTreeMap::new();
        for entry in fs::read_dir(path.join("containers"))
            .into_iter()
            .flatten()
            .flatten()
        {
            if let Some(container) = record::read::<ContainerRecord>(&entry.path().join(CONTAINER))? {
                containers.insert(container.id.clone(), container);
            }
        }
        pods.insert(
            record.id.clone(),
            Pod {
                record,
                alive: false,
                containers,
            },
        );
    }
    Ok(pods)
}

/// Names what failed.
fn internal(what: &str) -> impl FnOnce(io::Error) -> Error + use<> {
    let what = what.to_owned();
    move |error| Error::Internal(format!("{what}: {error}"))
}
