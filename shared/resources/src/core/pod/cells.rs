//! The line that kubectl prints for a pod.

use crate::{Cell, Column, cells, duration};
use api::Object;
use jiff::Timestamp;
use serde::Deserialize;

pub(super) const COLUMNS: &[Column] = &[
    cells::NAME,
    cells::column("Ready", "string", "Ready containers of all."),
    cells::column(
        "Status",
        "string",
        "What the pod is doing, from its phase and its containers.",
    ),
    cells::column(
        "Restarts",
        "string",
        "How often its containers were restarted, and when last.",
    ),
    cells::AGE,
    cells::wide("IP", "Address of the pod."),
    cells::wide("Node", "Node of the pod."),
    cells::wide("Nominated Node", "Node that is being cleared for the pod."),
    cells::wide(
        "Readiness Gates",
        "Conditions that are met of those that the pod waits for.",
    ),
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: String,
    containers: Vec<Declared>,
    init_containers: Vec<Declared>,
    readiness_gates: Vec<Gate>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Declared {
    name: String,
    restart_policy: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Gate {
    condition_type: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: String,
    reason: String,
    #[serde(rename = "podIP")]
    pod_ip: String,
    nominated_node_name: String,
    conditions: Vec<Condition>,
    container_statuses: Vec<Container>,
    init_container_statuses: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    name: String,
    ready: bool,
    started: bool,
    restart_count: i64,
    state: State,
    last_state: State,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    waiting: Option<Waiting>,
    running: Option<serde::de::IgnoredAny>,
    terminated: Option<Terminated>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Terminated {
    exit_code: i32,
    signal: i32,
    reason: String,
    finished_at: Option<Timestamp>,
}

impl Terminated {
    fn reason(&self) -> String {
        match (self.reason.as_str(), self.signal) {
            ("", 0) => format!("ExitCode:{}", self.exit_code),
            ("", signal) => format!("Signal:{signal}"),
            (reason, _) => reason.to_owned(),
        }
    }
}

impl Status {
    fn is_true(&self, condition: &str) -> bool {
        self.conditions
            .iter()
            .any(|c| c.r#type == condition && c.status == "True")
    }
}

/// What is counted over the containers.
#[derive(Default)]
struct Tally {
    ready: usize,
    restarts: i64,
    last: Option<Timestamp>,
}

impl Tally {
    fn count(&mut self, container: &Container) {
        self.restarts += container.restart_count;
        let finished = container
            .last_state
            .terminated
            .as_ref()
            .and_then(|terminated| terminated.finished_at);
        self.last = self.last.max(finished);
    }

    fn restarts(&self, now: Timestamp) -> String {
        match self.last {
            Some(last) if self.restarts != 0 => {
                format!("{} ({} ago)", self.restarts, duration::since(Some(last), now))
            }
            _ => self.restarts.to_string(),
        }
    }
}

/// An init container that stays beside the others.
fn is_sidecar(spec: &Spec, name: &str) -> bool {
    spec.init_containers
        .iter()
        .any(|c| c.name == name && c.restart_policy == "Always")
}

/// Looks at the init containers: the state of the first that is not through, and the tallies of all and of sidecars.
fn init(view: &View) -> (Option<String>, Tally, Tally) {
    let (mut all, mut sidecars) = (Tally::default(), Tally::default());
    for (i, container) in view.status.init_container_statuses.iter().enumerate() {
        let sidecar = is_sidecar(&view.spec, &container.name);
        all.count(container);
        if sidecar {
            sidecars.count(container);
        }
        let reason = match (&container.state.terminated, &container.state.waiting) {
            (Some(terminated), _) if terminated.exit_code == 0 => continue,
            _ if sidecar && container.started => {
                let ready = usize::from(container.ready);
                (all.ready, sidecars.ready) = (all.ready + ready, sidecars.ready + ready);
                continue;
            }
            (Some(terminated), _) => terminated.reason(),
            (None, Some(waiting)) if !["", "PodInitializing"].contains(&waiting.reason.as_str()) => {
                waiting.reason.clone()
            }
            _ => format!("{i}/{}", view.spec.init_containers.len()),
        };
        return (Some(format!("Init:{reason}")), all, sidecars);
    }
    (None, all, sidecars)
}

/// Looks at the containers; the first one with something to say is heard.
fn containers(view: &View, tally: &mut Tally) -> Option<String> {
    let (mut reason, mut running) = (None, false);
    for container in view.status.container_statuses.iter().rev() {
        tally.count(container);
        let state = &container.state;
        if let Some(waiting) = state
            .waiting
            .as_ref()
            .filter(|waiting| !waiting.reason.is_empty())
        {
            reason = Some(waiting.reason.clone());
        } else if let Some(terminated) = &state.terminated {
            reason = Some(terminated.reason());
        } else if container.ready && state.running.is_some() {
            running = true;
            tally.ready += 1;
        }
    }
    if reason.as_deref() == Some("Completed") && running {
        return Some(
            if view.status.is_true("Ready") {
                "Running"
            } else {
                "NotReady"
            }
            .to_owned(),
        );
    }
    reason
}

fn state(view: &View, deleted: bool) -> (String, Tally) {
    let status = &view.status;
    let mut reason = if status.reason.is_empty() {
        status.phase.clone()
    } else {
        status.reason.clone()
    };
    if status
        .conditions
        .iter()
        .any(|c| c.r#type == "PodScheduled" && c.reason == "SchedulingGated")
    {
        "SchedulingGated".clone_into(&mut reason);
    }
    let (initializing, all, mut tally) = init(view);
    if initializing.is_some() && !status.is_true("Initialized") {
        tally = all;
        reason = initializing.unwrap_or_default();
    } else {
        if let Some(initializing) = initializing {
            reason = initializing;
        }
        if let Some(said) = containers(view, &mut tally) {
            reason = said;
        }
    }
    if deleted && status.reason == "NodeLost" {
        "Unknown".clone_into(&mut reason);
    } else if deleted && !["Succeeded", "Failed"].contains(&status.phase.as_str()) {
        "Terminating".clone_into(&mut reason);
    }
    (reason, tally)
}

pub(super) fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let view: View = cells::view(object);
    let (reason, tally) = state(&view, object.deletion_timestamp().is_some());
    let sidecars = view
        .spec
        .init_containers
        .iter()
        .filter(|c| c.restart_policy == "Always")
        .count();
    let total = view.spec.containers.len() + sidecars;
    let gates = &view.spec.readiness_gates;
    let met = gates
        .iter()
        .filter(|gate| view.status.is_true(&gate.condition_type))
        .count();
    let gates = if gates.is_empty() {
        String::new()
    } else {
        format!("{met}/{}", gates.len())
    };
    vec![
        cells::name(object),
        Cell::Text(format!("{}/{total}", tally.ready)),
        Cell::Text(reason),
        Cell::Text(tally.restarts(now)),
        cells::age(object, now),
        cells::or_none(&view.status.pod_ip),
        cells::or_none(&view.spec.node_name),
        cells::or_none(&view.status.nominated_node_name),
        cells::or_none(&gates),
    ]
}
