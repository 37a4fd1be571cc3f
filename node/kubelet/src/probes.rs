//! Probes: how a container is, asked again and again (upstream: `pkg/kubelet/prober`).

use crate::{
    about,
    prober::{Outcome, Prober, Subject},
    registry::Registry,
    view::{Container, Probe},
};
use client::{Recorder, Severity};
use component::Tasks;
use runtime::ContainerId;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::AbortHandle;

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// What probes found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Running containers that are not ready.
    pub unready: BTreeSet<ContainerId>,
    /// Running containers that have not started yet.
    pub starting: BTreeSet<ContainerId>,
    /// Running containers that must be restarted, with their grace and why.
    pub condemned: BTreeMap<ContainerId, (i64, String)>,
}

/// Between looks of a probe whether the start-up probe has succeeded.
const HELD: Duration = Duration::from_secs(1);

/// When a container that just started is looked at again, in milliseconds, until it is up: upstream looks for the first time
/// about when these are over, so that no failure before counts or is told.
const EARLY: [u64; 5] = [20, 80, 200, 300, 400];

/// How often a probe that cannot be done is tried.
const TRIES: usize = 3;

/// The probes of one pod's running containers.
#[derive(Debug)]
pub struct Probes {
    prober: Prober,
    recorder: Recorder,
    registry: Arc<Registry>,
    tasks: Tasks,
    findings: Arc<Mutex<Findings>>,
    running: BTreeMap<(ContainerId, Kind), AbortHandle>,
}

impl Probes {
    /// None yet. Their tasks live in `tasks`.
    pub fn new(prober: Prober, recorder: Recorder, registry: Arc<Registry>, tasks: Tasks) -> Self {
        Self {
            prober,
            recorder,
            registry,
            tasks,
            findings: Arc::default(),
            running: BTreeMap::new(),
        }
    }

    /// What they found so far.
    pub fn findings(&self) -> Findings {
        self.findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Starts the probes of containers that run now, ends those of others.
    pub fn sync(&mut self, subjects: Vec<Subject>) {
        let alive: BTreeSet<&ContainerId> = subjects.iter().map(|s| &s.id).collect();
        let ending = |id: &ContainerId| subjects.iter().any(|s| s.id == *id && s.ending);
        self.running.retain(|(id, kind), task| {
            // What is being stopped is not killed for its health, but may still become ready or unready.
            let keep = alive.contains(id) && (*kind == Kind::Readiness || !ending(id));
            if !keep {
                task.abort();
            }
            keep
        });
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.unready.retain(|id| alive.contains(id));
        findings.starting.retain(|id| alive.contains(id));
        findings.condemned.retain(|id, _| alive.contains(id));
        drop(findings);
        for subject in subjects {
            let pod = subject.pod.clone();
            let Some(container) = pod.container(&subject.container) else {
                continue;
            };
            for (kind, probe) in probes_of(container) {
                let over = match kind {
                    Kind::Startup => subject.ending || subject.was_started,
                    Kind::Liveness => subject.ending,
                    Kind::Readiness => false,
                };
                if !over && !self.running.contains_key(&(subject.id.clone(), kind)) {
                    self.start(subject.clone(), kind, probe.clone());
                }
            }
        }
    }

    fn start(&mut self, subject: Subject, kind: Kind, probe: Probe) {
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        match kind {
            Kind::Startup => _ = findings.starting.insert(subject.id.clone()),
            // A kubelet that starts anew believes what it told before, until it finds otherwise.
            Kind::Readiness if !subject.was_ready => _ = findings.unready.insert(subject.id.clone()),
            Kind::Readiness | Kind::Liveness => {}
        }
        drop(findings);
        let key = (subject.id.clone(), kind);
        let worker = Worker {
            prober: self.prober.clone(),
            recorder: self.recorder.clone(),
            registry: self.registry.clone(),
            findings: self.findings.clone(),
            subject,
            kind,
            probe,
        };
        self.running.insert(key, self.tasks.spawn("probe", worker.run()));
    }
}

fn probes_of(container: &Container) -> impl Iterator<Item = (Kind, &Probe)> {
    [
        (Kind::Startup, &container.startup_probe),
        (Kind::Liveness, &container.liveness_probe),
        (Kind::Readiness, &container.readiness_probe),
    ]
    .into_iter()
    .filter_map(|(kind, probe)| probe.as_ref().map(|p| (kind, p)))
}

struct Worker {
    prober: Prober,
    recorder: Recorder,
    registry: Arc<Registry>,
    findings: Arc<Mutex<Findings>>,
    subject: Subject,
    kind: Kind,
    probe: Probe,
}

impl Worker {
    async fn run(self) {
        let probe = &self.probe;
        let period = Duration::from_secs(if probe.period_seconds == 0 {
            10
        } else {
            probe.period_seconds
        });
        let limit = Duration::from_secs(probe.timeout_seconds.max(1));
        let failures = if probe.failure_threshold == 0 {
            3
        } else {
            probe.failure_threshold
        };
        let successes = probe.success_threshold.max(1);
        let clock = &self.prober.clock;
        let age =
            Duration::try_from(clock.wall().duration_since(self.subject.started_at)).unwrap_or_default();
        let delay = Duration::from_secs(probe.initial_delay_seconds);
        // Upstream's clock of a probe starts with the pod, so that a container lives for a period before it must prove it.
        let delay = if self.kind == Kind::Liveness {
            delay.max(period)
        } else {
            delay
        };
        clock.sleep(delay.saturating_sub(age)).await;
        let mut early = EARLY.iter().map(|millis| Duration::from_millis(*millis));
        let (mut streak, mut last) = (0, None);
        loop {
            let held = self.kind != Kind::Startup && self.starting();
            if !held {
                let outcome = self.probe(limit).await;
                let good = outcome.is_good();
                if !good
                    && last.is_none()
                    && self.may_be_early()
                    && let Some(soon) = early.next()
                {
                    clock.sleep(soon).await;
                    continue;
                }
                self.tell(outcome);
                streak = if last == Some(good) { streak + 1 } else { 1 };
                last = Some(good);
                let decided = streak >= if good { successes } else { failures };
                if decided && self.conclude(good) {
                    return;
                }
            }
            // Probes that a start-up probe holds back begin soon after it succeeded.
            clock.sleep(if held { HELD } else { period }).await;
        }
    }

    /// Whether this asks if the container is up at last, not if it is still well.
    fn may_be_early(&self) -> bool {
        match self.kind {
            Kind::Startup => true,
            Kind::Readiness => !self.subject.was_ready,
            Kind::Liveness => false,
        }
    }

    /// Probes; a probe that could not be done is tried again at once.
    async fn probe(&self, limit: Duration) -> Outcome {
        let mut outcome = Outcome::Success;
        for _ in 0..TRIES {
            outcome = self.prober.probe(&self.subject, &self.probe.handler, limit).await;
            if !matches!(outcome, Outcome::Errored(_)) {
                break;
            }
        }
        outcome
    }

    fn tell(&self, outcome: Outcome) {
        let name = self.kind.name();
        let (reason, message) = match outcome {
            Outcome::Success => return,
            Outcome::Warning(why) => ("ProbeWarning", format!("{name} probe warning: {why}")),
            Outcome::Failure(why) => ("Unhealthy", format!("{name} probe failed: {why}")),
            Outcome::Errored(why) => (
                "Unhealthy",
                format!("{name} probe errored and resulted in unknown state: {why}"),
            ),
        };
        let about = about::container(&self.subject.pod, &self.subject.container);
        self.recorder.record(about, Severity::Warning, reason, message);
    }

    fn starting(&self) -> bool {
        self.findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .starting
            .contains(&self.subject.id)
    }

    /// Notes a result; whether this probe is over.
    fn conclude(&self, good: bool) -> bool {
        let id = &self.subject.id;
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        let (changed, over) = match (self.kind, good) {
            (Kind::Startup, true) => (findings.starting.remove(id), true),
            (Kind::Readiness, true) => (findings.unready.remove(id), false),
            (Kind::Readiness, false) => (findings.unready.insert(id.clone()), false),
            (Kind::Liveness, true) => (false, false),
            (Kind::Startup | Kind::Liveness, false) => {
                let (pod, container) = (&self.subject.pod, &self.subject.container);
                let grace = self
                    .probe
                    .termination_grace_period_seconds
                    .unwrap_or_else(|| pod.grace());
                let name = self.kind.name().to_lowercase();
                let again = pod.container(container).is_some_and(|c| pod.restarts(c, 137));
                let then = if again { ", will be restarted" } else { "" };
                let why = format!("Container {container} failed {name} probe{then}");
                findings.condemned.insert(id.clone(), (grace, why));
                (true, true)
            }
        };
        drop(findings);
        if changed {
            self.registry.poke(&self.subject.pod.metadata.uid);
        }
        over
    }
}
