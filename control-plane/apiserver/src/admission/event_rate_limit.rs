//! EventRateLimit: so many Events a second, from all, from a namespace, a user, or about an object (upstream
//! `plugin/pkg/admission/eventratelimit`).

use super::{Attributes, Operation, Parts, Plugin};
use api::Status;
use component::Clock;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};
use tokio::time::Instant;

/// So many keys of a limit are remembered, unless it says another number.
const REMEMBERED: usize = 4096;
const KINDS: [&str; 4] = ["Server", "Namespace", "User", "SourceAndObject"];

/// `eventratelimit.admission.k8s.io/v1alpha1 Configuration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// The limits; each holds.
    pub limits: Vec<Limit>,
}

/// One limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limit {
    /// `Server`, `Namespace`, `User`, `SourceAndObject`.
    pub r#type: String,
    /// Events a second.
    pub qps: i32,
    /// At once.
    pub burst: i32,
    /// How many keys are remembered.
    pub cache_size: i32,
}

impl Configuration {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if self.limits.is_empty() {
            return Err("limits: Invalid value: []: must not be empty".to_owned());
        }
        let wrong = |(at, limit): (usize, &Limit)| {
            let kind = &limit.r#type;
            let known = KINDS.contains(&kind.as_str());
            let checks = [
                (
                    !known,
                    "type",
                    format!(
                        "Unsupported value: {kind:?}: supported values: \"Namespace\", \"Server\", \"SourceAndObject\", \"User\""
                    ),
                ),
                (
                    limit.burst <= 0,
                    "burst",
                    format!("Invalid value: {}: must be positive", limit.burst),
                ),
                (
                    limit.qps <= 0,
                    "qps",
                    format!("Invalid value: {}: must be positive", limit.qps),
                ),
                (
                    limit.cache_size < 0,
                    "cacheSize",
                    format!("Invalid value: {}: must not be negative", limit.cache_size),
                ),
            ];
            let found = checks.into_iter().find(|(wrong, _, _)| *wrong);
            found.map(|(_, name, why)| format!("limits[{at}].{name}: {why}"))
        };
        self.limits.iter().enumerate().find_map(wrong).map_or(Ok(()), Err)
    }
}

/// The plugin.
pub struct EventRateLimit {
    clock: Clock,
    limits: Vec<(Limit, Mutex<Buckets>)>,
}

/// Buckets of tokens by key, the newest keys last.
#[derive(Default)]
struct Buckets {
    by_key: BTreeMap<String, (f64, Instant)>,
    order: VecDeque<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Event {
    source: Source,
    involved_object: Involved,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    component: String,
    host: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Involved {
    kind: String,
    namespace: String,
    name: String,
    uid: String,
    api_version: String,
}

impl EventRateLimit {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        let limits = parts.configuration.event_rate_limit.limits.iter();
        Self {
            clock: parts.env.clock.clone(),
            limits: limits.map(|limit| (limit.clone(), Mutex::default())).collect(),
        }
    }
}

fn key(limit: &Limit, request: &Attributes<'_>) -> Result<String, Status> {
    Ok(match limit.r#type.as_str() {
        "Namespace" => request.request().namespace.clone(),
        "User" => request.user().name.clone(),
        "SourceAndObject" => {
            let event: Option<Event> = request
                .object
                .as_ref()
                .map(|o| o.view())
                .transpose()
                .map_err(Status::internal)?;
            let Event {
                source,
                involved_object: of,
            } = event.unwrap_or_default();
            [
                source.component,
                source.host,
                of.kind,
                of.namespace,
                of.name,
                of.uid,
                of.api_version,
            ]
            .concat()
        }
        _ => String::new(),
    })
}

impl Buckets {
    /// Takes a token, if there is one.
    fn take(&mut self, limit: &Limit, key: &str, now: Instant) -> bool {
        let burst = f64::from(limit.burst);
        if !self.by_key.contains_key(key) {
            let most = usize::try_from(limit.cache_size)
                .ok()
                .filter(|size| *size > 0)
                .unwrap_or(REMEMBERED);
            while self.order.len() >= most {
                if let Some(oldest) = self.order.pop_front() {
                    self.by_key.remove(&oldest);
                }
            }
            self.order.push_back(key.to_owned());
        }
        let (tokens, since) = self.by_key.entry(key.to_owned()).or_insert((burst, now));
        let grown = now.saturating_duration_since(*since).as_secs_f64() * f64::from(limit.qps);
        *tokens = (*tokens + grown).min(burst);
        *since = now;
        let has = *tokens >= 1.0;
        if has {
            *tokens -= 1.0;
        }
        has
    }
}

impl Plugin for EventRateLimit {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        let of = request.request();
        let events = of.resource == "events" && matches!(of.group.as_str(), "" | "events.k8s.io");
        events && matches!(request.operation, Operation::Create | Operation::Update)
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        if request.call.dry_run {
            return Ok(());
        }
        let now = self.clock.now();
        let mut reached = Vec::new();
        for (limit, buckets) in &self.limits {
            let key = key(limit, request)?;
            let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
            if !buckets.take(limit, &key, now) {
                reached.push(format!("limit reached on type {} for key {key}", limit.r#type));
            }
        }
        match reached.as_slice() {
            [] => Ok(()),
            [why] => Err(Status::too_many_requests(why.clone(), 0)),
            all => Err(Status::too_many_requests(format!("[{}]", all.join(", ")), 0)),
        }
    }
}
