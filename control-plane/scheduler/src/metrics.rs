//! What is counted, under upstream's names.

use crate::{queue::Sizes, schedule::Diagnosis};
use component::metrics::{Counter, Description, Family, Gauge, Histogram, Registry};
use std::{collections::BTreeSet, sync::Arc};
use tokio::time::Instant;

/// From a millisecond on, doubled.
const ATTEMPT: &[f64] = &[
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384,
];
/// From ten milliseconds on, doubled.
const POD: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68,
    655.36, 1310.72, 2621.44, 5242.88,
];

const ATTEMPTS: Description = Description::new(
    "scheduler_schedule_attempts_total",
    "[STABLE] Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.",
    &["profile", "result"],
);
const DURATIONS: Description = Description::new(
    "scheduler_scheduling_attempt_duration_seconds",
    "[STABLE] Scheduling attempt latency in seconds (scheduling algorithm + binding)",
    &["profile", "result"],
)
.with(ATTEMPT);
const ALGORITHM: Description = Description::new(
    "scheduler_scheduling_algorithm_duration_seconds",
    "[ALPHA] Scheduling algorithm latency in seconds",
    &[],
)
.with(ATTEMPT);
const PENDING: Description = Description::new(
    "scheduler_pending_pods",
    "[STABLE] Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated.",
    &["queue"],
);
const UNSCHEDULABLE: Description = Description::new(
    "scheduler_unschedulable_pods",
    "[ALPHA] The number of unschedulable pods broken down by plugin name. A pod will increment the gauge for all plugins that caused it to not schedule and so this metric have meaning only when broken down by plugin.",
    &["plugin", "profile"],
);
const SLI: Description = Description::new(
    "scheduler_pod_scheduling_sli_duration_seconds",
    "[BETA] E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.",
    &["attempts"],
)
.with(POD);
const TRIES: Description = Description::new(
    "scheduler_pod_scheduling_attempts",
    "[STABLE] Number of attempts to successfully schedule a pod.",
    &[],
)
.with(&[1.0, 2.0, 4.0, 8.0, 16.0]);
const INCOMING: Description = Description::new(
    "scheduler_queue_incoming_pods_total",
    "[STABLE] Number of pods added to scheduling queues by event and queue type.",
    &["event", "queue"],
);
const CACHE: Description = Description::new(
    "scheduler_cache_size",
    "[ALPHA] Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
    &["type"],
);

/// An attempt to schedule a pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// Which it is, from 1 on.
    pub number: u32,
    /// When the first was made.
    pub first: Instant,
    /// When this one was made.
    pub start: Instant,
}

/// The numbers. Clones are the same.
#[derive(Clone)]
pub(crate) struct Metrics {
    profile: Arc<str>,
    attempts: Arc<Family<Counter>>,
    durations: Arc<Family<Histogram>>,
    algorithm: Arc<Family<Histogram>>,
    pending: Arc<Family<Gauge>>,
    unschedulable: Arc<Family<Gauge>>,
    sli: Arc<Family<Histogram>>,
    tries: Arc<Family<Histogram>>,
    incoming: Arc<Family<Counter>>,
    cache: Arc<Family<Gauge>>,
}

impl Metrics {
    pub fn new(profile: &str, registry: &Registry) -> Self {
        Self {
            profile: profile.into(),
            attempts: registry.family(ATTEMPTS),
            durations: registry.family(DURATIONS),
            algorithm: registry.family(ALGORITHM),
            pending: registry.family(PENDING),
            unschedulable: registry.family(UNSCHEDULABLE),
            sli: registry.family(SLI),
            tries: registry.family(TRIES),
            incoming: registry.family(INCOMING),
            cache: registry.family(CACHE),
        }
    }

    /// A node was found, or not, between `start` and `now`.
    pub fn decided(&self, start: Instant, now: Instant) {
        self.algorithm.of(&[]).observe((now - start).as_secs_f64());
    }

    /// An attempt ended at `now`: `scheduled`, `unschedulable` or `error`.
    pub fn attempted(&self, attempt: Attempt, result: &str, now: Instant) {
        let labels = [&*self.profile, result];
        self.attempts.of(&labels).add(1);
        let took = (now - attempt.start).as_secs_f64();
        self.durations.of(&labels).observe(took);
        if result == "scheduled" {
            let number = match attempt.number {
                15.. => "15+".to_owned(),
                number => number.to_string(),
            };
            let took = (now - attempt.first).as_secs_f64();
            self.sli.of(&[&number]).observe(took);
            self.tries.of(&[]).observe(attempt.number.into());
        }
    }

    /// An event brought a pod into a queue.
    pub fn incoming(&self, event: &str, queue: &str) {
        self.incoming.of(&[event, queue]).add(1);
    }

    /// Plugins object to one pod more, or less.
    pub fn objecting(&self, plugins: &BTreeSet<String>, many: i64) {
        for plugin in plugins {
            self.unschedulable.of(&[plugin, &self.profile]).add(many);
        }
    }

    /// How many are where now.
    pub fn sizes(&self, queue: Sizes, (nodes, pods, assumed): (usize, usize, usize)) {
        let set = |family: &Family<Gauge>, label: &str, size: usize| {
            family.of(&[label]).set(i64::try_from(size).unwrap_or(i64::MAX));
        };
        set(&self.pending, "active", queue.active);
        set(&self.pending, "backoff", queue.backoff);
        set(&self.pending, "unschedulable", queue.unschedulable);
        set(&self.pending, "gated", queue.gated);
        set(&self.cache, "nodes", nodes);
        set(&self.cache, "pods", pods);
        set(&self.cache, "assumed_pods", assumed);
    }
}

/// The plugins that object to a pod.
pub(crate) fn plugins(diagnosis: &Diagnosis) -> BTreeSet<String> {
    let rejections = diagnosis.rejections.iter().flat_map(|(_, all)| all);
    let params = rejections.flat_map(|rejection| &rejection.reason.params);
    params
        .filter(|(name, _)| *name == "plugin")
        .map(|(_, plugin)| plugin.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{queue::Queue, views::Pod};
    use api::Object;
    use component::Env;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn scheduling_is_counted_as_upstream_counts_it() {
        let env = Env::simulated(1);
        let metrics = Metrics::new("default-scheduler", &env.metrics);
        let mut queue = Queue::new(metrics.clone());
        for name in ["a", "b"] {
            let text =
                format!(r#"{{"kind":"Pod","metadata":{{"name":"{name}","namespace":"d","uid":"{name}"}}}}"#);
            let pod = Pod::new(Arc::new(Object::parse(text.into(), 1, &[]).unwrap())).unwrap();
            queue.add(Arc::new(pod), env.clock.now());
        }
        queue.gate("c");
        let tried = |queue: &mut Queue, result: &str| {
            let pod = queue.pop(env.clock.now()).unwrap();
            let attempt = queue.attempt(pod.object.uid()).unwrap();
            metrics.attempted(attempt, result, env.clock.now());
            pod.object.uid().to_owned()
        };
        let refused = tried(&mut queue, "unschedulable");
        queue.refuse(&refused, ["NodeResourcesFit".to_owned()].into());
        metrics.sizes(queue.sizes(), (1, 2, 0));
        let mut told = String::new();
        env.metrics.write(&mut told);
        let has =
            |told: &str, line: &str| assert!(told.contains(&format!("{line}\n")), "{line} is not in {told}");
        for (place, size) in [("active", 1), ("backoff", 0), ("unschedulable", 1), ("gated", 1)] {
            has(
                &told,
                &format!("scheduler_pending_pods{{queue=\"{place}\"}} {size}"),
            );
        }
        let plugin = r#"scheduler_unschedulable_pods{plugin="NodeResourcesFit",profile="default-scheduler"}"#;
        has(&told, &format!("{plugin} 1"));
        has(&told, r#"scheduler_cache_size{type="pods"} 2"#);
        env.clock.sleep(Duration::from_secs(3)).await;
        queue.wake_all(env.clock.now(), "NodeAdd");
        for _ in 0..2 {
            let done = tried(&mut queue, "scheduled");
            queue.remove(&done);
        }
        told.clear();
        env.metrics.write(&mut told);
        has(&told, &format!("{plugin} 0"));
        for (result, count) in [("scheduled", 2), ("unschedulable", 1)] {
            let labels = format!(r#"{{profile="default-scheduler",result="{result}"}}"#);
            has(
                &told,
                &format!("scheduler_schedule_attempts_total{labels} {count}"),
            );
            has(
                &told,
                &format!("scheduler_scheduling_attempt_duration_seconds_count{labels} {count}"),
            );
        }
        has(
            &told,
            r#"scheduler_pod_scheduling_sli_duration_seconds_sum{attempts="2"} 3"#,
        );
        has(
            &told,
            r#"scheduler_pod_scheduling_sli_duration_seconds_count{attempts="1"} 1"#,
        );
        for (event, queue, count) in [
            ("UnschedulablePodAdd", "active", 2),
            ("UnschedulablePodAdd", "gated", 1),
            ("ScheduleAttemptFailure", "unschedulable", 1),
            ("NodeAdd", "backoff", 1),
            ("BackoffComplete", "active", 1),
        ] {
            let labels = format!(r#"{{event="{event}",queue="{queue}"}}"#);
            has(
                &told,
                &format!("scheduler_queue_incoming_pods_total{labels} {count}"),
            );
        }
    }
}
