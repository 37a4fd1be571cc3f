//! What is counted of audit, under upstream's names, and what is logged when events are lost.

use super::Event;
use component::metrics::{Counter, Description, Family, Registry};
use std::sync::Arc;

const EVENTS: Description = Description::new(
    "apiserver_audit_event_total",
    "[ALPHA] Counter of audit events generated and sent to the audit backend.",
    &[],
);
const ERRORS: Description = Description::new(
    "apiserver_audit_error_total",
    "[ALPHA] Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.",
    &["plugin"],
);
const LEVELS: Description = Description::new(
    "apiserver_audit_level_total",
    "[ALPHA] Counter of policy levels for audit events (1 per request).",
    &["level"],
);
const REJECTED: Description = Description::new(
    "apiserver_audit_requests_rejected_total",
    "[ALPHA] Counter of apiserver requests rejected due to an error in audit logging backend.",
    &[],
);

/// The numbers.
pub(super) struct Metrics {
    pub events: Arc<Counter>,
    errors: Arc<Family<Counter>>,
    pub levels: Arc<Family<Counter>>,
    pub rejected: Arc<Counter>,
}

impl Metrics {
    pub fn new(registry: &Registry) -> Arc<Self> {
        Arc::new(Self {
            events: registry.family::<Counter>(EVENTS).of(&[]).clone(),
            errors: registry.family(ERRORS),
            levels: registry.family(LEVELS),
            rejected: registry.family::<Counter>(REJECTED).of(&[]).clone(),
        })
    }

    /// Events did not get where they should.
    pub fn lost(&self, plugin: &str, why: &str, events: &[Arc<Event>]) {
        let count = events.len();
        self.errors
            .of(&[plugin])
            .add(u64::try_from(count).unwrap_or(u64::MAX));
        let lines: Vec<String> = events.iter().map(|event| event.line()).collect();
        let lines = lines.join("\n");
        tracing::error!(
            "Error in audit plugin '{plugin}' affecting {count} audit events: {why}\nImpacted events:\n{lines}"
        );
    }
}
