//! What a claim uses: itself and storage, altogether and of its class.

use super::{Amounts, Term, one};
use crate::{Object, Quantity, volume};
use serde::Deserialize;
use std::collections::BTreeSet;

const COUNT: &str = "count/persistentvolumeclaims";
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
const CLAIMS: &str = "persistentvolumeclaims";
const STORAGE: &str = "requests.storage";

/// A claim.
#[derive(Debug)]
pub struct Claim {
    view: View,
    class: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct View {
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    storage_class_name: String,
    volume_attributes_class_name: String,
    resources: volume::Requests,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    allocated_resources: Amounts,
    current_volume_attributes_class_name: String,
    modify_volume_status: Modify,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Modify {
    target_volume_attributes_class_name: String,
}

pub(super) fn tracks(name: &str) -> bool {
    let plain = |name: &str| name == CLAIMS || name == STORAGE;
    name == COUNT || plain(name) || name.split_once(OF_CLASS).is_some_and(|(_, rest)| plain(rest))
}

impl Claim {
    pub(super) fn new(object: &Object) -> Option<Self> {
        let view: View = object.view().ok()?;
        let named = || view.spec.storage_class_name.clone();
        let class = object.annotation(volume::CLASS).unwrap_or_else(named);
        Some(Self { view, class })
    }

    /// What is wanted or, while it shrinks, still held; in whole bytes.
    fn storage(&self) -> Option<Quantity> {
        let wanted = *self.view.spec.resources.requests.get("storage")?;
        let held = self.view.status.allocated_resources.get("storage").copied();
        let most = held.filter(|held| *held > wanted).unwrap_or(wanted);
        let whole = most == Quantity::from_int(most.value());
        Some(if whole {
            most
        } else {
            Quantity::from_int(most.value())
        })
    }

    pub(super) fn usage(&self) -> Amounts {
        let mut usage = Amounts::from([(COUNT.to_owned(), one())]);
        let mut charge = |name: &str, quantity| {
            usage.insert(name.to_owned(), quantity);
            if !self.class.is_empty() {
                usage.insert(format!("{}{OF_CLASS}{name}", self.class), quantity);
            }
        };
        charge(CLAIMS, one());
        if let Some(storage) = self.storage() {
            charge(STORAGE, storage);
        }
        usage
    }

    /// The attributes classes that it has, wants, and is being given.
    fn attributes(&self) -> BTreeSet<&str> {
        let status = &self.view.status;
        [
            &self.view.spec.volume_attributes_class_name,
            &status.current_volume_attributes_class_name,
            &status.modify_volume_status.target_volume_attributes_class_name,
        ]
        .into_iter()
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .collect()
    }

    pub(super) fn is_within(&self, term: &Term) -> bool {
        let names = self.attributes();
        term.scope_name == "VolumeAttributesClass"
            && match names.is_empty() {
                true => term.holds(None),
                false => names.iter().any(|name| term.holds(Some(name))),
            }
    }

    pub(super) fn moved_from(&self, old: &Self) -> bool {
        let held = |claim: &Self| claim.view.status.allocated_resources.get("storage").copied();
        held(self) != held(old) || self.attributes() != old.attributes()
    }
}
