//! How long plugins take, under upstream's names (`apiserver/pkg/admission/metrics`).

use super::Operation;
use component::{
    Clock,
    metrics::{Description, Family, Histogram, Registry},
};
use std::sync::Arc;
use tokio::time::Instant;

/// Upper bounds, in seconds.
const SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

const STEPS: Description = Description::new(
    "apiserver_admission_step_admission_duration_seconds",
    "[STABLE] Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step type (validate or admit).",
    &["operation", "rejected", "type"],
)
.with(SECONDS);
const PLUGINS: Description = Description::new(
    "apiserver_admission_controller_admission_duration_seconds",
    "[STABLE] Admission controller latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
    &["name", "operation", "rejected", "type"],
)
.with(SECONDS);

/// The numbers of plugins.
#[derive(Clone)]
pub(super) struct Measured {
    clock: Clock,
    steps: Arc<Family<Histogram>>,
    plugins: Arc<Family<Histogram>>,
}

const fn word(rejected: bool) -> &'static str {
    if rejected { "true" } else { "false" }
}

impl Measured {
    /// Told with all others of `registry`.
    pub fn new(registry: &Registry, clock: Clock) -> Self {
        Self {
            clock,
            steps: registry.family(STEPS),
            plugins: registry.family(PLUGINS),
        }
    }

    pub fn begin(&self) -> Instant {
        self.clock.now()
    }

    fn since(&self, begun: Instant) -> f64 {
        (self.clock.now() - begun).as_secs_f64()
    }

    pub fn step(&self, begun: Instant, phase: &str, operation: Operation, rejected: bool) {
        let labels = [operation.name(), word(rejected), phase];
        self.steps.of(&labels).observe(self.since(begun));
    }

    pub fn plugin(&self, begun: Instant, name: &str, phase: &str, operation: Operation, rejected: bool) {
        let labels = [name, operation.name(), word(rejected), phase];
        self.plugins.of(&labels).observe(self.since(begun));
    }
}
