//! The books: what requests add to quotas, and what is taken off again when nothing comes of one.

use super::{
    QUOTAS,
    check::{Added, Ask, Limited, Running},
};
use crate::{Reader, admission::Loopback};
use api::{
    Status,
    quota::{self, Amounts, Quota},
};
use client::{Client, Patch, Target, Write};
use component::Clock;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// So often a quota that others write at the same time is tried.
const TRIES: usize = 16;
/// So long after it was added something may be taken off again. Later somebody may have counted what is there, without
/// it: those who count let a quota rest longer than this.
const FRESH: Duration = Duration::from_secs(5);

/// Who adds to the quotas of all namespaces.
pub(super) struct Books {
    pub reader: Reader,
    pub own: Loopback,
    pub clock: Clock,
    pub limited: Vec<Limited>,
    pub desks: Mutex<BTreeMap<String, Arc<Desk>>>,
}

/// Where the requests of a namespace wait.
#[derive(Default)]
pub(super) struct Desk {
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Vec<Waiter>>,
}

struct Waiter {
    ask: Arc<Ask>,
    /// What was added for it and written.
    added: Vec<Added>,
    answer: oneshot::Sender<Result<Vec<Added>, Status>>,
}

#[derive(Serialize)]
struct Charge<'a> {
    metadata: Meta<'a>,
    status: Used<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    uid: &'a str,
    resource_version: String,
}

#[derive(Serialize)]
struct Used<'a> {
    used: &'a Amounts,
}

impl Books {
    /// Adds what is asked for, if all quotas allow it.
    pub async fn add(&self, namespace: &str, ask: Ask) -> Result<Vec<Added>, Status> {
        let (ask, desk) = (Arc::new(ask), self.desk(namespace));
        loop {
            let (sender, mut answer) = oneshot::channel();
            lock(&desk.waiting).push(Waiter {
                ask: ask.clone(),
                added: Vec::new(),
                answer: sender,
            });
            let turn = desk.turn.lock().await;
            // Somebody who came before may have asked for us, too; or begun to, and gone away.
            match answer.try_recv() {
                Ok(said) => return said,
                Err(oneshot::error::TryRecvError::Closed) => continue,
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let waiting = std::mem::take(&mut *lock(&desk.waiting));
            self.serve(namespace, waiting).await;
            drop(turn);
            self.leave(namespace, &desk);
            if let Ok(said) = answer.try_recv() {
                return said;
            }
        }
    }

    /// Takes off what was added since `begun` for a request that came to nothing.
    pub async fn take_off(&self, namespace: &str, added: Vec<Added>, begun: tokio::time::Instant) {
        let desk = self.desk(namespace);
        let turn = desk.turn.lock().await;
        if self.clock.now().saturating_duration_since(begun) < FRESH {
            self.undo(&added).await;
        }
        drop(turn);
        self.leave(namespace, &desk);
    }

    fn desk(&self, namespace: &str) -> Arc<Desk> {
        lock(&self.desks).entry(namespace.to_owned()).or_default().clone()
    }

    /// Takes the desk of a namespace away if nobody else is at it.
    fn leave(&self, namespace: &str, desk: &Arc<Desk>) {
        let mut desks = lock(&self.desks);
        if Arc::strong_count(desk) == 2 && lock(&desk.waiting).is_empty() {
            desks.remove(namespace);
        }
    }

    /// Answers all who wait.
    async fn serve(&self, namespace: &str, waiting: Vec<Waiter>) {
        let mut left: Vec<Waiter> = waiting.into_iter().filter(|w| !w.answer.is_closed()).collect();
        let objects = self.reader.list(&QUOTAS, namespace);
        let mut quotas: Vec<Running> = objects.into_iter().filter_map(Running::new).collect();
        let mut refused = Status::internal("resource quota evaluation timed out");
        for _ in 0..TRIES {
            left = self.charge(&mut quotas, left).await;
            match self.write(&mut quotas, &mut left).await {
                Ok(()) => {
                    for waiter in left {
                        let _ = waiter.answer.send(Ok(waiter.added));
                    }
                    return;
                }
                Err(status) => refused = status,
            }
        }
        for waiter in left {
            self.undo(&waiter.added).await;
            let _ = waiter.answer.send(Err(refused.clone()));
        }
    }

    /// Adds each request to the quotas. Those that are refused, and those that change nothing, are answered; the others
    /// wait until it is written.
    async fn charge(&self, quotas: &mut [Running], waiting: Vec<Waiter>) -> Vec<Waiter> {
        let mut left = Vec::new();
        for mut waiter in waiting {
            let mut dry = waiter.ask.dry_run.then(|| quotas.to_vec());
            let target = dry.as_deref_mut().unwrap_or(&mut *quotas);
            match waiter.ask.charge(target, &self.limited) {
                Ok(_) if dry.is_some() => {
                    let _ = waiter.answer.send(Ok(Vec::new()));
                }
                Ok(added) => {
                    waiter.added.extend(added);
                    left.push(waiter);
                }
                Err(status) => {
                    self.undo(&waiter.added).await;
                    let _ = waiter.answer.send(Err(status));
                }
            }
        }
        left
    }

    /// Writes what changed. If another was faster, the quotas that could not be written are read again, and only those
    /// are left to be charged.
    async fn write(&self, quotas: &mut Vec<Running>, waiting: &mut [Waiter]) -> Result<(), Status> {
        let changed: Vec<&Running> = quotas.iter().filter(|running| running.changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let client = self.own.client()?;
        let (mut again, mut refused) = (Vec::new(), Ok(()));
        for running in changed {
            let object = &running.object;
            let key = object.key();
            let Err(status) = store(&client, running).await else {
                continue;
            };
            refused = Err(status);
            for waiter in &mut *waiting {
                waiter.added.retain(|added| added.quota != key);
            }
            // One that is gone counts no more.
            again.extend(client.find(&QUOTAS, &key).await?.and_then(Running::new));
        }
        *quotas = again;
        refused
    }

    /// Takes off what was added.
    async fn undo(&self, added: &[Added]) {
        for one in added {
            if let Err(status) = self.subtract(one).await {
                tracing::warn!(quota = %one.quota, %status, "what is not used stays charged until it is counted again");
            }
        }
    }

    async fn subtract(&self, added: &Added) -> Result<(), Status> {
        let client = self.own.client()?;
        let mut refused = Ok(());
        for _ in 0..TRIES {
            let found = client.find(&QUOTAS, &added.quota).await?;
            let Some(object) = found.filter(|object| object.uid() == added.uid) else {
                return Ok(());
            };
            let Some(quota) = Quota::new(&object) else {
                return Ok(());
            };
            let mut running = Running {
                object,
                quota,
                changed: true,
            };
            let used = &mut running.quota.status.used;
            *used = quota::subtract(used, &added.amounts);
            refused = store(&client, &running).await;
            if refused.is_ok() {
                break;
            }
        }
        refused
    }
}

/// Writes what is used of a quota, if nobody else has written it.
async fn store(client: &Client, running: &Running) -> Result<(), Status> {
    let object = &running.object;
    let body = Charge {
        metadata: Meta {
            uid: object.uid(),
            resource_version: object.resource_version().to_string(),
        },
        status: Used {
            used: &running.quota.status.used,
        },
    };
    let body = serde_json::to_vec(&body).map_err(Status::internal)?;
    let target = Target::object(&QUOTAS, &object.key()).sub("status");
    let write = Write::Patch(Patch::Merge, body.into());
    client.write(target, write).await.map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
