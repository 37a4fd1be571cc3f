//! What is counted of authorizers, under upstream's names.

use component::metrics::{Counter, Description, Family, Histogram, Registry};
use std::sync::Arc;

const DECISIONS: Description = Description::new(
    "apiserver_authorization_decisions_total",
    "[ALPHA] Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision.",
    &["type", "name", "decision"],
);
const EVALUATIONS: Description = Description::new(
    "apiserver_authorization_webhook_evaluations_total",
    "[ALPHA] Round-trips to authorization webhooks.",
    &["name", "result"],
);
const DURATIONS: Description = Description::new(
    "apiserver_authorization_webhook_duration_seconds",
    "[ALPHA] Request latency in seconds.",
    &["name", "result"],
)
.with(&[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
const OPEN: Description = Description::new(
    "apiserver_authorization_webhook_evaluations_fail_open_total",
    "[ALPHA] NoOpinion results due to webhook timeout or error.",
    &["name", "result"],
);
const CONDITION_ERRORS: Description = Description::new(
    "apiserver_authorization_match_condition_evaluation_errors_total",
    "[ALPHA] Total number of errors when an authorization webhook encounters a match condition error split by authorizer type and name.",
    &["type", "name"],
);
const EXCLUSIONS: Description = Description::new(
    "apiserver_authorization_match_condition_exclusions_total",
    "[ALPHA] Total number of exclusions when an authorization webhook is skipped because match conditions exclude it.",
    &["type", "name"],
);
const CONDITION_SECONDS: Description = Description::new(
    "apiserver_authorization_match_condition_evaluation_seconds",
    "[ALPHA] Authorization match condition evaluation time in seconds, split by authorizer type and name.",
    &["type", "name"],
)
.with(&[0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25]);

/// The numbers.
pub(super) struct Metrics {
    pub decisions: Arc<Family<Counter>>,
    pub evaluations: Arc<Family<Counter>>,
    pub durations: Arc<Family<Histogram>>,
    pub open: Arc<Family<Counter>>,
    pub condition_errors: Arc<Family<Counter>>,
    pub exclusions: Arc<Family<Counter>>,
    pub condition_seconds: Arc<Family<Histogram>>,
}

impl Metrics {
    pub fn new(registry: &Registry) -> Arc<Self> {
        Arc::new(Self {
            decisions: registry.family(DECISIONS),
            evaluations: registry.family(EVALUATIONS),
            durations: registry.family(DURATIONS),
            open: registry.family(OPEN),
            condition_errors: registry.family(CONDITION_ERRORS),
            exclusions: registry.family(EXCLUSIONS),
            condition_seconds: registry.family(CONDITION_SECONDS),
        })
    }
}
