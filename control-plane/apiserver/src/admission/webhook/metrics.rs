//! What is counted of webhooks, under upstream's names (`apiserver/pkg/admission/metrics`).

use super::call::Refusal;
use crate::admission::Operation;
use component::metrics::{Counter, Description, Family, Histogram, Registry};
use std::sync::Arc;

/// Upper bounds of how long they take, in seconds.
const SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];

const DURATIONS: Description = Description::new(
    "apiserver_admission_webhook_admission_duration_seconds",
    "[STABLE] Admission webhook latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
    &["name", "operation", "rejected", "type"],
)
.with(SECONDS);
const REQUESTS: Description = Description::new(
    "apiserver_admission_webhook_request_total",
    "[ALPHA] Admission webhook request total, identified by name and broken out for each admission type (validating or mutating) and operation. Additional labels specify whether the request was rejected or not and an HTTP status code. Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
    &["code", "name", "operation", "rejected", "type"],
);
const REJECTIONS: Description = Description::new(
    "apiserver_admission_webhook_rejection_count",
    "[ALPHA] Admission webhook rejection count, identified by name and broken out for each admission type (validating or admit) and operation. Additional labels specify an error type (calling_webhook_error or apiserver_internal_error if an error occurred; no_error otherwise) and optionally a non-zero rejection code if the webhook rejects the request with an HTTP status code (honored by the apiserver when the code is greater or equal to 400). Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
    &["error_type", "name", "operation", "rejection_code", "type"],
);
const FAIL_OPEN: Description = Description::new(
    "apiserver_admission_webhook_fail_open_count",
    "[ALPHA] Admission webhook fail open count, identified by name and broken out for each admission type (validating or mutating).",
    &["name", "type"],
);
const EXCLUSIONS: Description = Description::new(
    "apiserver_admission_match_condition_exclusions_total",
    "[ALPHA] Admission match condition evaluation exclusions count, identified by name of resource containing the match condition and broken out for each kind containing matchConditions (webhook or policy), operation and admission type (validate or admit).",
    &["kind", "name", "operation", "type"],
);
const CONDITION_ERRORS: Description = Description::new(
    "apiserver_admission_match_condition_evaluation_errors_total",
    "[ALPHA] Admission match condition evaluation errors count, identified by name of resource containing the match condition and broken out for each kind containing matchConditions (webhook or policy), operation and admission type (validate or admit).",
    &["kind", "name", "operation", "type"],
);

/// The numbers of webhooks.
pub struct WebhookMetrics {
    durations: Arc<Family<Histogram>>,
    requests: Arc<Family<Counter>>,
    rejections: Arc<Family<Counter>>,
    fail_open: Arc<Family<Counter>>,
    exclusions: Arc<Family<Counter>>,
    condition_errors: Arc<Family<Counter>>,
}

impl WebhookMetrics {
    /// Told with all others of `registry`.
    pub fn new(registry: &Registry) -> Self {
        Self {
            durations: registry.family(DURATIONS),
            requests: registry.family(REQUESTS),
            rejections: registry.family(REJECTIONS),
            fail_open: registry.family(FAIL_OPEN),
            exclusions: registry.family(EXCLUSIONS),
            condition_errors: registry.family(CONDITION_ERRORS),
        }
    }

    pub(super) fn asked(
        &self,
        name: &str,
        phase: &str,
        operation: Operation,
        rejected: bool,
        code: u16,
        seconds: f64,
    ) {
        let (operation, rejected) = (operation.name(), if rejected { "true" } else { "false" });
        self.durations
            .of(&[name, operation, rejected, phase])
            .observe(seconds);
        let code = code.to_string();
        self.requests
            .of(&[&code, name, operation, rejected, phase])
            .add(1);
    }

    pub(super) fn rejected(&self, name: &str, phase: &str, operation: Operation, refusal: &Refusal) {
        let (sort, code) = refusal.sort();
        let code = code.to_string();
        self.rejections
            .of(&[sort, name, operation.name(), &code, phase])
            .add(1);
    }

    pub(super) fn fail_open(&self, name: &str, phase: &str) {
        self.fail_open.of(&[name, phase]).add(1);
    }

    pub(super) fn excluded(&self, name: &str, phase: &str, operation: Operation) {
        self.exclusions
            .of(&["webhook", name, operation.name(), phase])
            .add(1);
    }

    pub(super) fn conditions_failed(&self, name: &str, phase: &str, operation: Operation, count: usize) {
        for _ in 0..count {
            self.condition_errors
                .of(&["webhook", name, operation.name(), phase])
                .add(1);
        }
    }
}
