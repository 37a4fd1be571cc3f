//! What is counted of sealing and opening (upstream `apiserver/pkg/storage/value`).

use component::{
    Clock, Env,
    metrics::{Counter, Description, Family, Histogram},
};
use std::sync::Arc;
use tokio::time::Instant;

const OPERATIONS: Description = Description::new(
    "apiserver_storage_transformation_operations_total",
    "[ALPHA] Total number of transformations. Successful transformation will have a status 'OK' and a varied status string \
     when the transformation fails. The status, resource, and transformation_type fields can be used for alerting purposes. \
     For example, you can monitor for encryption/decryption failures using the transformation_type (e.g., from_storage for \
     decryption and to_storage for encryption). Additionally, these fields can be used to ensure that the correct \
     transformers are applied to each resource.",
    &["resource", "transformation_type", "transformer_prefix", "status"],
);
const DURATION: Description = Description::new(
    "apiserver_storage_transformation_duration_seconds",
    "[ALPHA] Latencies in seconds of value transformation operations.",
    &["transformation_type", "transformer_prefix"],
)
.with(&[
    5e-6, 1e-5, 2e-5, 4e-5, 8e-5, 0.00016, 0.00032, 0.00064, 0.00128, 0.00256, 0.00512, 0.01024, 0.02048,
    0.04096, 0.08192, 0.16384, 0.32768, 0.65536, 1.31072, 2.62144, 5.24288, 10.48576, 20.97152, 41.94304,
    83.88608,
]);

/// What a transformation is that went well, and one that failed without a KMS provider.
pub(super) const OK: &str = "OK";
pub(super) const FAILED: &str = "unknown-non-grpc";

/// Which way a value goes.
#[derive(Clone, Copy)]
pub(super) enum Way {
    FromStorage,
    ToStorage,
}

impl Way {
    /// As metrics name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FromStorage => "from_storage",
            Self::ToStorage => "to_storage",
        }
    }
}

/// Counts transformations.
pub(super) struct Meter {
    clock: Clock,
    operations: Arc<Family<Counter>>,
    duration: Arc<Family<Histogram>>,
}

impl Meter {
    pub fn new(env: &Env) -> Self {
        Self {
            clock: env.clock.clone(),
            operations: env.metrics.family(OPERATIONS),
            duration: env.metrics.family(DURATION),
        }
    }

    /// A transformation begins.
    pub fn begin(&self) -> Instant {
        self.clock.now()
    }

    /// It is done, with that status, by what has that prefix.
    pub fn end(&self, begun: Instant, way: Way, (group, plural): (&str, &str), prefix: &str, status: &str) {
        let resource = match group {
            "" => plural.to_owned(),
            group => format!("{plural}.{group}"),
        };
        let labels = [&resource, way.name(), prefix, status];
        self.operations.of(&labels).add(1);
        if status == OK {
            let took = self.clock.now().saturating_duration_since(begun);
            self.duration
                .of(&[way.name(), prefix])
                .observe(took.as_secs_f64());
        }
    }
}
