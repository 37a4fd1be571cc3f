//! Leader election by a Lease (upstream `client-go/tools/leaderelection`): who holds the Lease leads; who does not see
//! it renewed for its whole duration, by their own clock, takes it.

use crate::{Client, Recorder};
use api::{Gvr, Key, Object, Status};
use component::{
    Env,
    metrics::{Description, Gauge},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

const LEASES: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");

/// How much of the retry period is left to chance while another leads.
const JITTER: f64 = 1.2;

const MASTER: Description = Description::new(
    "leader_election_master_status",
    "[ALPHA] Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. 'name' is the string used to identify the lease. Please make sure to group by name.",
    &["name"],
);

/// Settings of an election. The defaults of the times are upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The Lease.
    pub lease: Key,
    /// Who this candidate is; no other may have the same name.
    pub identity: String,
    /// A Lease that is not renewed for so long may be taken.
    pub lease_duration: Duration,
    /// A leader that could not renew for so long stops leading. Shorter than `lease_duration`.
    pub renew_deadline: Duration,
    /// The time between tries.
    pub retry_period: Duration,
    /// A leader that stops gives the Lease back, so that the next need not wait.
    pub release: bool,
}

impl Config {
    /// For the Lease `name` in kube-system.
    pub fn new(name: &str, identity: &str) -> Self {
        Self {
            lease: Key::new("kube-system", name),
            identity: identity.to_owned(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            release: true,
        }
    }
}

/// The spec of a Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// Who leads; empty: nobody.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub holder_identity: String,
    /// Seconds.
    pub lease_duration_seconds: i64,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "micro")]
    pub acquire_time: Option<Timestamp>,
    /// When it was renewed last.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "micro")]
    pub renew_time: Option<Timestamp>,
    /// How often it went from one to another.
    pub lease_transitions: i64,
}

/// `metav1.MicroTime`.
#[expect(clippy::ref_option, reason = "serde's signature")]
fn micro<S: serde::Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")),
        None => to.serialize_none(),
    }
}

/// What a candidate does with the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is none: make it.
    Create(Record),
    /// Take or renew it, if it is still at the version that was read.
    Update(Record),
    /// Another leads.
    Wait,
}

/// A candidate's memory: the Lease as it was seen last, and when it was seen to change. Pure.
#[derive(Clone, Debug)]
pub struct Candidate {
    config: Config,
    seen: Option<(Record, Instant)>,
}

impl Candidate {
    /// Has seen nothing.
    pub fn new(config: Config) -> Self {
        Self { config, seen: None }
    }

    /// Whether it holds the Lease as it was seen last.
    pub fn leads(&self) -> bool {
        self.seen
            .as_ref()
            .is_some_and(|(record, _)| record.holder_identity == self.config.identity)
    }

    /// Who leads, as was seen last.
    pub fn leader(&self) -> Option<&str> {
        self.seen
            .as_ref()
            .map(|(record, _)| record.holder_identity.as_str())
    }

    /// Takes note of the Lease as it is.
    pub fn observe(&mut self, record: Record, now: Instant) {
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != record) {
            self.seen = Some((record, now));
        }
    }

    /// What to do, given the Lease as it was just read (`None`: there is none).
    pub fn step(&mut self, lease: Option<Record>, now: Instant, wall: Timestamp) -> Step {
        let seconds = i64::try_from(self.config.lease_duration.as_secs()).unwrap_or(i64::MAX);
        let mut wanted = Record {
            holder_identity: self.config.identity.clone(),
            lease_duration_seconds: seconds,
            acquire_time: Some(wall),
            renew_time: Some(wall),
            lease_transitions: 0,
        };
        let Some(lease) = lease else {
            return Step::Create(wanted);
        };
        self.observe(lease.clone(), now);
        let changed = self.seen.as_ref().map_or(now, |(_, at)| *at);
        let valid = Duration::from_secs(u64::try_from(lease.lease_duration_seconds).unwrap_or(0));
        let ours = lease.holder_identity == self.config.identity;
        if !ours && !lease.holder_identity.is_empty() && changed + valid > now {
            return Step::Wait;
        }
        wanted.lease_transitions = lease.lease_transitions + i64::from(!ours);
        if ours {
            wanted.acquire_time = lease.acquire_time;
        }
        Step::Update(wanted)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lease<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Box<RawValue>,
    spec: &'a Record,
}

#[derive(Serialize)]
struct Meta<'a> {
    name: &'a str,
    namespace: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LeaseView {
    spec: Record,
}

struct Executor<'a> {
    client: &'a Client,
    env: &'a Env,
    candidate: Candidate,
}

impl Executor<'_> {
    fn config(&self) -> &Config {
        &self.candidate.config
    }

    async fn write(&mut self, record: Record, over: Option<&Object>) -> Result<(), Status> {
        let Key { namespace, name } = &self.config().lease;
        let mut metadata = Vec::new();
        match over {
            // With its resourceVersion: another candidate may have been quicker.
            Some(lease) => lease.write_metadata(&mut metadata),
            None => {
                serde_json::to_writer(&mut metadata, &Meta { name, namespace }).map_err(Status::internal)?
            }
        }
        let metadata = String::from_utf8(metadata).map_err(Status::internal)?;
        let metadata = RawValue::from_string(metadata).map_err(Status::internal)?;
        let lease = Lease {
            api_version: "coordination.k8s.io/v1",
            kind: "Lease",
            metadata,
            spec: &record,
        };
        let written = match over {
            Some(_) => self.client.update(&LEASES, &self.config().lease, &lease).await?,
            None => self.client.create(&LEASES, namespace, &lease).await?,
        };
        // As the server keeps it: what is read next must not look like a change.
        let record = written.view::<LeaseView>().map_or(record, |view| view.spec);
        self.candidate.observe(record, self.env.clock.now());
        Ok(())
    }

    /// One try to take or renew the Lease. True if it is held.
    async fn try_once(&mut self) -> bool {
        match self.attempt().await {
            Ok(held) => held,
            Err(status) => {
                tracing::debug!(lease = %self.config().lease, error = %status, "the lease could not be had");
                false
            }
        }
    }

    async fn attempt(&mut self) -> Result<bool, Status> {
        let held: Option<Arc<Object>> = self.client.find(&LEASES, &self.config().lease).await?;
        let record = held
            .as_ref()
            .map(|lease| lease.view::<LeaseView>().unwrap_or_default().spec);
        let (now, wall) = (self.env.clock.now(), self.env.clock.wall());
        match self.candidate.step(record, now, wall) {
            Step::Create(record) => self.write(record, None).await?,
            Step::Update(record) => self.write(record, held.as_deref()).await?,
            Step::Wait => return Ok(false),
        }
        Ok(true)
    }

    async fn acquire(&mut self) {
        while !self.try_once().await {
            let wait = self.env.random.jitter(self.config().retry_period, JITTER);
            self.env.clock.sleep(wait).await;
        }
    }

    /// Renews until it could not for the whole deadline.
    async fn renew(&mut self) {
        loop {
            self.env.clock.sleep(self.config().retry_period).await;
            let (env, limit) = (self.env.clone(), self.config().renew_deadline);
            let renewed = env.clock.timeout(limit, async {
                while !self.try_once().await {
                    self.env.clock.sleep(self.config().retry_period).await;
                }
            });
            if renewed.await.is_none() {
                return;
            }
        }
    }

    async fn release(&mut self) {
        if !self.candidate.leads() {
            return;
        }
        let held = self
            .client
            .find(&LEASES, &self.config().lease)
            .await
            .ok()
            .flatten();
        let Some(held) = held else { return };
        let old = held.view::<LeaseView>().unwrap_or_default().spec;
        if old.holder_identity != self.config().identity {
            return;
        }
        let now = Some(self.env.clock.wall());
        let nobody = Record {
            holder_identity: String::new(),
            lease_duration_seconds: 1,
            acquire_time: now,
            renew_time: now,
            lease_transitions: old.lease_transitions,
        };
        if let Err(status) = self.write(nobody, Some(&held)).await {
            tracing::debug!(error = %status, "the lease could not be given back");
        }
    }
}

/// How an election ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The branch of `env` was asked to stop.
    Stopped,
    /// The Lease was lost; whoever led must not go on.
    Lost,
}

/// How long what the leader runs may take to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// Waits until this candidate leads, then calls `lead` with a branch of the task tree of its own, and keeps leading.
/// The branch is stopped before this returns; the Lease is given back after that, if it was not lost.
pub async fn run(
    client: &Client,
    config: Config,
    env: &Env,
    recorder: Option<&Recorder>,
    lead: impl FnOnce(&Env),
) -> Ended {
    let (name, identity, release) = (config.lease.to_string(), config.identity.clone(), config.release);
    let mut executor = Executor {
        client,
        env,
        candidate: Candidate::new(config),
    };
    let lease = &executor.config().lease.name;
    let master = env.metrics.family::<Gauge>(MASTER).of(&[lease]).clone();
    master.set(0);
    tokio::select! {
        biased;
        () = env.tasks.stopping() => return Ended::Stopped,
        () = executor.acquire() => {}
    }
    master.set(1);
    tracing::info!(lease = name, identity, "became leader");
    if let Some(recorder) = recorder {
        let about = crate::About {
            api_version: "coordination.k8s.io/v1".to_owned(),
            kind: "Lease".to_owned(),
            namespace: executor.config().lease.namespace.clone(),
            name: executor.config().lease.name.clone(),
            ..crate::About::default()
        };
        recorder.record(
            about,
            crate::Severity::Normal,
            "LeaderElection",
            format!("{identity} became leader"),
        );
    }
    let branch = env.child();
    lead(&branch);
    let ended = tokio::select! {
        biased;
        () = env.tasks.stopping() => Ended::Stopped,
        () = executor.renew() => Ended::Lost,
    };
    master.set(0);
    if !branch.tasks.drain(DRAIN).await {
        tracing::warn!(lease = name, "what the leader ran did not stop in time");
    }
    if ended == Ended::Stopped && release {
        executor.release().await;
    }
    ended
}

#[cfg(test)]
mod stories;
