//! What a ResourceQuota counts: what an object uses, and which quotas it falls under (upstream `pkg/quota/v1`). Who
//! admits writes and who counts again afterwards both read it here.

mod amounts;
mod claim;
mod pod;
mod service;
#[cfg(test)]
mod tests;

pub use amounts::{Amounts, add, exceeding, mask, print, subtract};
pub use pod::{Compute, Container, Needs};

use crate::{Object, Quantity};
use claim::Claim;
use jiff::Timestamp;
use pod::Pod;
use serde::{Deserialize, Serialize};
use service::Service;
use std::fmt;

/// A ResourceQuota as those who count read it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Quota {
    /// What is allowed.
    pub spec: Spec,
    /// What is allowed and used, as it was counted.
    pub status: Status,
}

/// `v1.ResourceQuotaSpec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// The most of each resource.
    pub hard: Amounts,
    /// All of these must match an object that counts.
    pub scopes: Vec<String>,
    /// All of these, too.
    pub scope_selector: Selector,
}

/// `v1.ScopeSelector`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Its terms.
    pub match_expressions: Vec<Term>,
}

/// `v1.ScopedResourceSelectorRequirement`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Term {
    /// Such as `PriorityClass`.
    pub scope_name: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: String,
    /// For `In` and `NotIn`.
    pub values: Vec<String>,
}

/// `v1.ResourceQuotaStatus`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The limits that are in force.
    pub hard: Amounts,
    /// What is used of each.
    pub used: Amounts,
}

impl Quota {
    /// None if the object does not decode.
    pub fn new(object: &Object) -> Option<Self> {
        object.view().ok()
    }

    /// Scopes and terms, as terms.
    pub fn terms(&self) -> Vec<Term> {
        let exists = |scope: &String| Term {
            scope_name: scope.clone(),
            operator: "Exists".to_owned(),
            values: Vec::new(),
        };
        let scopes = self.spec.scopes.iter().map(exists);
        scopes
            .chain(self.spec.scope_selector.match_expressions.iter().cloned())
            .collect()
    }
}

impl Term {
    /// Whether it holds for something that is named `value`, or has no name.
    fn holds(&self, value: Option<&str>) -> bool {
        let named = |value: &str| self.values.iter().any(|v| v == value);
        match self.operator.as_str() {
            "In" => value.is_some_and(named),
            "NotIn" => !value.is_some_and(named),
            "Exists" => value.is_some(),
            _ => value.is_none(),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{{} {} [{}]}}",
            self.scope_name,
            self.operator,
            self.values.join(" ")
        )
    }
}

/// What all objects of a resource are counted as: `count/deployments.apps`, `count/pods`.
pub fn count_name(group: &str, plural: &str) -> String {
    match group {
        "" => format!("count/{plural}"),
        group => format!("count/{plural}.{group}"),
    }
}

/// Resources that are counted by their plural name alone, too, as they once were.
const ALIASES: [&str; 4] = [
    "configmaps",
    "resourcequotas",
    "replicationcontrollers",
    "secrets",
];

/// Resources that never count.
const IGNORED: [(&str, &str); 4] = [
    ("", "bindings"),
    ("", "events"),
    ("events.k8s.io", "events"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
];

/// Whether objects of a resource never count.
pub fn is_ignored(group: &str, plural: &str) -> bool {
    IGNORED.contains(&(group, plural))
}

/// Whether objects of a resource can use what a quota names `name`.
pub fn tracks(group: &str, plural: &str, name: &str) -> bool {
    match (group, plural) {
        ("", "pods") => pod::tracks(name),
        ("", "persistentvolumeclaims") => claim::tracks(name),
        ("", "services") => service::TRACKED.contains(&name),
        ("", alias) if ALIASES.contains(&alias) && alias == name => true,
        _ => name
            .strip_prefix("count/")
            .and_then(|rest| rest.strip_prefix(plural))
            .is_some_and(|rest| match group {
                "" => rest.is_empty(),
                group => rest.strip_prefix('.') == Some(group),
            }),
    }
}

/// An object as quotas see it.
#[derive(Debug)]
pub enum Item {
    /// A pod.
    Pod(Box<Pod>),
    /// A claim for storage.
    Claim(Claim),
    /// A Service.
    Service(Service),
    /// Anything else is counted.
    Other(Vec<String>),
}

impl Item {
    /// An object of a resource; none if it does not decode.
    pub fn new(group: &str, plural: &str, object: &Object) -> Option<Self> {
        match (group, plural) {
            ("", "pods") => Pod::new(object).map(|pod| Self::Pod(Box::new(pod))),
            ("", "persistentvolumeclaims") => Claim::new(object).map(Self::Claim),
            ("", "services") => object.view().ok().map(Self::Service),
            _ => Some(Self::Other(Self::names(group, plural))),
        }
    }

    fn names(group: &str, plural: &str) -> Vec<String> {
        let alias = (group.is_empty() && ALIASES.contains(&plural)).then(|| plural.to_owned());
        alias.into_iter().chain([count_name(group, plural)]).collect()
    }

    /// What it uses.
    pub fn usage(&self, now: Timestamp) -> Amounts {
        match self {
            Self::Pod(pod) => pod.usage(now),
            Self::Claim(claim) => claim.usage(),
            Self::Service(service) => service.usage(),
            Self::Other(names) => names.iter().map(|name| (name.clone(), one())).collect(),
        }
    }

    /// Whether a scope covers it.
    pub fn is_within(&self, term: &Term) -> bool {
        match self {
            Self::Pod(pod) => pod.is_within(term),
            Self::Claim(claim) => claim.is_within(term),
            Self::Service(_) | Self::Other(_) => false,
        }
    }

    /// What is missing in a pod that falls under a quota of `names`: upstream's words. Every container must say what it
    /// needs of what is limited, or the pod as a whole.
    pub fn lacks(&self, names: &[&str]) -> Option<String> {
        match self {
            Self::Pod(pod) => pod.lacks(names),
            _ => None,
        }
    }

    /// Whether a change from `old` may change what is used, or by which quota it is counted, beside a change of its
    /// spec by the main resource.
    pub fn moved_from(&self, old: &Self) -> bool {
        match (self, old) {
            (Self::Pod(new), Self::Pod(old)) => new.is_terminating() != old.is_terminating(),
            (Self::Claim(new), Self::Claim(old)) => new.moved_from(old),
            _ => false,
        }
    }
}

fn one() -> Quantity {
    Quantity::from_int(1)
}
