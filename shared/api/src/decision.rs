//! Decision records: why a part of the system did what it did, or did not.

use crate::{Gvr, Key};
use jiff::Timestamp;
use serde::Serialize;

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
        Self { code, ..Self::default() }
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
