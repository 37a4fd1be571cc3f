//! Who writes which part of a ResourceClaim's status (upstream `pkg/registry/resource/utils.go`, KEP-4817): what the claim
//! is bound to is for who may write `resourceclaims/binding`, what is told of a device for who may write
//! `resourceclaims/driver` by the name of its driver, on the node that the claim is allocated on or on any.

use super::{Attributes, Authorizer, User, impersonation::node_of_account};
use crate::{
    admission::{self, Parts, Remote},
    server::forbidden,
};
use api::{Object, Status, field::Error};
use futures::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeSet, sync::Arc};

const GROUP: &str = "resource.k8s.io";
const GATE: &str = "DRAResourceClaimGranularStatusAuthorization";

/// The guard of the status of claims.
pub struct ClaimStatus {
    authorizer: Arc<dyn Authorizer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    status: Written,
}

/// Stored objects are canonical: what is equal is equal text.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    allocation: Option<Box<RawValue>>,
    reserved_for: Option<Box<RawValue>>,
    devices: Vec<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Device {
    driver: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Allocation {
    node_selector: Selector,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Selector {
    node_selector_terms: Vec<Term>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    match_expressions: Vec<Requirement>,
    match_fields: Vec<Requirement>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Requirement {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl Written {
    fn of(object: &Object) -> Result<Self, Status> {
        let view: View = object.view().map_err(Status::internal)?;
        Ok(view.status)
    }

    fn binding(&self) -> [Option<&str>; 2] {
        [&self.allocation, &self.reserved_for].map(|part| part.as_deref().map(RawValue::get))
    }

    fn devices(&self) -> BTreeSet<&str> {
        self.devices.iter().map(|device| device.get()).collect()
    }

    /// The node that it is allocated on, if that is one by its name.
    fn node(&self) -> Option<String> {
        let allocation: Allocation = serde_json::from_str(self.allocation.as_ref()?.get()).ok()?;
        let [term] = allocation.node_selector.node_selector_terms.try_into().ok()?;
        let [field] = term.match_fields.try_into().ok()?;
        let [name] = field.values.try_into().ok()?;
        let named = field.key == "metadata.name" && field.operator == "In";
        (named && term.match_expressions.is_empty()).then_some(name)
    }
}

/// The drivers of whose devices something else is told than before.
fn drivers(old: &Written, new: &Written) -> BTreeSet<String> {
    let (old, new) = (old.devices(), new.devices());
    let changed = old.symmetric_difference(&new);
    let device = |text: &&str| serde_json::from_str::<Device>(text).unwrap_or_default();
    changed.map(|text| device(text).driver).collect()
}

/// The verbs of which one is needed, the better one first.
fn verbs(user: &User, node: Option<&str>, verb: &str) -> Vec<String> {
    let own = node.is_some() && node_of_account(user) == node;
    let modes = if own {
        &["associated-node", "arbitrary-node"][..]
    } else {
        &["arbitrary-node"]
    };
    modes.iter().map(|mode| format!("{mode}:{verb}")).collect()
}

impl ClaimStatus {
    /// The guard, if its gate is on.
    pub fn new(parts: &Parts) -> Option<Self> {
        let authorizer = parts.authorizer.clone();
        parts.gates.enabled(GATE).then_some(Self { authorizer })
    }

    /// Why it may not be done.
    async fn refusal(&self, asked: Attributes) -> Option<String> {
        let decision = self.authorizer.authorize(&asked).get().await;
        if decision.allowed() {
            return None;
        }
        let why = [decision.error, decision.reason];
        let why: Vec<String> = why.into_iter().filter(|part| !part.is_empty()).collect();
        Some(forbidden(&asked, &why.join(": ")).message)
    }

    async fn check_binding(&self, asked: &Attributes, errors: &mut Vec<Error>) {
        let asked = Attributes {
            subresource: "binding".to_owned(),
            namespace: String::new(),
            name: String::new(),
            ..asked.clone()
        };
        let verb = asked.verb.clone();
        if let Some(why) = self.refusal(asked).await {
            let why = format!(
                "changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", \
                 verb=\"{verb}\" permission: {why}"
            );
            errors.push(Error::forbidden("status", why));
        }
    }

    async fn check_driver(
        &self,
        asked: &Attributes,
        driver: String,
        verbs: &[String],
        errors: &mut Vec<Error>,
    ) {
        let mut first = None;
        for verb in verbs {
            let asked = Attributes {
                verb: verb.clone(),
                subresource: "driver".to_owned(),
                name: driver.clone(),
                ..asked.clone()
            };
            match self.refusal(asked).await {
                None => return,
                Some(why) => first = first.or(Some(why)),
            }
        }
        let (verbs, why) = (verbs.join(" "), first.unwrap_or_default());
        let why = format!(
            "changing status.devices requires resource=\"resourceclaims/driver\", verb=\"[{verbs}]\" permission: {why}"
        );
        errors.push(Error::forbidden("status.devices", why));
    }

    async fn check(&self, request: &admission::Attributes<'_>) -> Result<(), Status> {
        let (Some(old), Some(object)) = (request.old.as_deref(), request.object.as_deref()) else {
            return Ok(());
        };
        let (asked, mut errors) = (request.request(), Vec::new());
        let (old, new) = (Written::of(old)?, Written::of(object)?);
        if old.binding() != new.binding() {
            self.check_binding(asked, &mut errors).await;
        }
        let verbs = verbs(&asked.user, new.node().as_deref(), &asked.verb);
        for driver in drivers(&old, &new) {
            self.check_driver(asked, driver, &verbs, &mut errors).await;
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(Status::invalid(GROUP, "ResourceClaim", object.name(), errors)),
        }
    }
}

impl Remote for ClaimStatus {
    fn validates(&self, request: &admission::Attributes<'_>) -> bool {
        let asked = request.request();
        [&asked.group, &asked.resource, &asked.subresource] == [GROUP, "resourceclaims", "status"]
    }

    fn validate<'a>(&'a self, request: &'a admission::Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        self.check(request).boxed()
    }
}
