//! Certificates of a pod, asked for and renewed through PodCertificateRequests (upstream: `pkg/kubelet/podcertificate`).

mod key;
mod request;
#[cfg(test)]
mod stories;

use super::pem;
use crate::view::{CertificateSource, Pod};
use api::{Gvr, Key};
use client::{Cache, Client, Selector};
use component::Env;
use jiff::{SignedDuration, Timestamp};
use request::Answered;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

const REQUESTS: Gvr = Gvr::new("certificates.k8s.io", "v1", "podcertificaterequests");

/// How long to wait for the requests when they are first looked at.
const PATIENCE: Duration = Duration::from_secs(1);
/// A request that is not seen for so long after it was made has been deleted.
const ABANDONED: SignedDuration = SignedDuration::from_mins(10);
/// A certificate is overdue for its renewal after so long.
const OVERDUE: SignedDuration = SignedDuration::from_mins(10);
/// Certificates of many pods are not renewed at the same moment.
const JITTER: u64 = 5 * 60_000;
/// So often a request for a renewal is looked at, and what failed is tried again.
const LOOK: SignedDuration = SignedDuration::from_secs(10);

const PENDING: &str = "credential bundle is not issued yet";

/// The requests of this node's pods, followed from when a pod first wants a certificate.
#[derive(Clone)]
pub(super) struct Requests {
    node: Arc<str>,
    seen: Arc<OnceLock<Cache>>,
}

/// The certificates of one pod, by volume and place among its sources.
#[derive(Clone, Debug, Default)]
pub(super) struct Certificates {
    all: BTreeMap<(String, usize), Record>,
    /// Reasons and texts of events that are not yet told.
    pub events: Vec<(&'static str, String)>,
}

#[derive(Clone, Debug, Default)]
struct Record {
    held: Option<Held>,
    asked: Option<Asked>,
    /// Why there is none and will be none.
    ended: Option<String>,
    /// When to look again.
    look: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Held {
    bundle: Bundle,
    refresh: Timestamp,
    ends: Timestamp,
    told_overdue: bool,
    told_expired: bool,
}

/// A key and the certificates that go with it, both PEM.
#[derive(Clone, Debug, Default)]
pub(super) struct Bundle {
    pub key: String,
    pub chain: String,
}

/// A request that is not answered yet.
#[derive(Clone, Debug)]
struct Asked {
    key: String,
    name: String,
    abandon: Timestamp,
}

impl Requests {
    pub fn new(node: &str) -> Self {
        Self {
            node: node.into(),
            seen: Arc::default(),
        }
    }

    /// The answer to a request; an outer `None`: it is not there.
    async fn answer(
        &self,
        client: &Client,
        env: &Env,
        key: &Key,
    ) -> Result<Option<Option<Answered>>, String> {
        let fields = format!("spec.nodeName={}", self.node);
        let start = || Cache::start(client, REQUESTS, Selector::fields(fields), env);
        let cache = self.seen.get_or_init(start);
        if env.clock.timeout(PATIENCE, cache.synced()).await.is_none() {
            return Err("PodCertificateRequest informer has not yet synced".to_owned());
        }
        cache.get(key).map(|object| request::answer(&object)).transpose()
    }
}

/// What asking takes.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub requests: &'a Requests,
    pub client: &'a Client,
    pub env: &'a Env,
    pub pod: &'a Pod,
}

impl Certificates {
    /// When one of them must be looked at.
    pub fn next_look(&self) -> Option<Timestamp> {
        self.all.values().filter_map(|record| record.look).min()
    }

    /// Whether a first certificate was asked for and may still come.
    pub fn waits(&self) -> bool {
        self.all
            .values()
            .any(|record| record.held.is_none() && record.asked.is_some())
    }

    /// The certificate of a source, which is asked for when there is none or when it ages.
    pub async fn get(
        &mut self,
        of: (&str, usize),
        source: &CertificateSource,
        asker: Asker<'_>,
    ) -> Result<Bundle, String> {
        let record = self.all.entry((of.0.to_owned(), of.1)).or_default();
        let step = record.step(source, asker, &mut self.events).await;
        let now = asker.env.clock.wall();
        record.tell_age(now, &mut self.events);
        record.look = match (&record.ended, &record.held, &record.asked) {
            (None, Some(held), None) if step.is_ok() => Some(held.refresh),
            (None, Some(_), _) => now.saturating_add(LOOK).ok(),
            _ => None,
        };
        match (&record.ended, &record.held) {
            (Some(why), _) => Err(why.clone()),
            (None, Some(held)) => {
                if let Err(why) = step {
                    tracing::warn!(pod = asker.pod.full_name(), why, "a certificate is not renewed");
                }
                Ok(held.bundle.clone())
            }
            (None, None) => Err(step.err().unwrap_or_else(|| PENDING.to_owned())),
        }
    }
}

impl Record {
    async fn step(
        &mut self,
        source: &CertificateSource,
        asker: Asker<'_>,
        events: &mut Vec<(&'static str, String)>,
    ) -> Result<(), String> {
        if self.ended.is_some() {
            return Ok(());
        }
        if self.asked.is_some() {
            self.look(asker, events).await?;
        }
        let now = asker.env.clock.wall();
        let due = self.held.as_ref().is_none_or(|held| held.refresh <= now);
        if due && self.asked.is_none() && self.ended.is_none() {
            let kind = if self.held.is_some() { "refresh" } else { "initial" };
            let asked = request::ask(source, asker).await;
            let (key, name) =
                asked.map_err(|why| format!("while creating {kind} PodCertificateRequest: {why}"))?;
            let abandon = later(now, ABANDONED + jitter(asker.env));
            self.asked = Some(Asked { key, name, abandon });
        }
        Ok(())
    }

    /// Whether the request was answered.
    async fn look(
        &mut self,
        asker: Asker<'_>,
        events: &mut Vec<(&'static str, String)>,
    ) -> Result<(), String> {
        let Some(asked) = &self.asked else { return Ok(()) };
        let key = Key::new(&asker.pod.metadata.namespace, &asked.name);
        let answer = asker.requests.answer(asker.client, asker.env, &key).await;
        let answer = answer.map_err(|why| format!("while getting PodCertificateRequest \"{key}\": {why}"))?;
        match answer {
            None if asker.env.clock.wall() > asked.abandon => {
                tracing::info!(request = %key, "a PodCertificateRequest appears to have been deleted");
                self.asked = None;
            }
            None | Some(None) => {}
            Some(Some(Answered::Never { how, reason, message })) => {
                let (was, did) = if how == "Denied" {
                    ("was denied", "denied")
                } else {
                    ("failed", "failed")
                };
                let why = format!("reason={reason:?}, message={message:?}");
                events.push((how, format!("PodCertificateRequest {key} {was}, {why}")));
                let why = format!("reason={reason:?} message={message:?}");
                self.ended = Some(format!("PodCertificateRequest was permanently {did}: {why}"));
                self.asked = None;
            }
            Some(Some(Answered::Issued { chain, refresh, ends })) => {
                let chain = pem::certificates(&chain).map(|text| pem::block("CERTIFICATE", &text));
                self.held = Some(Held {
                    bundle: Bundle {
                        key: asked.key.clone(),
                        chain: chain.collect(),
                    },
                    refresh: later(refresh, jitter(asker.env)),
                    ends,
                    told_overdue: false,
                    told_expired: false,
                });
                self.asked = None;
            }
        }
        Ok(())
    }

    /// Tells once that a certificate should be new by now, and once that it is none any more.
    fn tell_age(&mut self, now: Timestamp, events: &mut Vec<(&'static str, String)>) {
        let Some(held) = &mut self.held else { return };
        if now > later(held.refresh, OVERDUE) && !held.told_overdue {
            held.told_overdue = true;
            events.push((
                "CertificateOverdueForRefresh",
                "PodCertificate refresh overdue".to_owned(),
            ));
        }
        if now > held.ends && !held.told_expired {
            held.told_expired = true;
            events.push(("CertificateExpired", "PodCertificate expired".to_owned()));
        }
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}

fn jitter(env: &Env) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(env.random.below(JITTER)).unwrap_or_default())
}
