//! Decision records: why a part of the system did what it did, or did not.

use crate::{Gvr, Key};
use jiff::Timestamp;
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Done.
    Done,
    /// Not done, and will not be while things stand as they do.
    Blocked,
    /// Put off; it will be looked at again.
    Deferred,
    /// Tried and refused by someone else.
    Failed,
}

/// One reason of a decision. Text for people is made from it by a view, never stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// A stable name in CamelCase, such as `InsufficientResource`.
    pub code: &'static str,
    /// Facts, by name, in the order they are told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<(&'static str, String)>,
    /// What it came from: an object (`pods default/web`), a node, a record's code.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
}

impl Reason {
    /// A reason without facts.
    pub fn new(code: &'static str) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.params.push((name, value.to_string()));
        self
    }
}

/// A decision about one object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// Who decided: a box or controller, such as `scheduler`, `deployment-controller`.
    pub actor: &'static str,
    /// The resource of the object, such as `pods`, `deployments.apps`.
    pub resource: String,
    /// Namespace of the object; empty for cluster-scoped ones.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// The version of the object that was looked at.
    pub resource_version: u64,
    /// What was decided.
    pub verdict: Verdict,
    /// Why.
    pub reasons: Vec<Reason>,
    /// What would let it go on; empty when nothing is in the way.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unblock: String,
}

impl Record {
    /// A record of `actor` about the object `key` of `resource`.
    pub fn new(at: Timestamp, actor: &'static str, resource: &Gvr, key: &Key, verdict: Verdict) -> Self {
        Self {
            at,
            actor,
            resource: resource.to_string(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            resource_version: 0,
            verdict,
            reasons: Vec::new(),
            unblock: String::new(),
        }
    }
}

/// Where records of a process are kept: a bounded ring, and the latest of each actor about each object. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ring(Arc<Mutex<RingState>>);

#[derive(Debug, Default)]
struct RingState {
    recent: VecDeque<Arc<Record>>,
    latest: BTreeMap<(String, String, String, &'static str), Arc<Record>>,
}

impl Ring {
    /// How many records are kept in order of time.
    pub const RECENT: usize = 4096;
    /// Of how many (object, actor) pairs the latest record is kept.
    pub const LATEST: usize = 16384;

    /// Keeps a record, unless it repeats the latest of its actor about its object.
    pub fn push(&self, record: Record) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (
            record.resource.clone(),
            record.namespace.clone(),
            record.name.clone(),
            record.actor,
        );
        let repeated = state.latest.get(&key).is_some_and(|last| {
            last.verdict == record.verdict && last.reasons == record.reasons && last.unblock == record.unblock
        });
        if repeated {
            return;
        }
        let record = Arc::new(record);
        state.recent.push_back(record.clone());
        if state.recent.len() > Self::RECENT {
            state.recent.pop_front();
        }
        state.latest.insert(key, record);
        if state.latest.len() > Self::LATEST {
            let oldest = state
                .latest
                .iter()
                .min_by_key(|(_, r)| r.at)
                .map(|(key, _)| key.clone());
            oldest.map(|key| state.latest.remove(&key));
        }
    }

    /// The latest record of each actor about an object; `resource` as `deployments.apps`.
    pub fn about(&self, resource: &str, namespace: &str, name: &str) -> Vec<Arc<Record>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = (resource.to_owned(), namespace.to_owned(), name.to_owned(), "");
        let same = |k: &(String, String, String, &str)| k.0 == resource && k.1 == namespace && k.2 == name;
        state
            .latest
            .range(from..)
            .take_while(|(k, _)| same(k))
            .map(|(_, r)| r.clone())
            .collect()
    }

    /// The recent records, oldest first.
    pub fn recent(&self) -> Vec<Arc<Record>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recent
            .iter()
            .cloned()
            .collect()
    }
}
