//! What is counted of an issuer (upstream `apiserver/plugin/pkg/authenticator/token/oidc/metrics.go`), which is told by the hash
//! of its name.

use crate::{metrics::hidden, security::Known};
use component::{
    Clock, Env,
    metrics::{Description, Family, Gauge, Histogram},
};
use std::sync::Arc;
use tokio::time::Instant;

const LATENCY: Description = Description::new(
    "apiserver_authentication_jwt_authenticator_latency_seconds",
    "[ALPHA] Latency of jwt authentication operations in seconds. This is the time spent authenticating a token for cache \
     miss only (i.e. when the token is not found in the cache).",
    &["result", "jwt_issuer_hash"],
)
.with(&[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
]);
const FETCHED: Description = Description::new(
    "apiserver_authentication_jwt_authenticator_jwks_fetch_last_timestamp_seconds",
    "[ALPHA] Timestamp of the last successful or failed JWKS fetch split by result, api server identity and jwt issuer for \
     the JWT authenticator.",
    &["result", "jwt_issuer_hash", "apiserver_id_hash"],
);

/// The numbers of one issuer.
pub(super) struct Numbers {
    latency: Arc<Family<Histogram>>,
    fetched: Arc<Family<Gauge>>,
    issuer: String,
    clock: Clock,
}

fn result(good: bool) -> &'static str {
    if good { "success" } else { "failure" }
}

impl Numbers {
    pub fn new(issuer: &str, env: &Env) -> Self {
        Self {
            latency: env.metrics.family(LATENCY),
            fetched: env.metrics.family(FETCHED),
            issuer: hidden(issuer),
            clock: env.clock.clone(),
        }
    }

    /// The keys were asked for.
    pub fn fetched(&self, good: bool) {
        let now = self.clock.wall().as_second();
        self.fetched.of(&[result(good), &self.issuer, ""]).set(now);
    }

    /// A token was judged, which was `begun` then.
    pub fn judged(&self, known: &Known, begun: Instant) {
        let taken = (self.clock.now() - begun).as_secs_f64();
        let latency = self.latency.of(&[result(known.is_ok()), &self.issuer]);
        latency.observe(taken);
    }
}
