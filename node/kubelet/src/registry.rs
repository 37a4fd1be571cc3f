//! Which pods there are here, and how to reach their workers.

use crate::{
    pod::{Rejection, lacking, requests},
    view::{Pod, Port},
};
use api::requests::Amounts;
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
    /// What pods need of the node, by their UIDs.
    claims: Mutex<BTreeMap<String, Claim>>,
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

/// What a pod needs of its node.
#[derive(Debug)]
struct Claim {
    host_ports: Vec<Port>,
    requests: Amounts,
}

fn sum<'a>(claims: impl Iterator<Item = &'a Claim>) -> Amounts {
    let mut sum = Amounts::new();
    for (name, amount) in claims.flat_map(|claim| &claim.requests) {
        *sum.entry(name.clone()).or_default() += amount;
    }
    sum
}

impl Claim {
    fn of(pod: &Pod) -> Self {
        let side_cars = pod.spec.init_containers.iter().filter(|c| c.is_sidecar());
        let containers = pod.spec.containers.iter().chain(side_cars);
        let ports = containers.flat_map(|container| &container.ports);
        Self {
            host_ports: ports.filter(|port| port.host_port != 0).cloned().collect(),
            requests: requests(pod),
        }
    }

    /// Whether it is free beside the others' claims.
    fn beside<'a>(
        &self,
        others: impl Iterator<Item = &'a Self> + Clone,
        capacity: &Amounts,
    ) -> Result<(), Rejection> {
        if let Some((resource, message)) = lacking(&self.requests, &sum(others.clone()), capacity) {
            return Err((format!("OutOf{resource}"), message));
        }
        let mut taken = others.flat_map(|claim| &claim.host_ports);
        if taken.any(|taken| self.host_ports.iter().any(|port| collide(port, taken))) {
            let why =
                "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
            return Err(("NodePorts".to_owned(), why.to_owned()));
        }
        Ok(())
    }
}

impl Registry {
    /// Claims what a pod needs of the node: host ports, and its requests out of `capacity`. A pod that `runs` has them
    /// already.
    pub fn claim(&self, pod: &Pod, capacity: &Amounts, runs: bool) -> Result<(), Rejection> {
        let wanted = Claim::of(pod);
        let uid = &pod.metadata.uid;
        let mut all = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if !runs {
            let others = all
                .iter()
                .filter(|(other, _)| *other != uid)
                .map(|(_, claim)| claim);
            wanted.beside(others, capacity)?;
        }
        all.insert(uid.clone(), wanted);
        Ok(())
    }

    /// What all pods but this one ask for.
    pub fn asked_by_others(&self, uid: &str) -> Amounts {
        let all = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        sum(all
            .iter()
            .filter(|(other, _)| *other != uid)
            .map(|(_, claim)| claim))
    }

    /// Gives back what a pod claimed.
    pub fn give_back(&self, uid: &str) {
        self.claims
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
        self.give_back(uid);
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
