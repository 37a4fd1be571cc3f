//! What took how long of a request that was slow (upstream `apiserver/pkg/endpoints/request/webhook_duration.go`).

use std::{collections::BTreeMap, time::Duration};

/// Of a request that took no longer nothing is told.
const SLOW: Duration = Duration::from_millis(500);
const TOTAL: &str = "apiserver.latency.k8s.io/total";

/// A part of the way of a request. Objects are kept as they are sent: there is nothing to tell of decoding them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Finding out who asks.
    Authentication,
    /// Finding out whether that one may be another.
    Impersonation,
    /// Waiting for a seat.
    Queue,
    /// Asking whether it is allowed.
    Authorization,
    /// Webhooks that change what is written, one after the other.
    MutatingWebhook,
    /// Webhooks that judge what is written, at the same time.
    ValidatingWebhook,
    /// Writing to the store.
    Store,
    /// Making a table, or metadata alone, of what is answered.
    Transform,
    /// Making the text of the answer.
    Serialize,
    /// Waiting until the client takes more of an answer that goes out in pieces.
    Write,
}

impl Layer {
    const fn key(self) -> &'static str {
        match self {
            Self::Authentication => "apiserver.latency.k8s.io/authentication",
            Self::Impersonation => "apiserver.latency.k8s.io/impersonation",
            Self::Queue => "apiserver.latency.k8s.io/apf-queue-wait",
            Self::Authorization => "apiserver.latency.k8s.io/authorization",
            Self::MutatingWebhook => "apiserver.latency.k8s.io/mutating-webhook",
            Self::ValidatingWebhook => "apiserver.latency.k8s.io/validating-webhook",
            Self::Store => "apiserver.latency.k8s.io/etcd",
            Self::Transform => "apiserver.latency.k8s.io/transform-response-object",
            Self::Serialize => "apiserver.latency.k8s.io/serialize-response-object",
            Self::Write => "apiserver.latency.k8s.io/response-write",
        }
    }

    /// Whether its times add up; else the longest counts.
    const fn adds(self) -> bool {
        !matches!(self, Self::Queue | Self::Authorization | Self::ValidatingWebhook)
    }
}

/// How long each part took.
#[derive(Debug, Default)]
pub(super) struct Latencies(BTreeMap<Layer, Duration>);

impl Latencies {
    pub fn took(&mut self, layer: Layer, time: Duration) {
        let known = self.0.entry(layer).or_default();
        *known = if layer.adds() {
            *known + time
        } else {
            time.max(*known)
        };
    }

    /// The annotations of a request that took `total`.
    pub fn told(&self, total: Duration) -> Vec<(&'static str, String)> {
        let parts = self.0.iter().filter(|(_, time)| !time.is_zero());
        let mut told: Vec<_> = parts.map(|(layer, time)| (layer.key(), text(*time))).collect();
        if total <= SLOW || told.is_empty() {
            return Vec::new();
        }
        told.push((TOTAL, text(total)));
        told
    }
}

/// As Go writes a duration.
fn text(time: Duration) -> String {
    let nanos = time.as_nanos();
    let of = |nanos: u128, digits: usize| {
        let unit = 10_u128.pow(u32::try_from(digits).unwrap_or(0));
        let text = format!("{}.{:0digits$}", nanos / unit, nanos % unit);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match (nanos, time.as_secs() / 60) {
        (0, _) => "0s".to_owned(),
        (..1_000, _) => format!("{nanos}ns"),
        (..1_000_000, _) => format!("{}µs", of(nanos, 3)),
        (..1_000_000_000, _) => format!("{}ms", of(nanos, 6)),
        (_, 0) => format!("{}s", of(nanos, 9)),
        (_, minutes) => {
            let seconds = of(nanos % 60_000_000_000, 9);
            match minutes / 60 {
                0 => format!("{minutes}m{seconds}s"),
                hours => format!("{hours}h{}m{seconds}s", minutes % 60),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_of_slow_requests_as_go_writes_them() {
        for (nanos, told) in [
            (0, "0s"),
            (900, "900ns"),
            (1_500, "1.5µs"),
            (612_345_678, "612.345678ms"),
            (1_000_000_000, "1s"),
            (62_500_000_000, "1m2.5s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(text(Duration::from_nanos(nanos)), told);
        }
        let mut latencies = Latencies::default();
        let slow = Duration::from_millis(501);
        assert!(latencies.told(slow).is_empty());
        for millis in [300, 200] {
            for layer in [Layer::MutatingWebhook, Layer::ValidatingWebhook] {
                latencies.took(layer, Duration::from_millis(millis));
            }
        }
        assert!(latencies.told(Duration::from_millis(500)).is_empty());
        let expected = [
            ("apiserver.latency.k8s.io/mutating-webhook", "500ms"),
            ("apiserver.latency.k8s.io/validating-webhook", "300ms"),
            ("apiserver.latency.k8s.io/total", "501ms"),
        ];
        assert_eq!(
            latencies.told(slow),
            expected.map(|(key, value)| (key, value.to_owned()))
        );
    }
}
