//! ResourceQuota: what a request uses is added to the quotas of its namespace before the object is written, by writes
//! that fail if another server was faster; so no quota is exceeded, however many create at once (upstream
//! `apiserver/pkg/admission/plugin/resourcequota`).
//!
//! Requests that come while a quota is being written wait and are added together, with one write for all.

mod check;
#[cfg(test)]
pub(crate) mod story;
#[cfg(test)]
mod tests;

pub use check::Limited;

use super::{Attributes, Loopback, Operation, Parts, Remote};
use crate::Reader;
use api::{Gvr, Key, Status, quota};
use check::{Ask, Running};
use client::{Patch, Target, Write};
use component::Clock;
use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::oneshot;

const QUOTAS: Gvr = Gvr::new("", "v1", "resourcequotas");
/// So often a quota that others write at the same time is tried.
const TRIES: usize = 16;

/// `apiserver.config.k8s.io/v1 ResourceQuotaConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Configuration {
    /// What may be used only under a quota.
    pub limited_resources: Vec<Limited>,
}

impl Configuration {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let nameless = self
            .limited_resources
            .iter()
            .position(|limited| limited.resource.is_empty());
        match nameless {
            Some(at) => Err(format!("limitedResources[{at}].resource: Required value")),
            None => Ok(()),
        }
    }
}

/// The plugin.
pub struct ResourceQuota {
    reader: Reader,
    own: Loopback,
    clock: Clock,
    limited: Vec<Limited>,
    desks: Mutex<BTreeMap<String, Arc<Desk>>>,
}

/// Where the requests of a namespace wait.
#[derive(Default)]
struct Desk {
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Vec<Waiter>>,
}

struct Waiter {
    ask: Arc<Ask>,
    answer: oneshot::Sender<Result<(), Status>>,
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
    used: &'a quota::Amounts,
}

impl ResourceQuota {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self {
            reader: parts.reader.clone(),
            own: parts.own.clone(),
            clock: parts.env.clock.clone(),
            limited: parts.configuration.resource_quota.limited_resources.clone(),
            desks: Mutex::default(),
        }
    }

    /// What is asked for; none if quotas have nothing to do with it.
    fn ask(&self, request: &Attributes<'_>) -> Option<Ask> {
        let of = request.request();
        let item =
            |object: &Option<Arc<api::Object>>| quota::Item::new(&of.group, &of.resource, object.as_deref()?);
        let (item, old) = (item(&request.object)?, item(&request.old));
        let create = request.operation == Operation::Create;
        let moved = old.as_ref().is_some_and(|old| item.moved_from(old));
        let concerns = match (of.group.as_str(), of.resource.as_str(), of.subresource.as_str()) {
            ("", "pods", "") => create || moved,
            ("", "pods", "resize") => !create,
            ("", "persistentvolumeclaims", "status") => moved,
            _ => true,
        };
        concerns.then(|| Ask {
            gvr: request.gvr(),
            name: request.object_name().to_owned(),
            item,
            old,
            of_status: of.subresource == "status",
            dry_run: request.call.dry_run,
            now: self.clock.wall(),
        })
    }

    async fn evaluate(&self, namespace: &str, ask: Ask) -> Result<(), Status> {
        let (ask, desk) = (Arc::new(ask), self.desk(namespace));
        loop {
            let (sender, mut answer) = oneshot::channel();
            lock(&desk.waiting).push(Waiter {
                ask: ask.clone(),
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
            left = self.charge(&mut quotas, left);
            match self.write(&mut quotas).await {
                Ok(()) => {
                    for waiter in left {
                        let _ = waiter.answer.send(Ok(()));
                    }
                    return;
                }
                Err(status) => refused = status,
            }
        }
        for waiter in left {
            let _ = waiter.answer.send(Err(refused.clone()));
        }
    }

    /// Adds each request to the quotas. Those that are refused, and those that change nothing, are answered; the others
    /// wait until it is written.
    fn charge(&self, quotas: &mut [Running], waiting: Vec<Waiter>) -> Vec<Waiter> {
        let mut left = Vec::new();
        for waiter in waiting {
            let mut dry = waiter.ask.dry_run.then(|| quotas.to_vec());
            let target = dry.as_deref_mut().unwrap_or(&mut *quotas);
            let said = waiter.ask.charge(target, &self.limited);
            if said.is_err() || dry.is_some() {
                let _ = waiter.answer.send(said);
            } else {
                left.push(waiter);
            }
        }
        left
    }

    /// Writes what changed. If another was faster, the quotas that could not be written are read again, and only those
    /// are left to be charged.
    async fn write(&self, quotas: &mut Vec<Running>) -> Result<(), Status> {
        let changed: Vec<&Running> = quotas.iter().filter(|running| running.changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let client = self.own.client()?;
        let (mut again, mut refused) = (Vec::new(), None);
        for running in changed {
            let object = &running.object;
            let key = Key::new(object.namespace(), object.name());
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
            let target = Target::object(&QUOTAS, &key).sub("status");
            if let Err(status) = client
                .write(target, Write::Patch(Patch::Merge, body.into()))
                .await
            {
                refused = Some(status);
                // One that is gone counts no more.
                again.extend(client.find(&QUOTAS, &key).await?.and_then(Running::new));
            }
        }
        *quotas = again;
        refused.map_or(Ok(()), Err)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote for ResourceQuota {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        let of = request.request();
        let subresource = of.subresource.as_str();
        let handled = match (of.group.as_str(), of.resource.as_str()) {
            ("", "namespaces") => false,
            ("", "pods") => subresource.is_empty() || subresource == "resize",
            ("", "persistentvolumeclaims") => subresource.is_empty() || subresource == "status",
            ("", "services") => request.operation != Operation::Create || subresource.is_empty(),
            (group, plural) => {
                let create = request.operation == Operation::Create;
                create && subresource.is_empty() && !quota::is_ignored(group, plural)
            }
        };
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let stored = request.place.is_some() && !of.namespace.is_empty();
        let limited = || !self.limited.is_empty() || !self.reader.list(&QUOTAS, &of.namespace).is_empty();
        handled && writes && stored && limited()
    }

    fn validate<'a>(&'a self, request: &'a Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            match self.ask(request) {
                Some(ask) => self.evaluate(&request.request().namespace, ask).await,
                None => Ok(()),
            }
        }
        .boxed()
    }
}
