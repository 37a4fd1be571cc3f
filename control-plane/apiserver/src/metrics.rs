//! What the server counts, under upstream's names.

use crate::{
    Server, admission::webhook::metrics::WebhookMetrics, aggregate::Known, handler::Places, http::version,
};
use component::metrics::{Counter, Description, Family, Gauge, Histogram, Registry};
use sha2::{Digest, Sha256};
use std::{fmt::Write, sync::Arc};

/// Upper bounds of how long requests take, in seconds.
const SECONDS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
/// Upper bounds of how large answers are, in bytes.
const BYTES: &[f64] = &[1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

const REQUESTS: Description = Description::new(
    "apiserver_request_total",
    "[STABLE] Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
    &[
        "code",
        "component",
        "dry_run",
        "group",
        "resource",
        "scope",
        "subresource",
        "verb",
        "version",
    ],
);
const DURATIONS: Description = Description::new(
    "apiserver_request_duration_seconds",
    "[STABLE] Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
    &[
        "component",
        "dry_run",
        "group",
        "resource",
        "scope",
        "subresource",
        "verb",
        "version",
    ],
)
.with(SECONDS);
const OF_REQUEST: &[&str] = &[
    "component",
    "group",
    "resource",
    "scope",
    "subresource",
    "verb",
    "version",
];
const SLI: Description = Description::new(
    "apiserver_request_sli_duration_seconds",
    "[ALPHA] Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in seconds for each verb, group, version, resource, subresource, scope and component.",
    OF_REQUEST,
)
.with(SECONDS);
const SIZES: Description = Description::new(
    "apiserver_response_sizes",
    "[STABLE] Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
    OF_REQUEST,
)
.with(BYTES);
const LONG: Description = Description::new(
    "apiserver_longrunning_requests",
    "[STABLE] Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.",
    OF_REQUEST,
);
const IN_FLIGHT: Description = Description::new(
    "apiserver_current_inflight_requests",
    "[STABLE] Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
    &["request_kind"],
);
const DROPPED: Description = Description::new(
    "apiserver_dropped_requests_total",
    "[ALPHA] Number of requests dropped with 'Try again later' response",
    &["request_kind"],
);
const TERMINATIONS: Description = Description::new(
    "apiserver_request_terminations_total",
    "[ALPHA] Number of requests which apiserver terminated in self-defense.",
    &[
        "code",
        "component",
        "group",
        "resource",
        "scope",
        "subresource",
        "verb",
        "version",
    ],
);
const ABORTS: Description = Description::new(
    "apiserver_request_aborts_total",
    "[ALPHA] Number of requests which apiserver aborted possibly due to a timeout, for each group, version, verb, resource, subresource and scope",
    &["group", "resource", "scope", "subresource", "verb", "version"],
);
const HANDSHAKES: Description = Description::new(
    "apiserver_tls_handshake_errors_total",
    "[ALPHA] Number of requests dropped with 'TLS handshake error from' error",
    &[],
);
const AUTHENTICATION: Description = Description::new(
    "authentication_attempts",
    "[ALPHA] Counter of authenticated attempts.",
    &["result"],
);
const AUTHORIZATION: Description = Description::new(
    "authorization_attempts_total",
    "[ALPHA] Counter of authorization attempts broken down by result. It can be either 'allowed', 'denied', 'no-opinion' or 'error'.",
    &["result"],
);
const AUTHORIZATION_SECONDS: Description = Description::new(
    "authorization_duration_seconds",
    "[ALPHA] Authorization duration in seconds broken out by result.",
    &["result"],
)
.with(&[
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384,
]);
const WATCH_EVENTS: Description = Description::new(
    "apiserver_watch_events_total",
    "[ALPHA] Number of events sent in watch clients",
    &["group", "resource", "version"],
);
const ETCD: Description = Description::new(
    "etcd_request_duration_seconds",
    "[ALPHA] Etcd request latency in seconds for each operation and object type.",
    &["group", "operation", "resource"],
)
.with(SECONDS);

const UNAVAILABLE: Description = Description::new(
    "aggregator_unavailable_apiservice_total",
    "[ALPHA] Counter of APIServices which are marked as unavailable broken down by APIService name and reason.",
    &["name", "reason"],
);

/// The numbers.
pub struct Metrics {
    pub(crate) registry: Registry,
    /// Requests that were answered.
    pub requests: Arc<Family<Counter>>,
    /// How long each took.
    pub durations: Arc<Family<Histogram>>,
    /// The same without what is not this server's doing.
    pub sli: Arc<Family<Histogram>>,
    /// How large the answers to reads were.
    pub sizes: Arc<Family<Histogram>>,
    /// Requests that go on.
    pub long: Arc<Family<Gauge>>,
    /// Requests that are being answered.
    pub in_flight: Arc<Family<Gauge>>,
    /// Requests that there was no room for.
    pub dropped: Arc<Family<Counter>>,
    /// Requests that were refused or cut off.
    pub terminations: Arc<Family<Counter>>,
    /// Requests whose clients left before they were answered.
    pub aborts: Arc<Family<Counter>>,
    /// Connections that never came to speak TLS.
    pub handshakes: Arc<Family<Counter>>,
    /// Who said who they are, and was believed or not.
    pub authentication: Arc<Family<Counter>>,
    /// Who might do what they asked for, or not.
    pub authorization: Arc<Family<Counter>>,
    /// How long it took to say so.
    pub authorization_seconds: Arc<Family<Histogram>>,
    /// Events that were sent to watchers.
    pub watch_events: Arc<Family<Counter>>,
    /// What is counted of webhooks of admission.
    pub webhooks: WebhookMetrics,
    /// How long the store took to write.
    pub etcd: Arc<Family<Histogram>>,
    /// How often another server became unavailable.
    pub unavailable: Arc<Family<Counter>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::default();
        Self {
            requests: registry.family(REQUESTS),
            durations: registry.family(DURATIONS),
            sli: registry.family(SLI),
            sizes: registry.family(SIZES),
            long: registry.family(LONG),
            in_flight: registry.family(IN_FLIGHT),
            dropped: registry.family(DROPPED),
            terminations: registry.family(TERMINATIONS),
            aborts: registry.family(ABORTS),
            handshakes: registry.family(HANDSHAKES),
            authentication: registry.family(AUTHENTICATION),
            authorization: registry.family(AUTHORIZATION),
            authorization_seconds: registry.family(AUTHORIZATION_SECONDS),
            watch_events: registry.family(WATCH_EVENTS),
            etcd: registry.family(ETCD),
            unavailable: registry.family(UNAVAILABLE),
            webhooks: WebhookMetrics::new(&registry),
            registry,
        }
    }
}

/// A text as upstream hides it in a label.
pub(crate) fn hidden(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("sha256:{}", component::hex::encode(Sha256::digest(text)))
}

/// Everything, as `/metrics` tells it.
pub fn told(server: &Server) -> String {
    let mut out = String::new();
    server.handler.metrics.registry.write(&mut out);
    objects(&server.handler.places, &mut out);
    registered(&server.aggregator.known(), &mut out);
    version::told(&server.build, &mut out);
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "# HELP ferrokube_list_bytes Memory of lists that are being made or sent.\n\
         # TYPE ferrokube_list_bytes gauge\nferrokube_list_bytes {}\n",
        server.lists.taken()
    );
    if server.limits.fairness {
        crate::fairness::told(&server.fairness, &mut out);
    }
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "# HELP ferrokube_store_revision The newest revision that the watch caches hold.\n\
         # TYPE ferrokube_store_revision counter\nferrokube_store_revision {}\n",
        server.revision()
    );
    component::metrics::process(&mut out);
    out
}

/// Whether the servers of all APIServices answer.
fn registered(known: &Known, out: &mut String) {
    let unavailable = Family::<Gauge>::new(Description::new(
        "aggregator_unavailable_apiservice",
        "[ALPHA] Gauge of APIServices which are marked as unavailable broken down by APIService name.",
        &["name"],
    ));
    for (name, available) in known.availability() {
        unavailable.of(&[name]).set(i64::from(!available));
    }
    unavailable.write(out);
}

fn objects(places: &Places, out: &mut String) {
    const OLD: Description = Description::new(
        "apiserver_storage_objects",
        "[STABLE] [DEPRECATED, consider using apiserver_resource_objects instead] Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
        &["resource"],
    );
    const NEW: Description = Description::new(
        "apiserver_resource_objects",
        "[ALPHA] Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
        &["group", "resource"],
    );
    let (old, new) = (Family::<Gauge>::new(OLD), Family::<Gauge>::new(NEW));
    for cache in &places.index().caches {
        let (group, plural) = (cache.row.group, cache.row.plural);
        let count = i64::try_from(cache.len()).unwrap_or(i64::MAX);
        let both = match group {
            "" => plural.to_owned(),
            group => format!("{plural}.{group}"),
        };
        old.of(&[&both]).set(count);
        new.of(&[group, plural]).set(count);
    }
    old.write(out);
    new.write(out);
}
