//! Which pods there are here, and how to reach their workers.

use crate::view::{Pod, Port};
use runtime::{RuntimeEvent, SandboxId};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{Notify, watch};

/// What a worker is told.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The pod as it was last.
    pub pod: Arc<Pod>,
    /// Of which version that is; 0 when the API did not tell it.
    pub version: u64,
    /// The object is gone from the API.
    pub gone: bool,
    /// It comes from a manifest on this node.
    pub is_static: bool,
    /// Why the node puts it out; empty: it does not.
    pub evicted: String,
    /// UID of the mirror pod that shows it in the API, if it is a static pod that has one.
    pub mirror: String,
}

#[derive(Debug)]
struct Handle {
    input: watch::Sender<Input>,
    poke: Arc<Notify>,
}

/// Whether a worker has to look: its own writes of the status are no news.
fn differs(known: &Input, told: &Input) -> bool {
    let foreign = |input: &Input| {
        let theirs = input
            .pod
            .status
            .conditions
            .iter()
            .filter(|c| !OWN_CONDITIONS.contains(&c.kind.as_str()));
        theirs
            .map(|c| (c.kind.clone(), c.status.clone()))
            .collect::<Vec<_>>()
    };
    let ready = |input: &Input| input.pod.status.ready().map(str::to_owned);
    known.gone != told.gone
        || known.mirror != told.mirror
        || known.evicted != told.evicted
        || ready(known) != ready(told)
        || known.pod.metadata != told.pod.metadata
        || known.pod.spec != told.pod.spec
        || foreign(known) != foreign(told)
}

const OWN_CONDITIONS: [&str; 7] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodResizePending",
    "PodResizeInProgress",
];

/// The workers by pod UID.
#[derive(Debug, Default)]
pub struct Registry {
    workers: Mutex<BTreeMap<String, Handle>>,
    sandboxes: Mutex<BTreeMap<SandboxId, String>>,
    /// Host ports, by the UID of the pod that has them.
    ports: Mutex<BTreeMap<String, Vec<Port>>>,
    /// A pod was forgotten.
    pub forgotten: Notify,
}

/// Whether two containers cannot both have their ports on one host.
fn collide(a: &Port, b: &Port) -> bool {
    let protocol = |port: &Port| {
        if port.protocol.is_empty() {
            "TCP".to_owned()
        } else {
            port.protocol.clone()
        }
    };
    let everywhere = |port: &Port| matches!(port.host_ip.as_str(), "" | "0.0.0.0" | "::");
    a.host_port == b.host_port
        && protocol(a) == protocol(b)
        && (a.host_ip == b.host_ip || everywhere(a) || everywhere(b))
}

impl Registry {
    /// Takes the host ports of a pod; false: another pod has one of them. A pod that `runs` has its own already.
    pub fn take_ports(&self, pod: &Pod, runs: bool) -> bool {
        let containers = pod.spec.containers.iter();
        let side_cars = pod
            .spec
            .init_containers
            .iter()
            .filter(|c| c.restart_policy == "Always");
        let ports = containers.chain(side_cars).flat_map(|container| &container.ports);
        let wanted: Vec<Port> = ports.filter(|port| port.host_port != 0).cloned().collect();
        if wanted.is_empty() {
            return true;
        }
        let uid = &pod.metadata.uid;
        let mut all = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let mut others = all
            .iter()
            .filter(|(other, _)| *other != uid)
            .flat_map(|(_, ports)| ports);
        let free = !others.any(|taken| wanted.iter().any(|port| collide(port, taken)));
        if free || runs {
            all.insert(uid.clone(), wanted);
        }
        free || runs
    }

    /// Gives the host ports of a pod back.
    pub fn give_ports(&self, uid: &str) {
        self.ports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }

    fn workers<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Handle>) -> T) -> T {
        f(&mut self.workers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn sandboxes<T>(&self, f: impl FnOnce(&mut BTreeMap<SandboxId, String>) -> T) -> T {
        f(&mut self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the worker of a pod; a new one's ends are returned when there was none.
    pub fn tell(&self, uid: &str, input: Input) -> Option<(watch::Receiver<Input>, Arc<Notify>)> {
        self.workers(|workers| {
            if let Some(handle) = workers.get(uid) {
                handle.input.send_if_modified(|known| {
                    let mut input = input;
                    known.evicted.clone_into(&mut input.evicted);
                    let news = differs(known, &input);
                    *known = input;
                    news
                });
                return None;
            }
            let (sender, receiver) = watch::channel(input);
            let poke = Arc::new(Notify::new());
            workers.insert(
                uid.to_owned(),
                Handle {
                    input: sender,
                    poke: poke.clone(),
                },
            );
            Some((receiver, poke))
        })
    }

    /// Says that the object of a pod is gone; `last` is how it was then, which says how long the pod has to stop.
    pub fn gone(&self, uid: &str, last: Option<Pod>) {
        self.workers(|workers| {
            if let Some(handle) = workers.get(uid) {
                handle.input.send_modify(|input| {
                    input.gone = true;
                    if let Some(last) = last {
                        input.pod = Arc::new(last);
                    }
                });
            }
        });
    }

    /// Says that the node puts a pod out, and why.
    pub fn evict(&self, uid: &str, why: &str) {
        self.workers(|workers| {
            if let Some(handle) = workers.get(uid) {
                handle
                    .input
                    .send_modify(|input| why.clone_into(&mut input.evicted));
            }
        });
    }

    /// Says by which pod of the API a static pod is shown.
    pub fn aim(&self, uid: &str, mirror: String) {
        self.workers(|workers| {
            if let Some(handle) = workers.get(uid) {
                handle.input.send_if_modified(|input| {
                    let news = input.mirror != mirror;
                    input.mirror = mirror;
                    news
                });
            }
        });
    }

    /// Makes a worker look again.
    pub fn poke(&self, uid: &str) {
        self.workers(|workers| {
            if let Some(handle) = workers.get(uid) {
                handle.poke.notify_one();
            }
        });
    }

    /// Makes all workers look again.
    pub fn poke_all(&self) {
        self.workers(|workers| workers.values().for_each(|h| h.poke.notify_one()));
    }

    /// The pods, by UID.
    pub fn pods(&self) -> Vec<Input> {
        self.workers(|workers| workers.values().map(|h| h.input.borrow().clone()).collect())
    }

    /// Whether a pod has a worker.
    pub fn has(&self, uid: &str) -> bool {
        self.workers(|workers| workers.contains_key(uid))
    }

    /// Forgets a pod whose worker is done.
    pub fn forget(&self, uid: &str) {
        self.workers(|workers| workers.remove(uid));
        self.sandboxes(|sandboxes| sandboxes.retain(|_, owner| owner != uid));
        self.give_ports(uid);
        self.forgotten.notify_one();
    }

    /// Says whose a sandbox is.
    pub fn own(&self, sandbox: &SandboxId, uid: &str) {
        self.sandboxes(|sandboxes| sandboxes.insert(sandbox.clone(), uid.to_owned()));
    }

    /// Passes a runtime's event on.
    pub fn happened(&self, event: &RuntimeEvent) {
        let (RuntimeEvent::Started(sandbox, _)
        | RuntimeEvent::Exited(sandbox, _)
        | RuntimeEvent::SandboxGone(sandbox)) = event;
        if let Some(uid) = self.sandboxes(|sandboxes| sandboxes.get(sandbox).cloned()) {
            self.poke(&uid);
        }
    }
}
