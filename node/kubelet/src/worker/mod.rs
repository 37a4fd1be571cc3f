//! The worker of one pod: looks, plans, acts, tells, and waits for something to happen.

mod execute;
mod prepare;
mod start;
mod stop;

use crate::{
    about,
    actions::{Action, Backoff, Failure, Memory, Observed, go_duration, pod_actions},
    config::Config,
    eviction::Pressure,
    images::Images,
    machine::{Facts, Machine},
    pod::{self, PodFacts, StatusInput, pod_status, references},
    prober::{Prober, Subject},
    probes::Probes,
    registry::{Input, Registry},
    sources::Sources,
    static_pods::StaticPods,
    status_writer::{Of, StatusWriter},
    view::{Pod, PodStatus, Waiting},
    volumes::{self, Mounted, Volumes},
};
use api::{Key, requests::Amounts};
use client::{Cache, Client, Recorder, Severity};
use component::{Env, Tasks};
use jiff::{SignedDuration, Timestamp};
use runtime::{ContainerId, ContainerState, Runtime};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// What all workers share.
pub(crate) struct Shared {
    pub config: Config,
    pub client: Client,
    pub runtime: Arc<dyn Runtime>,
    pub runtime_name: String,
    pub machine: Arc<dyn Machine>,
    pub facts: Facts,
    pub env: Env,
    pub registry: Arc<Registry>,
    pub sources: Arc<Sources>,
    pub statics: StaticPods,
    /// What is short on the node.
    pub pressure: watch::Sender<Pressure>,
    /// Unused images are to go, all of them.
    pub disk_low: Notify,
    pub recorder: Recorder,
    pub images: Images,
    pub volumes: Volumes,
    pub services: Cache,
}

impl Shared {
    /// What pods may ask for together.
    pub fn capacity(&self) -> Amounts {
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let capacity = [
            ("cpu", i64::try_from(self.facts.cpus).unwrap_or(1) * 1000),
            ("memory", whole(self.facts.memory)),
            ("ephemeral-storage", whole(self.facts.disk)),
            ("pods", i64::from(self.config.max_pods)),
        ];
        capacity.map(|(name, amount)| (name.to_owned(), amount)).into()
    }

    pub fn pod_facts(&self, observed: &Observed, pod: &Pod) -> PodFacts {
        let sandbox = observed.sandbox().map(|s| s.ips.clone()).unwrap_or_default();
        PodFacts {
            pod_ips: if pod.spec.host_network {
                self.config.node_ips.clone()
            } else {
                sandbox
            },
            host_ips: self.config.node_ips.clone(),
            allocatable_cpu: i64::try_from(self.facts.cpus).unwrap_or(0) * 1000,
            allocatable_memory: i64::try_from(self.facts.memory).unwrap_or(i64::MAX),
        }
    }
}

/// After a step.
enum Next {
    /// Look again at once.
    Again,
    /// Wait for an event, at the latest until then.
    Wait(Option<Timestamp>),
    /// The pod is over and forgotten.
    Done,
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    uid: String,
    tasks: Tasks,
    input: watch::Receiver<Input>,
    poke: Arc<Notify>,
    memory: Memory,
    waiting: BTreeMap<String, Waiting>,
    retries: BTreeMap<String, Retry>,
    killing: Arc<Mutex<BTreeMap<ContainerId, i64>>>,
    /// Containers whose postStart hook is not over.
    hooked: Arc<Mutex<BTreeSet<ContainerId>>>,
    /// Containers that run.
    running: watch::Sender<BTreeSet<ContainerId>>,
    messages: BTreeMap<ContainerId, String>,
    volumes: volumes::Memory,
    mounted: Mounted,
    writer: StatusWriter,
    probes: Probes,
}

/// A start or set-up that failed, and when it may be tried again.
#[derive(Clone, Copy, Debug, Default)]
struct Retry {
    delay: SignedDuration,
    until: Option<Timestamp>,
}

const RELIST: Duration = Duration::from_secs(60);

impl Worker {
    /// Spawns the worker of the pod `uid`.
    pub fn spawn(shared: &Arc<Shared>, uid: String, input: watch::Receiver<Input>, poke: Arc<Notify>) {
        let tasks = shared.env.tasks.child();
        let (pod, is_static) = {
            let input = input.borrow();
            (input.pod.clone(), input.is_static)
        };
        let key = Key::new(&pod.metadata.namespace, &pod.metadata.name);
        let writer = StatusWriter::start(
            shared.client.clone(),
            &shared.env,
            &tasks,
            Of {
                key,
                uid: if is_static { String::new() } else { uid.clone() },
                records: shared.config.records.clone(),
            },
            pod.status.clone(),
        );
        let prober = Prober {
            runtime: shared.runtime.clone(),
            machine: shared.machine.clone(),
            clock: shared.env.clock.clone(),
            tasks: tasks.clone(),
        };
        let probes = Probes::new(
            prober,
            shared.recorder.clone(),
            shared.registry.clone(),
            tasks.clone(),
        );
        let attempts = pod
            .status
            .init_container_statuses
            .iter()
            .chain(&pod.status.container_statuses)
            .chain(&pod.status.ephemeral_container_statuses);
        let attempts = attempts
            .filter(|s| !s.container_id.is_empty())
            .map(|s| (s.name.clone(), s.restart_count));
        let worker = Self {
            shared: shared.clone(),
            uid,
            tasks: tasks.clone(),
            input,
            poke,
            memory: Memory {
                attempts: attempts.collect(),
                ..Memory::default()
            },
            waiting: BTreeMap::new(),
            retries: BTreeMap::new(),
            killing: Arc::default(),
            hooked: Arc::default(),
            running: watch::Sender::default(),
            messages: BTreeMap::new(),
            volumes: volumes::Memory::default(),
            mounted: Mounted::default(),
            writer,
            probes,
        };
        shared.env.tasks.spawn("pod", worker.run());
    }

    async fn run(mut self) {
        loop {
            let deadline = match self.step().await {
                Next::Again => continue,
                Next::Done => break,
                Next::Wait(deadline) => deadline,
            };
            let now = self.shared.env.clock.wall();
            // Runtime events may be lost: a slow look now and then is the net below.
            let until = deadline.map(|d| Duration::try_from(d.duration_since(now)).unwrap_or_default());
            let limit = until.unwrap_or(RELIST).min(RELIST);
            tokio::select! {
                biased;
                changed = self.input.changed() => if changed.is_err() { break },
                () = self.poke.notified() => {}
                () = self.shared.env.clock.sleep(limit) => {}
            }
        }
        self.shared
            .sources
            .set(&self.uid, "", &std::collections::BTreeSet::new());
        self.shared.images.forget(&self.uid);
        self.shared.registry.forget(&self.uid);
        self.tasks.stop();
    }

    async fn step(&mut self) -> Next {
        let input = self.input.borrow_and_update().clone();
        let pod = input.pod;
        self.memory.gone = input.gone;
        if input.is_static {
            self.writer.aim(&input.mirror);
        }
        let wanted = if input.gone || self.memory.finished {
            Default::default()
        } else {
            references(&pod)
        };
        self.shared
            .sources
            .set(&self.uid, &pod.metadata.namespace, &wanted);
        let observed = match self.observe().await {
            Ok(observed) => observed,
            Err(error) => {
                tracing::warn!(pod = pod.full_name(), %error, "cannot ask the runtime");
                return Next::Wait(Some(self.after(1)));
            }
        };
        self.note(&pod, &observed);
        let now = self.shared.env.clock.wall();
        self.admit(&pod, &observed);
        let deadline = self.check_deadline(&pod, now);
        self.check_eviction(&pod, &input.evicted);
        self.check_resources(&pod, &observed);
        let actions = pod_actions(&pod, &observed, &self.memory, now);
        self.note_waits(&pod, &actions);
        self.publish(&pod, &observed);
        let next = self.execute(&pod, &observed, actions).await;
        match next {
            Next::Wait(wake) => {
                self.publish(&pod, &observed);
                Next::Wait(wake.into_iter().chain(deadline).min())
            }
            other => other,
        }
    }

    fn after(&self, seconds: i64) -> Timestamp {
        let now = self.shared.env.clock.wall();
        now.saturating_add(SignedDuration::from_secs(seconds))
            .unwrap_or(now)
    }

    async fn observe(&self) -> Result<Observed, runtime::Error> {
        let all = self.shared.runtime.sandboxes().await?;
        let sandboxes: Vec<_> = all.into_iter().filter(|s| s.uid == self.uid).collect();
        let mut containers = Vec::new();
        for sandbox in &sandboxes {
            self.shared.registry.own(&sandbox.id, &self.uid);
            containers.extend(self.shared.runtime.containers(Some(sandbox.id.clone())).await?);
        }
        Ok(Observed::new(sandboxes, containers))
    }

    /// Takes in what probes found and what the dead said.
    fn note(&mut self, pod: &Arc<Pod>, observed: &Observed) {
        let ip = self
            .shared
            .pod_facts(observed, pod)
            .pod_ips
            .first()
            .cloned()
            .unwrap_or_default();
        self.running
            .send_replace(observed.running().map(|c| c.id.clone()).collect());
        self.memory.hooked = self
            .hooked
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        let (killing, told) = (self.killing(), self.writer.last());
        let going =
            self.memory.gone || self.memory.failure.is_some() || pod.metadata.deletion_timestamp.is_some();
        let subjects = observed
            .running()
            .filter(|c| !self.memory.hooked.contains(&c.id))
            .map(|c| {
                let id = pod::container_id(&self.shared.runtime_name, &c.id);
                let told = told.container(&c.name).filter(|s| s.container_id == id);
                Subject {
                    pod: pod.clone(),
                    container: c.name.clone(),
                    id: c.id.clone(),
                    ip: ip.clone(),
                    started_at: c.started_at,
                    was_ready: told.is_some_and(|s| s.ready),
                    was_started: told.is_some_and(|s| s.started == Some(true)),
                    ending: going || killing.contains_key(&c.id),
                }
            });
        self.probes.sync(subjects.collect());
        let findings = self.probes.findings();
        self.memory.condemned = findings.condemned;
        self.memory.starting = findings.starting;
        for container in &observed.containers {
            if container.state == ContainerState::Exited && !self.messages.contains_key(&container.id) {
                let message = self.last_words(pod, container);
                self.messages.insert(container.id.clone(), message);
            }
            if container.state == ContainerState::Running {
                self.waiting.remove(&container.name);
            }
        }
        let known = |id: &ContainerId| observed.containers.iter().any(|c| c.id == *id);
        self.messages.retain(|id, _| known(id));
        self.memory.finished = self.writer.last().is_over();
        self.memory
            .attempts
            .retain(|name, _| observed.latest(name).is_none());
    }

    fn killing(&self) -> BTreeMap<ContainerId, i64> {
        self.killing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// activeDeadlineSeconds; when it will be over.
    fn check_deadline(&mut self, pod: &Pod, now: Timestamp) -> Option<Timestamp> {
        let seconds = pod.spec.active_deadline_seconds?;
        let started: Timestamp = self.writer.last().start_time?.parse().ok()?;
        let deadline = started.saturating_add(SignedDuration::from_secs(seconds)).ok()?;
        if deadline > now {
            return Some(deadline);
        }
        if self.memory.failure.is_none() && !self.writer.last().is_over() {
            let message = "Pod was active on the node longer than the specified deadline";
            self.memory.failure = Some(Failure {
                reason: "DeadlineExceeded".to_owned(),
                message: message.to_owned(),
            });
            self.shared
                .recorder
                .record(about::pod(pod), Severity::Normal, "DeadlineExceeded", message);
        }
        None
    }

    /// A pod that the node puts out has failed.
    fn check_eviction(&mut self, pod: &Pod, why: &str) {
        if why.is_empty() || self.memory.failure.is_some() || self.memory.finished {
            return;
        }
        self.memory.failure = Some(Failure {
            reason: "Evicted".to_owned(),
            message: why.to_owned(),
        });
        self.shared
            .recorder
            .record(about::pod(pod), Severity::Warning, "Evicted", why);
    }

    /// Whether the node has what the pod asks for since it was changed.
    fn check_resources(&mut self, pod: &Pod, observed: &Observed) {
        let changed = pod.all_containers().any(|c| {
            let running = observed.running().find(|i| i.name == c.name);
            running.is_some_and(|i| !pod::is_actuated(pod, c, i))
        });
        self.memory.unfit = None;
        if !changed {
            return;
        }
        let others = self.shared.registry.asked_by_others(&self.uid);
        self.memory.unfit = pod::fits(&pod::requests(pod), &others, &self.shared.capacity()).err();
    }

    /// Crash back-offs become waiting states; what is not to start waits for nothing.
    fn note_waits(&mut self, pod: &Pod, actions: &[Action]) {
        self.waiting.retain(|name, _| {
            let about = |a: &Action| matches!(a, Action::Start { container, .. } | Action::Wait { container, .. } if container == name);
            actions.iter().any(about)
        });
        for action in actions {
            let Action::Wait { container, .. } = action else {
                continue;
            };
            let delay = self
                .memory
                .backoff
                .get(container)
                .map(Backoff::delay)
                .unwrap_or_default();
            let message = format!(
                "back-off {} restarting failed container={container} pod={}",
                go_duration(delay),
                pod.full_name()
            );
            let waiting = Waiting {
                reason: "CrashLoopBackOff".to_owned(),
                message,
            };
            if self.waiting.insert(container.clone(), waiting.clone()) != Some(waiting) {
                let told = format!(
                    "Back-off restarting failed container {container} in pod {}",
                    pod.full_name()
                );
                self.shared.recorder.record(
                    about::container(pod, container),
                    Severity::Warning,
                    "BackOff",
                    told,
                );
            }
        }
    }

    fn publish(&mut self, pod: &Pod, observed: &Observed) {
        if self.memory.gone {
            return;
        }
        let previous = self.writer.last();
        let status: PodStatus = pod_status(&StatusInput {
            pod,
            observed,
            memory: &self.memory,
            previous: &previous,
            waiting: &self.waiting,
            unready: &self.probes.findings().unready,
            messages: &self.messages,
            facts: &self.shared.pod_facts(observed, pod),
            runtime: &self.shared.runtime_name,
            now: self.shared.env.clock.wall(),
        });
        if status.is_over() {
            // The scheduler counts it no more once that is told.
            self.shared.registry.give_back(&self.uid);
        }
        let version = self.input.borrow().version;
        self.writer.insist(&status, &pod.status, version);
        self.writer.set(status);
    }

    /// The termination message of a dead container.
    fn last_words(&self, pod: &Pod, container: &runtime::ContainerStatus) -> String {
        let machine = &self.shared.machine;
        let log = container.annotations.get(pod::TERMINATION_LOG);
        let written = log
            .and_then(|path| machine.read_tail(path.as_ref(), 4096).ok())
            .unwrap_or_default();
        if !written.is_empty() {
            return String::from_utf8_lossy(&written).into_owned();
        }
        let policy = pod
            .container(&container.name)
            .map(|c| c.termination_message_policy.as_str());
        if policy == Some("FallbackToLogsOnError") && container.exit_code != 0 {
            let tail = machine
                .read_tail(container.log_path.as_ref(), 4096)
                .unwrap_or_default();
            return crate::logs::last_lines(&tail, 80, 2048);
        }
        container.message.clone()
    }
}
