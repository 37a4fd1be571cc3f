//! Writes a pod's status: the newest one, once, again until it is written.

use crate::{
    resources::PODS,
    view::{Condition, Delete, PodStatus},
};
use api::{Key, decision::Ring};
use client::{Client, Patch};
use component::{Env, Tasks};
use serde::Serialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// Whose status is written, and where it is recorded.
#[derive(Clone, Debug)]
pub struct Of {
    /// Namespace and name.
    pub key: Key,
    /// UID; empty as long as there is no object to write to.
    pub uid: String,
    /// Where decisions are kept.
    pub records: Ring,
}

/// The writer of one pod's status.
#[derive(Debug)]
pub struct StatusWriter {
    wanted: watch::Sender<Telling>,
    written: watch::Receiver<Telling>,
    version: Arc<AtomicU64>,
}

/// A status and the object that it is told of.
#[derive(Clone, Debug, Default, PartialEq)]
struct Telling {
    uid: String,
    status: PodStatus,
}

#[derive(Serialize)]
struct Wire<T> {
    metadata: Metadata,
    status: T,
}

#[derive(Clone, Serialize)]
struct Metadata {
    uid: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NoAddress {
    #[serde(rename = "podIPs")]
    pod_ips: Option<()>,
}

impl StatusWriter {
    /// Starts it; `told` is the status that the API server has.
    pub fn start(client: Client, env: &Env, tasks: &Tasks, of: Of, told: PodStatus) -> Self {
        let told = Telling {
            uid: of.uid.clone(),
            status: told,
        };
        let (wanted, inbox) = watch::channel(told.clone());
        let (done, written) = watch::channel(told);
        let version = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            version: version.clone(),
            client,
            env: env.clone(),
            of,
            inbox,
            done,
        };
        tasks.spawn("status", writer.run());
        Self {
            wanted,
            written,
            version,
        }
    }

    /// The status that was asked for last.
    pub fn last(&self) -> PodStatus {
        self.wanted.borrow().status.clone()
    }

    /// Says which object is written to from now on; none when empty.
    pub fn aim(&self, uid: &str) {
        self.wanted.send_if_modified(|wanted| {
            let changed = wanted.uid != uid;
            uid.clone_into(&mut wanted.uid);
            changed
        });
    }

    /// Writes `status` again if someone else has overruled it: `told` is newer than what was written last, and says
    /// otherwise whether the pod is ready. The control plane does so for nodes that it took for lost.
    pub fn insist(&self, status: &PodStatus, told: &PodStatus, version: u64) {
        let idle = *self.written.borrow() == *self.wanted.borrow();
        let newer = version > self.version.load(Ordering::Acquire);
        if idle && newer && told.ready() != status.ready() {
            self.wanted.send_modify(|wanted| wanted.status = status.clone());
        }
    }

    /// Writes `status`, unless it is what was written last.
    pub fn set(&self, status: PodStatus) {
        self.wanted.send_if_modified(|wanted| {
            let changed = wanted.status != status;
            wanted.status = status;
            changed
        });
    }

    /// Resolves when what was asked for last is written, or can no longer be.
    pub async fn flushed(&mut self) {
        let wanted = self.wanted.borrow().clone();
        // The writer is gone only when the kubelet stops.
        let _ = self.written.wait_for(|written| *written == wanted).await;
    }
}

struct Writer {
    client: Client,
    env: Env,
    of: Of,
    inbox: watch::Receiver<Telling>,
    done: watch::Sender<Telling>,
    /// Of the last write.
    version: Arc<AtomicU64>,
}

impl Writer {
    async fn run(mut self) {
        while self.inbox.changed().await.is_ok() {
            let mut delay = Duration::from_millis(100);
            loop {
                let telling = self.inbox.borrow_and_update().clone();
                if telling.uid.is_empty() {
                    break;
                }
                match self.write(&telling).await {
                    Ok(()) => {}
                    // Gone, or another pod of the same name: nobody wants it any more.
                    Err(error) if error.is_not_found() || error.is_conflict() || error.code == 422 => {}
                    Err(error) => {
                        tracing::debug!(pod = %self.of.key, %error, "status not written");
                        self.env.clock.sleep(delay).await;
                        delay = (delay * 2).min(Duration::from_secs(10));
                        continue;
                    }
                }
                let version = self.version.load(Ordering::Acquire);
                let record =
                    crate::decisions::record(self.env.clock.wall(), &self.of.key, version, &telling.status);
                self.of.records.push(record);
                self.done.send_replace(telling);
                break;
            }
        }
    }

    async fn write(&self, telling: &Telling) -> Result<(), api::Status> {
        let metadata = Metadata {
            uid: telling.uid.clone(),
        };
        let status = &telling.status;
        let before = match &*self.done.borrow() {
            done if done.uid == telling.uid => done.status.pod_ips.clone(),
            _ => Vec::new(),
        };
        if !before.is_empty() && !status.pod_ips.is_empty() && before != status.pod_ips {
            // podIPs merge by address: the old ones go first.
            let patch = Wire {
                metadata: metadata.clone(),
                status: NoAddress { pod_ips: None },
            };
            self.client
                .patch(&PODS, &self.of.key, "status", Patch::Strategic, &patch)
                .await?;
        }
        let mut status = status.clone();
        // Conditions merge by type: one that no longer holds must be taken away.
        let kept = |kind: &str| status.conditions.iter().any(|c| c.kind == kind);
        let gone: Vec<Condition> = {
            let done = self.done.borrow();
            let told = done.status.conditions.iter();
            let gone = told.filter(|c| c.kind.starts_with("PodResize") && !kept(&c.kind));
            gone.map(|c| Condition {
                kind: c.kind.clone(),
                patch: Some(Delete::Delete),
                ..Condition::default()
            })
            .collect()
        };
        status.conditions.extend(gone);
        let patch = Wire { metadata, status };
        let written = self
            .client
            .patch(&PODS, &self.of.key, "status", Patch::Strategic, &patch)
            .await?;
        self.version.store(written.resource_version(), Ordering::Release);
        Ok(())
    }
}
