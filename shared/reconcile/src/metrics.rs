//! What is counted of queues, under upstream's names.

use component::metrics::{Counter, Description, Gauge, Histogram, Level, Registry};
use std::{sync::Arc, time::Duration};

const NAME: &[&str] = &["name"];
const SECONDS: &[f64] = &[
    1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0,
];

const DEPTH: Description = Description::new("workqueue_depth", "[BETA] Current depth of workqueue", NAME);
const ADDS: Description = Description::new(
    "workqueue_adds_total",
    "[BETA] Total number of adds handled by workqueue",
    NAME,
);
const WAITED: Description = Description::new(
    "workqueue_queue_duration_seconds",
    "[BETA] How long in seconds an item stays in workqueue before being requested.",
    NAME,
)
.with(SECONDS);
const WORKED: Description = Description::new(
    "workqueue_work_duration_seconds",
    "[BETA] How long in seconds processing an item from workqueue takes.",
    NAME,
)
.with(SECONDS);
const UNFINISHED: Description = Description::new(
    "workqueue_unfinished_work_seconds",
    "[BETA] How many seconds of work has done that is in progress and hasn't been observed by work_duration. Large values indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which this increases.",
    NAME,
);
const LONGEST: Description = Description::new(
    "workqueue_longest_running_processor_seconds",
    "[BETA] How many seconds has the longest running processor for workqueue been running.",
    NAME,
);
const RETRIES: Description = Description::new(
    "workqueue_retries_total",
    "[BETA] Total number of retries handled by workqueue",
    NAME,
);

/// The numbers of one queue. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    depth: Arc<Gauge>,
    adds: Arc<Counter>,
    waited: Arc<Histogram>,
    worked: Arc<Histogram>,
    unfinished: Arc<Level>,
    longest: Arc<Level>,
    retries: Arc<Counter>,
}

impl Metrics {
    pub fn new(name: &str, registry: &Registry) -> Self {
        let of = &[name];
        Self {
            depth: registry.family::<Gauge>(DEPTH).of(of).clone(),
            adds: registry.family::<Counter>(ADDS).of(of).clone(),
            waited: registry.family::<Histogram>(WAITED).of(of).clone(),
            worked: registry.family::<Histogram>(WORKED).of(of).clone(),
            unfinished: registry.family::<Level>(UNFINISHED).of(of).clone(),
            longest: registry.family::<Level>(LONGEST).of(of).clone(),
            retries: registry.family::<Counter>(RETRIES).of(of).clone(),
        }
    }

    /// A key came that did not wait yet.
    pub fn added(&self) {
        self.adds.add(1);
        self.depth.add(1);
    }

    /// One that waited so long is at work.
    pub fn taken(&self, waited: Duration) {
        self.depth.add(-1);
        self.waited.observe(waited.as_secs_f64());
    }

    /// The work on one ended.
    pub fn worked(&self, took: Duration) {
        self.worked.observe(took.as_secs_f64());
    }

    /// One is to come again later.
    pub fn retry(&self) {
        self.retries.add(1);
    }

    /// How long those that are at work have been.
    pub fn under_way(&self, ages: impl Iterator<Item = Duration>) {
        let (mut sum, mut longest) = (Duration::ZERO, Duration::ZERO);
        for age in ages {
            sum += age;
            longest = longest.max(age);
        }
        self.unfinished.set(sum.as_secs_f64());
        self.longest.set(longest.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use crate::Queue;
    use component::Env;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_counted_as_upstream_counts_it() {
        let env = Env::simulated(1);
        let queue = Queue::new("deployment", &env);
        for key in ["a", "a", "b"] {
            queue.add(key);
        }
        env.clock.sleep(Duration::from_secs(2)).await;
        let first = queue.next().await;
        env.clock.sleep(Duration::from_secs(3)).await;
        queue.add(first);
        let mut told = String::new();
        env.metrics.write(&mut told);
        let has = |told: &str, name: &str, value: &str| {
            let line = format!("workqueue_{name}{{name=\"deployment\"}} {value}\n");
            assert!(told.contains(&line), "{line} is not in {told}");
        };
        has(&told, "depth", "2");
        has(&told, "adds_total", "3");
        has(&told, "queue_duration_seconds_sum", "2");
        has(&told, "unfinished_work_seconds", "3");
        has(&told, "longest_running_processor_seconds", "3");
        queue.done(&first);
        queue.add_after_failure("c");
        told.clear();
        env.metrics.write(&mut told);
        has(&told, "work_duration_seconds_sum", "3");
        has(&told, "work_duration_seconds_count", "1");
        has(&told, "unfinished_work_seconds", "0");
        has(&told, "retries_total", "1");
    }
}
