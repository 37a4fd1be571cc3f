//! What is counted of KMS providers (upstream `storage/value/encrypt/envelope/metrics`). Keys are told by the hashes of their
//! ids.

use crate::{encryption::metrics::Way, metrics::hidden};
use component::{
    Clock, Env,
    metrics::{Counter, Description, Family, Gauge, Histogram, Level},
};
use std::{sync::Arc, time::Duration};
use tonic::Code;

const USES: Description = Description::new(
    "apiserver_envelope_encryption_key_id_hash_total",
    "[ALPHA] Number of times a keyID is used split by transformation type, provider, and apiserver identity.",
    &[
        "transformation_type",
        "provider_name",
        "key_id_hash",
        "apiserver_id_hash",
    ],
);
const USED: Description = Description::new(
    "apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds",
    "[ALPHA] The last time in seconds when a keyID was used.",
    &[
        "transformation_type",
        "provider_name",
        "key_id_hash",
        "apiserver_id_hash",
    ],
);
const TOLD: Description = Description::new(
    "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds",
    "[ALPHA] The last time in seconds when a keyID was returned by the Status RPC call.",
    &["provider_name", "key_id_hash", "apiserver_id_hash"],
);
const INVALID: Description = Description::new(
    "apiserver_envelope_encryption_invalid_key_id_from_status_total",
    "[ALPHA] Number of times an invalid keyID is returned by the Status RPC call split by error.",
    &["provider_name", "error"],
);
const KNOWN: Description = Description::new(
    "apiserver_envelope_encryption_dek_source_cache_size",
    "[ALPHA] Number of records in data encryption key (DEK) source cache. On a restart, this value is an approximation of \
     the number of decrypt RPC calls the server will make to the KMS plugin.",
    &["provider_name"],
);
const LATENCY: Description = Description::new(
    "apiserver_envelope_encryption_kms_operations_latency_seconds",
    "[ALPHA] KMS operation duration with gRPC error code status total.",
    &["provider_name", "method_name", "grpc_status_code"],
)
.with(&[
    0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128, 0.0256, 0.0512, 0.1024, 0.2048, 0.4096,
    0.8192, 1.6384, 3.2768, 6.5536, 13.1072, 26.2144, 52.4288,
]);
const MISSES: Description = Description::new(
    "apiserver_storage_envelope_transformation_cache_misses_total",
    "[ALPHA] Total number of cache misses while accessing key decryption key(KEK).",
    &[],
);
const GENERATED: Description = Description::new(
    "apiserver_storage_data_key_generation_duration_seconds",
    "[ALPHA] Latencies in seconds of data encryption key(DEK) generation operations.",
    &[],
)
.with(&[
    5e-6, 1e-5, 2e-5, 4e-5, 8e-5, 0.00016, 0.00032, 0.00064, 0.00128, 0.00256, 0.00512, 0.01024, 0.02048,
    0.04096,
]);

/// Counts for one provider.
pub(super) struct Meter {
    provider: String,
    clock: Clock,
    uses: Arc<Family<Counter>>,
    used: Arc<Family<Level>>,
    told: Arc<Family<Level>>,
    invalid: Arc<Family<Counter>>,
    known: Arc<Family<Gauge>>,
    latency: Arc<Family<Histogram>>,
    misses: Arc<Family<Counter>>,
    generated: Arc<Family<Histogram>>,
}

impl Meter {
    pub fn new(provider: &str, env: &Env) -> Self {
        Self {
            provider: provider.to_owned(),
            clock: env.clock.clone(),
            uses: env.metrics.family(USES),
            used: env.metrics.family(USED),
            told: env.metrics.family(TOLD),
            invalid: env.metrics.family(INVALID),
            known: env.metrics.family(KNOWN),
            latency: env.metrics.family(LATENCY),
            misses: env.metrics.family(MISSES),
            generated: env.metrics.family(GENERATED),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds of this age are exact")]
    fn now(&self) -> f64 {
        self.clock.wall().as_second() as f64
    }

    /// A key was used for a value.
    pub fn used(&self, way: Way, key: &str) {
        let hash = hidden(key);
        let labels = [way.name(), &self.provider, &hash, ""];
        self.uses.of(&labels).add(1);
        self.used.of(&labels).set(self.now());
    }

    /// The status tells a key, or what is none.
    pub fn told(&self, key: &str, longest: usize) {
        let error = match key.len() {
            0 => "empty",
            length if length > longest => "too_long",
            _ => {
                self.told.of(&[&self.provider, &hidden(key), ""]).set(self.now());
                return;
            }
        };
        self.invalid.of(&[&self.provider, error]).add(1);
    }

    /// So many keys are remembered.
    pub fn known(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.known.of(&[&self.provider]).set(count);
    }

    /// The provider answered, or not in time.
    pub fn answered(&self, method: &str, code: Code, took: Duration) {
        let method = format!("/v2.KeyManagementService/{method}");
        let latency = self.latency.of(&[&self.provider, &method, &name(code)]);
        latency.observe(took.as_secs_f64());
    }

    /// A key was not at hand.
    pub fn missed(&self) {
        self.misses.of(&[]).add(1);
    }

    /// A key was made.
    pub fn generated(&self, took: Duration) {
        self.generated.of(&[]).observe(took.as_secs_f64());
    }
}

/// A code as Go names it.
pub(super) fn name(code: Code) -> String {
    match code {
        Code::Ok => "OK".to_owned(),
        Code::Cancelled => "Canceled".to_owned(),
        code => format!("{code:?}"),
    }
}
