//! The status of a pod: a pure function of what is there and what was told before (upstream: `kubelet_pods.go`,
//! `convertStatusToAPIStatus`, `getPhase`; `pkg/kubelet/status/generate.go`).

use super::{PodFacts, is_actuated, qos};
use crate::{
    actions::{Memory, Observed},
    view::{
        Condition, Container, ContainerState, ContainerStatus, Ip, Pod, PodStatus, Running, Terminated,
        Waiting, is_last,
    },
};
use jiff::Timestamp;
use runtime::{ContainerId, ContainerState as RuntimeState, ContainerStatus as Instance};
use std::collections::{BTreeMap, BTreeSet};

/// What a status is made from.
#[derive(Debug)]
pub struct StatusInput<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// As the runtime has it.
    pub observed: &'a Observed,
    /// What is remembered.
    pub memory: &'a Memory,
    /// What was told last.
    pub previous: &'a PodStatus,
    /// Why containers wait, by name.
    pub waiting: &'a BTreeMap<String, Waiting>,
    /// Running containers that their readiness probe does not call ready.
    pub unready: &'a BTreeSet<ContainerId>,
    /// Last words, by container.
    pub messages: &'a BTreeMap<ContainerId, String>,
    /// Addresses.
    pub facts: &'a PodFacts,
    /// Name of the runtime.
    pub runtime: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// As the API writes times: whole seconds.
pub fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `runtime://id`.
pub fn container_id(runtime: &str, id: &ContainerId) -> String {
    format!("{runtime}://{}", id.0)
}

/// The status of a pod.
pub fn pod_status(input: &StatusInput<'_>) -> PodStatus {
    let pod = input.pod;
    let initialized = initialized(input);
    let rejected = input.memory.failure.is_some()
        && input.observed.containers.is_empty()
        && input.previous.container_statuses.is_empty();
    let of = |containers: &[Container], init: bool| {
        // Of what the node did not take there is nothing to tell.
        let containers = containers.iter().filter(|_| !rejected);
        containers
            .map(|c| container_status(input, c, init, initialized))
            .collect()
    };
    let init_statuses: Vec<ContainerStatus> = of(&pod.spec.init_containers, true);
    let statuses: Vec<ContainerStatus> = of(&pod.spec.containers, false);
    let mut ephemeral: Vec<ContainerStatus> = of(&pod.spec.ephemeral_containers, false);
    // Nobody waits for them.
    for status in &mut ephemeral {
        (status.ready, status.started) = (false, None);
    }
    let phase = phase(input, &init_statuses, &statuses);
    let ips: Vec<String> = match input.observed.sandbox() {
        Some(_) if pod.spec.host_network => input.facts.host_ips.clone(),
        Some(sandbox) => sandbox.ips.clone(),
        None if is_last(&phase) || ending(input) => {
            input.previous.pod_ips.iter().map(|ip| ip.ip.clone()).collect()
        }
        None => Vec::new(),
    };
    let ip_list = |ips: &[String]| ips.iter().map(|ip| Ip { ip: ip.clone() }).collect::<Vec<_>>();
    let mut status = PodStatus {
        observed_generation: (pod.metadata.generation > 0).then_some(pod.metadata.generation),
        conditions: Vec::new(),
        reason: input.memory.failure.as_ref().map(|f| f.reason.clone()),
        message: input.memory.failure.as_ref().map(|f| f.message.clone()),
        host_ip: input.facts.host_ips.first().cloned(),
        host_ips: ip_list(&input.facts.host_ips),
        pod_ip: ips.first().cloned(),
        pod_ips: ip_list(&ips),
        start_time: input
            .previous
            .start_time
            .clone()
            .or_else(|| Some(timestamp(input.now))),
        init_container_statuses: init_statuses,
        container_statuses: statuses,
        ephemeral_container_statuses: ephemeral,
        qos_class: qos(pod).name().to_owned(),
        phase,
    };
    shorten(&mut status);
    status.conditions = conditions(input, &status, initialized);
    status
}

fn ending(input: &StatusInput<'_>) -> bool {
    input.memory.gone || input.memory.failure.is_some() || input.pod.metadata.deletion_timestamp.is_some()
}

/// All last words of a pod together have so many bytes (upstream: `MaxPodTerminationMessageLogLength`).
const MESSAGES: usize = 12 * 1024;

/// Cuts last words that are too long for a pod of so many containers.
fn shorten(status: &mut PodStatus) {
    let lists = status.lists_mut();
    let count: usize = lists.iter().map(|list| list.len()).sum();
    let most = MESSAGES / count.max(1);
    for container in lists.into_iter().flatten() {
        for state in [&mut container.state, &mut container.last_state] {
            if let Some(end) = state.terminated.as_mut().filter(|end| end.message.len() > most) {
                let cut = (0..=most).rev().find(|at| end.message.is_char_boundary(*at));
                end.message.truncate(cut.unwrap_or(0));
            }
        }
    }
}

/// Whether the init containers did their work.
fn initialized(input: &StatusInput<'_>) -> bool {
    let observed = input.observed;
    let began = input
        .pod
        .spec
        .containers
        .iter()
        .any(|c| observed.latest(&c.name).is_some());
    let done = |c: &Container| {
        observed.current(&c.name).is_some_and(|i| match i.state {
            RuntimeState::Exited => i.exit_code == 0 && !c.is_sidecar(),
            RuntimeState::Running => {
                let waits = input.memory.starting.contains(&i.id) || input.memory.hooked.contains(&i.id);
                c.is_sidecar() && !waits
            }
            _ => false,
        })
    };
    began || input.pod.spec.init_containers.iter().all(done)
}

fn terminated(input: &StatusInput<'_>, instance: &Instance) -> Terminated {
    let reason = match instance.reason.as_str() {
        "" if instance.exit_code == 0 => "Completed",
        "" => "Error",
        given => given,
    };
    let time = |at: Timestamp| (at != Timestamp::UNIX_EPOCH).then(|| timestamp(at));
    Terminated {
        exit_code: instance.exit_code,
        reason: reason.to_owned(),
        message: input
            .messages
            .get(&instance.id)
            .unwrap_or(&instance.message)
            .clone(),
        started_at: time(instance.started_at),
        finished_at: time(instance.finished_at),
        container_id: container_id(input.runtime, &instance.id),
    }
}

fn container_status(
    input: &StatusInput<'_>,
    container: &Container,
    init: bool,
    initialized: bool,
) -> ContainerStatus {
    let previous = input.previous.container(&container.name);
    let Some(latest) = input.observed.latest(&container.name) else {
        return unseen(input, container, previous, init, initialized);
    };
    let ended = |i: &Instance| ContainerState {
        terminated: Some(terminated(input, i)),
        ..ContainerState::default()
    };
    let before = input
        .observed
        .instances(&container.name)
        .nth(1)
        .filter(|i| i.state == RuntimeState::Exited);
    let mut last_state = match before {
        Some(instance) => ended(instance),
        None => previous
            .filter(|p| p.restart_count == latest.attempt)
            .map(|p| p.last_state.clone())
            .unwrap_or_default(),
    };
    let waiting = input.waiting.get(&container.name).cloned();
    let state = match (latest.state, waiting) {
        // As upstream, which tells nothing of a container before its postStart hook is over.
        (RuntimeState::Running, _) if input.memory.hooked.contains(&latest.id) => ContainerState {
            waiting: Some(default_waiting(input)),
            ..ContainerState::default()
        },
        (RuntimeState::Running, _) => {
            let running = Running {
                started_at: Some(timestamp(latest.started_at)),
            };
            ContainerState {
                running: Some(running),
                ..ContainerState::default()
            }
        }
        (RuntimeState::Exited, Some(waiting)) => {
            last_state = ended(latest);
            ContainerState {
                waiting: Some(waiting),
                ..ContainerState::default()
            }
        }
        (RuntimeState::Exited, None) => ended(latest),
        (_, waiting) => {
            let waiting = waiting.or_else(|| Some(default_waiting(input)));
            ContainerState {
                waiting,
                ..ContainerState::default()
            }
        }
    };
    let running = state.running.is_some();
    let started = running && !input.memory.starting.contains(&latest.id);
    let complete =
        init && !container.is_sidecar() && state.terminated.as_ref().is_some_and(|t| t.exit_code == 0);
    ContainerStatus {
        name: container.name.clone(),
        ready: complete
            || (started && (!init || container.is_sidecar()) && !input.unready.contains(&latest.id)),
        started: Some(started),
        restart_count: latest.attempt,
        image: if latest.image.is_empty() {
            container.image.clone()
        } else {
            latest.image.clone()
        },
        image_id: latest.image_id.clone(),
        container_id: container_id(input.runtime, &latest.id),
        last_state,
        state,
        ..resources(input, container, latest, previous)
    }
}

/// What of a container's resources holds: what it asks for, unless that has not been done or cannot be.
fn resources(
    input: &StatusInput<'_>,
    container: &Container,
    latest: &Instance,
    previous: Option<&ContainerStatus>,
) -> ContainerStatus {
    let allocated = input.memory.unfit.is_none();
    let actuated = allocated && is_actuated(input.pod, container, latest);
    let before = previous.filter(|p| p.resources.is_some());
    let own = &container.resources;
    ContainerStatus {
        allocated_resources: match before {
            Some(before) if !allocated => before.allocated_resources.clone(),
            _ => own.requests.clone(),
        },
        resources: match before {
            Some(before) if !actuated => before.resources.clone(),
            _ => Some(own.clone()),
        },
        ..ContainerStatus::default()
    }
}

fn default_waiting(input: &StatusInput<'_>) -> Waiting {
    let reason = if input.pod.spec.init_containers.is_empty() {
        "ContainerCreating"
    } else {
        "PodInitializing"
    };
    Waiting {
        reason: reason.to_owned(),
        message: String::new(),
    }
}

/// A container that the runtime does not know.
fn unseen(
    input: &StatusInput<'_>,
    container: &Container,
    previous: Option<&ContainerStatus>,
    init: bool,
    initialized: bool,
) -> ContainerStatus {
    let over = ending(input) || input.previous.is_over() || (init && initialized);
    if let Some(previous) = previous.filter(|_| over) {
        let mut status = previous.clone();
        if let Some(running) = status.state.running.take() {
            status.state.terminated = Some(Terminated {
                exit_code: 137,
                reason: "ContainerStatusUnknown".to_owned(),
                message: "The container could not be located when the pod was terminated".to_owned(),
                started_at: running.started_at,
                finished_at: None,
                container_id: status.container_id.clone(),
            });
        }
        status.ready = status.ready && init;
        status.started = Some(false);
        return status;
    }
    let waiting = input.waiting.get(&container.name).cloned();
    let waiting = waiting.unwrap_or_else(|| default_waiting(input));
    ContainerStatus {
        name: container.name.clone(),
        state: ContainerState {
            waiting: Some(waiting),
            ..ContainerState::default()
        },
        last_state: previous.map(|p| p.last_state.clone()).unwrap_or_default(),
        started: Some(false),
        restart_count: previous.map_or(0, |p| p.restart_count),
        image: container.image.clone(),
        ..ContainerStatus::default()
    }
}

/// How many containers are how (upstream: `getPhase`).
#[derive(Default)]
struct Count {
    running: usize,
    waiting: usize,
    stopped: usize,
    succeeded: usize,
    /// Stopped, and to run again.
    again: usize,
}

impl Count {
    fn add(&mut self, pod: &Pod, container: &Container, status: &ContainerStatus) {
        let end = status.state.terminated.as_ref();
        let end = end.or(status
            .last_state
            .terminated
            .as_ref()
            .filter(|_| status.state.waiting.is_some()));
        match (&status.state.running, end) {
            (Some(_), _) => self.running += 1,
            // How a side-car ended says nothing of the pod.
            (None, Some(_)) if container.is_sidecar() => {}
            (None, Some(end)) => {
                self.stopped += 1;
                self.succeeded += usize::from(end.exit_code == 0);
                self.again += usize::from(pod.restarts(container, end.exit_code));
            }
            (None, None) => self.waiting += 1,
        }
    }
}

fn phase(input: &StatusInput<'_>, init: &[ContainerStatus], statuses: &[ContainerStatus]) -> String {
    let pod = input.pod;
    // A phase that is final stays.
    if input.previous.is_over() {
        return input.previous.phase.clone();
    }
    let mut count = Count::default();
    let sidecars = pod
        .spec
        .init_containers
        .iter()
        .zip(init)
        .filter(|(c, _)| c.is_sidecar());
    let main = pod.spec.containers.iter().zip(statuses);
    main.chain(sidecars).for_each(|(c, s)| count.add(pod, c, s));
    let working = init.iter().any(|s| s.state.running.is_some()) || count.running > 0;
    let phase = if input.memory.failure.is_some() {
        if working { "Running" } else { "Failed" }
    } else if ending(input) && !working {
        let tried = count.stopped > 0 || init.iter().any(|s| s.state.terminated.is_some());
        match (tried, count.stopped == count.succeeded && count.waiting == 0) {
            (true, true) => "Succeeded",
            (true, false) => "Failed",
            (false, _) => "Pending",
        }
    } else {
        let began = statuses
            .iter()
            .any(|s| s.state.waiting.is_none() || s.last_state.terminated.is_some());
        match initialization(pod, init) {
            Initialization::Failed => "Failed",
            Initialization::Pending if !began => "Pending",
            _ => phase_of(&count),
        }
    };
    phase.to_owned()
}

fn phase_of(count: &Count) -> &'static str {
    match count {
        Count { waiting: 1.., .. } => "Pending",
        Count { running: 1.., .. } | Count { again: 1.., .. } => "Running",
        Count {
            stopped, succeeded, ..
        } if stopped == succeeded => "Succeeded",
        _ => "Failed",
    }
}

enum Initialization {
    Done,
    Pending,
    Failed,
}

fn initialization(pod: &Pod, init: &[ContainerStatus]) -> Initialization {
    let mut result = Initialization::Done;
    for (container, status) in pod.spec.init_containers.iter().zip(init) {
        let end = status.state.terminated.as_ref().map(|t| t.exit_code);
        match end {
            _ if container.is_sidecar() => {
                if status.started != Some(true) {
                    result = Initialization::Pending;
                }
            }
            Some(0) => {}
            Some(code) if !pod.restarts(container, code) => return Initialization::Failed,
            _ => result = Initialization::Pending,
        }
    }
    result
}

fn conditions(input: &StatusInput<'_>, status: &PodStatus, initialized: bool) -> Vec<Condition> {
    let pod = input.pod;
    let phase = status.phase.as_str();
    let list = |bad: Vec<String>| format!("[{}]", bad.join(" "));
    let names = |of: &mut dyn Iterator<Item = (&Container, &ContainerStatus)>| -> Vec<String> {
        of.map(|(_, s)| s.name.clone()).collect()
    };
    let init = || {
        pod.spec
            .init_containers
            .iter()
            .zip(&status.init_container_statuses)
    };
    let main = || pod.spec.containers.iter().zip(&status.container_statuses);
    let unready = || {
        let all = init().filter(|(c, _)| c.is_sidecar()).chain(main());
        names(&mut all.filter(|(_, s)| !s.ready))
    };
    let incomplete = || {
        let done = |c: &Container, s: &ContainerStatus| match c.is_sidecar() {
            true => s.started == Some(true),
            false => s.ready,
        };
        names(&mut init().filter(|(c, s)| !done(c, s)))
    };
    let set_up = input
        .observed
        .sandbox()
        .is_some_and(|s| pod.spec.host_network || !s.ips.is_empty());
    let initial = match (phase, initialized) {
        ("Succeeded", _) => (true, "PodCompleted", String::new()),
        (_, true) => (true, "", String::new()),
        _ => (
            false,
            "ContainersNotInitialized",
            format!("containers with incomplete status: {}", list(incomplete())),
        ),
    };
    let containers = match (phase, unready()) {
        ("Succeeded", _) => (false, "PodCompleted", String::new()),
        ("Failed", _) => (false, "PodFailed", String::new()),
        (_, bad) if bad.is_empty() => (true, "", String::new()),
        (_, bad) => (
            false,
            "ContainersNotReady",
            format!("containers with unready status: {}", list(bad)),
        ),
    };
    let gates = pod.spec.readiness_gates.iter().map(|g| g.condition_type.as_str());
    let closed: Vec<String> = gates
        .filter_map(|gate| match pod.status.condition(gate).status.as_str() {
            "True" => None,
            "" => Some(format!(
                "corresponding condition of pod readiness gate {gate:?} does not exist."
            )),
            other => Some(format!(
                "the status of pod readiness gate {gate:?} is not \"True\", but {other}"
            )),
        })
        .collect();
    let ready = if containers.0 && !closed.is_empty() {
        (false, "ReadinessGatesNotReady", closed.join(", "))
    } else {
        containers.clone()
    };
    let pending = input.memory.unfit.as_ref();
    let pending = pending.map(|f| ("PodResizePending", (true, f.reason.as_str(), f.message.clone())));
    let under_way = input.memory.unfit.is_none()
        && pod.all_containers().any(|c| {
            let running = input.observed.running().find(|i| i.name == c.name);
            running.is_some_and(|i| !is_actuated(pod, c, i))
        });
    let failed = input.memory.resize_error.as_deref();
    let progress = (
        "PodResizeInProgress",
        (
            true,
            failed.map_or("", |_| "Error"),
            failed.unwrap_or_default().to_owned(),
        ),
    );
    let evicted = input.memory.failure.as_ref().filter(|f| f.reason == "Evicted");
    let disruption = evicted.map(|f| {
        (
            "DisruptionTarget",
            (true, "TerminationByKubelet", f.message.clone()),
        )
    });
    let more = pending
        .into_iter()
        .chain(disruption)
        .chain(under_way.then_some(progress));
    [
        ("PodReadyToStartContainers", (set_up, "", String::new())),
        ("Initialized", initial),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", (true, "", String::new())),
    ]
    .into_iter()
    .chain(more)
    .map(|(kind, (holds, reason, message))| {
        let state = if holds { "True" } else { "False" };
        let before = input.previous.condition(kind);
        let since = before
            .last_transition_time
            .clone()
            .filter(|_| before.status == state);
        Condition {
            kind: kind.to_owned(),
            status: state.to_owned(),
            observed_generation: status.observed_generation,
            last_transition_time: since.or_else(|| Some(timestamp(input.now))),
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
            message: (!message.is_empty()).then_some(message),
            patch: None,
        }
    })
    .collect()
}
