//! EndpointSlices: at most a hundred endpoints each, changed as little as possible.

use super::{Backed, Port, TargetRef, backed, pod_keys};
use crate::views::{ENDPOINT_SLICES, Meta, PODS, Pod, SERVICES, Seen, controller_ref, see};
use api::{Gvr, Key};
use client::{Caches, Change};
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Plan, Watch, own_key};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const MAX_ENDPOINTS: usize = 100;
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// The EndpointSlice controller.
#[derive(Debug)]
pub struct EndpointSliceController;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Endpoint {
    addresses: Vec<String>,
    conditions: Conditions,
    #[serde(skip_serializing_if = "String::is_empty")]
    hostname: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    node_name: String,
    target_ref: TargetRef,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: bool,
    serving: bool,
    terminating: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Slice {
    api_version: String,
    kind: String,
    metadata: Meta,
    address_type: String,
    endpoints: Option<Vec<Endpoint>>,
    ports: Option<Vec<Port>>,
}

/// A Service's pods and the slices that are there.
#[derive(Debug)]
pub struct Observed {
    backed: Backed,
    slices: Vec<Seen<Slice>>,
}

impl Controller for EndpointSliceController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn queue(&self) -> &'static str {
        "endpoint_slice"
    }

    fn primary(&self) -> Gvr {
        SERVICES
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(SERVICES, own_key),
            Watch::all(PODS, pod_keys),
            Watch::all(ENDPOINT_SLICES, slice_keys),
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let backed = backed(caches, key)?;
        let slices = caches
            .all(&ENDPOINT_SLICES)
            .in_namespace(&key.namespace)
            .into_iter();
        let ours = |s: &api::Object| {
            s.label(SERVICE_NAME) == Some(&key.name) && s.label(MANAGED_BY) == Some(MANAGER)
        };
        let slices = slices
            .filter(|s| ours(s) && s.deletion_timestamp().is_none())
            .filter_map(see)
            .collect();
        Some(Observed { backed, slices })
    }

    fn reconcile(&self, observed: &Observed, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let mut wished: BTreeMap<Vec<Port>, Vec<Endpoint>> = BTreeMap::new();
        for pod in &observed.backed.pods {
            let ports = observed.backed.ports(&pod.view);
            wished
                .entry(ports)
                .or_default()
                .push(endpoint(&observed.backed, pod));
        }
        if wished.is_empty() {
            // An empty slice says that the controller has looked.
            wished.insert(Vec::new(), Vec::new());
        }
        let mut slices: Vec<&Seen<Slice>> = observed.slices.iter().collect();
        for (ports, endpoints) in wished {
            let (same, other): (Vec<_>, Vec<_>) = slices
                .into_iter()
                .partition(|s| s.view.ports.clone().unwrap_or_default() == ports);
            slices = other;
            place(&mut plan, observed, &ports, endpoints, same);
        }
        for slice in slices {
            plan.delete("delete-slice", &ENDPOINT_SLICES, &slice.object);
        }
        plan
    }
}

fn slice_keys(change: &Change, _: &Caches) -> Vec<Key> {
    let slice = change.object();
    let ours = slice.label(MANAGED_BY) == Some(MANAGER);
    let service = slice.label(SERVICE_NAME).filter(|_| ours);
    service
        .map(|name| Key::new(slice.namespace(), name))
        .into_iter()
        .collect()
}

fn endpoint(backed: &Backed, pod: &Seen<Pod>) -> Endpoint {
    let ready = backed.is_ready(pod);
    let serving = pod.is_ready();
    Endpoint {
        addresses: vec![pod.view.status.pod_ip.clone()],
        conditions: Conditions {
            ready,
            serving,
            terminating: pod.object.deletion_timestamp().is_some(),
        },
        hostname: backed.hostname(&pod.view),
        node_name: pod.view.spec.node_name.clone(),
        target_ref: TargetRef::pod(&pod.object),
    }
}

/// Endpoints stay in the slice they are in; new ones fill slices with room, then new slices.
fn place(
    plan: &mut Plan,
    observed: &Observed,
    ports: &[Port],
    wished: Vec<Endpoint>,
    slices: Vec<&Seen<Slice>>,
) {
    let mut rest: BTreeMap<String, Endpoint> = wished
        .into_iter()
        .map(|e| (e.target_ref.uid.clone(), e))
        .collect();
    let mut filled: Vec<(&Seen<Slice>, Vec<Endpoint>)> = Vec::new();
    for slice in slices {
        let kept = slice
            .view
            .endpoints
            .iter()
            .flatten()
            .filter_map(|e| rest.remove(&e.target_ref.uid))
            .collect();
        filled.push((slice, kept));
    }
    for (_, endpoints) in &mut filled {
        while endpoints.len() < MAX_ENDPOINTS
            && let Some((_, endpoint)) = rest.pop_first()
        {
            endpoints.push(endpoint);
        }
    }
    let any = filled.iter().any(|(_, endpoints)| !endpoints.is_empty()) || !rest.is_empty();
    let mut placeholder = !any;
    for (slice, endpoints) in filled {
        if endpoints.is_empty() && !placeholder {
            plan.delete("delete-slice", &ENDPOINT_SLICES, &slice.object);
            continue;
        }
        placeholder = false;
        let labels = labels(observed);
        let right = slice.view.endpoints.clone().unwrap_or_default() == endpoints
            && slice.view.metadata.labels == labels;
        if !right {
            update(plan, slice, endpoints, labels);
        }
    }
    let mut rest: Vec<Endpoint> = rest.into_values().collect();
    while !rest.is_empty() || placeholder {
        placeholder = false;
        let more = rest.split_off(rest.len().min(MAX_ENDPOINTS));
        create(plan, observed, ports, rest);
        rest = more;
    }
}

/// The Service's labels and the slice's own.
fn labels(observed: &Observed) -> BTreeMap<String, String> {
    let mut labels = observed.backed.labels(MANAGED_BY, MANAGER);
    let name = observed.backed.service.object.name();
    labels.insert(SERVICE_NAME.to_owned(), name.to_owned());
    labels
}

fn update(plan: &mut Plan, slice: &Seen<Slice>, endpoints: Vec<Endpoint>, labels: BTreeMap<String, String>) {
    let mut new = slice.view.clone();
    new.endpoints = Some(endpoints);
    new.metadata.labels = labels;
    new.metadata.resource_version = slice.object.resource_version().to_string();
    plan.update("update-slice", &ENDPOINT_SLICES, &slice.object.key(), "", &new);
}

fn create(plan: &mut Plan, observed: &Observed, ports: &[Port], endpoints: Vec<Endpoint>) {
    let service = &observed.backed.service.object;
    let slice = Slice {
        api_version: "discovery.k8s.io/v1".to_owned(),
        kind: "EndpointSlice".to_owned(),
        metadata: Meta {
            generate_name: format!("{}-", service.name()),
            namespace: service.namespace().to_owned(),
            labels: labels(observed),
            owner_references: vec![controller_ref(service)],
            ..Meta::default()
        },
        address_type: "IPv4".to_owned(),
        endpoints: Some(endpoints),
        ports: Some(ports.to_vec()),
    };
    plan.create("create-slice", &ENDPOINT_SLICES, service.namespace(), &slice);
}
