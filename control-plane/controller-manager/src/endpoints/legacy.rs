//! Endpoints, the older form.

use super::{Backed, Port, TargetRef, backed, pod_keys};
use crate::views::{ENDPOINTS, Meta, PODS, SERVICES, Seen, see};
use api::{Gvr, Key};
use client::Caches;
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Plan, Watch, own_key};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Upstream cuts an Endpoints object here and says so in an annotation.
const MAX_ADDRESSES: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

/// The Endpoints controller.
#[derive(Debug)]
pub struct EndpointsController;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Address {
    ip: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hostname: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    node_name: String,
    target_ref: TargetRef,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_ready_addresses: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<Port>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Endpoints {
    api_version: String,
    kind: String,
    metadata: Meta,
    subsets: Vec<Subset>,
}

/// A Service's pods (`None`: there is no such Service) and the object that is there.
#[derive(Debug)]
pub struct Observed {
    backed: Option<Backed>,
    current: Option<Seen<Endpoints>>,
}

impl Controller for EndpointsController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "endpoints-controller"
    }

    fn queue(&self) -> &'static str {
        "endpoint"
    }

    fn primary(&self) -> Gvr {
        SERVICES
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(SERVICES, own_key),
            Watch::all(PODS, pod_keys),
            Watch::all(ENDPOINTS, own_key),
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let current: Option<Seen<Endpoints>> = caches.all(&ENDPOINTS).get(key).and_then(see);
        if caches.all(&SERVICES).get(key).is_none() {
            let ours = |e: &Seen<Endpoints>| e.object.label(MANAGED_BY) == Some(MANAGER);
            return current.filter(ours).map(|current| Observed {
                backed: None,
                current: Some(current),
            });
        }
        Some(Observed {
            backed: Some(backed(caches, key)?),
            current,
        })
    }

    fn reconcile(&self, observed: &Observed, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let Some(backed) = &observed.backed else {
            if let Some(current) = &observed.current {
                plan.delete("delete", &ENDPOINTS, &current.object);
            }
            return plan;
        };
        let (subsets, cut) = subsets(backed);
        let service = &backed.service;
        let labels = backed.labels(MANAGED_BY, MANAGER);
        let mut new = match &observed.current {
            Some(current) => current.view.clone(),
            None => Endpoints {
                api_version: "v1".to_owned(),
                kind: "Endpoints".to_owned(),
                metadata: Meta {
                    name: service.object.name().to_owned(),
                    namespace: service.object.namespace().to_owned(),
                    ..Meta::default()
                },
                subsets: Vec::new(),
            },
        };
        new.subsets = subsets;
        new.metadata.labels = labels;
        if cut {
            new.metadata
                .annotations
                .insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
        } else {
            new.metadata.annotations.remove(OVER_CAPACITY);
        }
        match &observed.current {
            None => plan.create("create", &ENDPOINTS, service.object.namespace(), &new),
            Some(old) if old.view.subsets != new.subsets || old.view.metadata != new.metadata => {
                new.metadata.resource_version = old.object.resource_version().to_string();
                plan.update("update", &ENDPOINTS, &old.object.key(), "", &new);
            }
            Some(_) => {}
        }
        plan
    }
}

fn subsets(backed: &Backed) -> (Vec<Subset>, bool) {
    let mut by_ports: BTreeMap<Vec<Port>, Subset> = BTreeMap::new();
    let mut pods: Vec<_> = backed.pods.iter().collect();
    pods.sort_by(|a, b| {
        (&a.view.status.pod_ip, a.object.uid()).cmp(&(&b.view.status.pod_ip, b.object.uid()))
    });
    let cut = pods.len() > MAX_ADDRESSES;
    // A terminating pod is not in Endpoints at all, unless unready addresses are published.
    let published = backed.service.view.spec.publish_not_ready_addresses;
    let counted = pods
        .into_iter()
        .filter(|p| published || p.object.deletion_timestamp().is_none());
    for pod in counted.take(MAX_ADDRESSES) {
        let ports = backed.ports(&pod.view);
        let subset = by_ports.entry(ports.clone()).or_insert_with(|| Subset {
            ports,
            ..Subset::default()
        });
        let address = Address {
            ip: pod.view.status.pod_ip.clone(),
            hostname: backed.hostname(&pod.view),
            node_name: pod.view.spec.node_name.clone(),
            target_ref: TargetRef::pod(&pod.object),
        };
        if backed.is_ready(pod) {
            subset.addresses.push(address);
        } else {
            subset.not_ready_addresses.push(address);
        }
    }
    (by_ports.into_values().collect(), cut)
}
