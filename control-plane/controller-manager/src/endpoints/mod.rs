//! Endpoints and EndpointSlices: the addresses behind Services
//! (upstream `pkg/controller/endpoint`, `pkg/controller/endpointslice`).

mod legacy;
mod slices;

pub use legacy::EndpointsController;
pub use slices::EndpointSliceController;

use crate::views::{PODS, Pod, SERVICES, Seen, see};
use api::{Key, LabelSelector, Object};
use client::{Caches, Change};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceSpec {
    pub r#type: String,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    pub selector: BTreeMap<String, String>,
    pub ports: Vec<ServicePort>,
    pub publish_not_ready_addresses: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServicePort {
    pub name: String,
    pub protocol: String,
    pub app_protocol: Option<String>,
    pub port: u16,
    pub target_port: TargetPort,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum TargetPort {
    Number(u16),
    Name(String),
}

impl Default for TargetPort {
    fn default() -> Self {
        Self::Number(0)
    }
}

/// A port as endpoints have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Port {
    pub name: String,
    pub protocol: String,
    pub port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

/// What an address belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TargetRef {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

impl TargetRef {
    fn pod(object: &Object) -> Self {
        Self {
            kind: "Pod".to_owned(),
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            uid: object.uid().to_owned(),
        }
    }
}

/// A Service with a selector, and its pods that have an address and are not finished.
#[derive(Debug)]
pub(super) struct Backed {
    pub service: Seen<Service>,
    pub pods: Vec<Seen<Pod>>,
}

pub(super) fn backed(caches: &Caches, key: &Key) -> Option<Backed> {
    let service: Seen<Service> = see(caches.all(&SERVICES).get(key)?)?;
    if service.view.spec.selector.is_empty() || service.object.deletion_timestamp().is_some() {
        return None;
    }
    let selector = selector(&service.view);
    let pods = caches.all(&PODS).in_namespace(&key.namespace).into_iter();
    let pods = pods
        .filter(|p| selector.matches(|k| p.label(k)))
        .filter_map(see::<Pod>);
    let pods = pods
        .filter(|p| !p.is_finished() && !p.view.status.pod_ip.is_empty())
        .collect();
    Some(Backed { service, pods })
}

fn selector(service: &Service) -> LabelSelector {
    LabelSelector::from_pairs(
        service
            .spec
            .selector
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str())),
    )
}

/// Says of endpoints that their Service has no address of its own.
const HEADLESS: &str = "service.kubernetes.io/headless";

impl Backed {
    /// The labels of what is made for the Service: its own, who manages it, and whether it is headless.
    pub fn labels(&self, managed_by: &str, manager: &str) -> BTreeMap<String, String> {
        let own = self.service.object.labels();
        let mut labels: BTreeMap<String, String> = own.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        labels.insert(managed_by.to_owned(), manager.to_owned());
        if self.service.view.spec.cluster_ip == "None" {
            labels.insert(HEADLESS.to_owned(), String::new());
        }
        labels
    }

    /// The Service's ports as numbers of this pod; a named port the pod does not have is left out.
    pub fn ports(&self, pod: &Pod) -> Vec<Port> {
        let resolve = |port: &ServicePort| match &port.target_port {
            TargetPort::Number(0) => Some(port.port),
            TargetPort::Number(n) => Some(*n),
            TargetPort::Name(name) => pod
                .spec
                .containers
                .iter()
                .flat_map(|c| &c.ports)
                .find(|p| p.name == *name && (p.protocol.is_empty() || p.protocol == port.protocol))
                .map(|p| p.container_port),
        };
        let ports = self.service.view.spec.ports.iter();
        let mut found: Vec<Port> = ports
            .filter_map(|port| {
                Some(Port {
                    name: port.name.clone(),
                    protocol: port.protocol.clone(),
                    port: resolve(port)?,
                    app_protocol: port.app_protocol.clone(),
                })
            })
            .collect();
        found.sort();
        found
    }

    /// The host name the pod has under this (headless) Service.
    pub fn hostname(&self, pod: &Pod) -> String {
        let mine = pod.spec.subdomain == self.service.object.name();
        if mine {
            pod.spec.hostname.clone()
        } else {
            String::new()
        }
    }

    /// Whether the pod takes traffic.
    pub fn is_ready(&self, pod: &Seen<Pod>) -> bool {
        self.service.view.spec.publish_not_ready_addresses
            || (pod.is_ready() && pod.object.deletion_timestamp().is_none())
    }
}

/// The Services whose selector a pod matches, before or after a change of what they look at.
pub(super) fn pod_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    if let Change::Applied { old: Some(old), new } = change
        && old.resource_version() == new.resource_version()
    {
        return Vec::new();
    }
    let before = match change {
        Change::Applied { old, .. } => old.as_ref(),
        Change::Deleted { old } => Some(old),
    };
    let now = change.object();
    let concerned = |service: &Object| {
        let Ok(view) = service.view::<Service>() else {
            return false;
        };
        if view.spec.selector.is_empty() {
            return false;
        }
        let selector = selector(&view);
        selector.matches(|k| now.label(k)) || before.is_some_and(|b| selector.matches(|k| b.label(k)))
    };
    let services = caches.all(&SERVICES).in_namespace(now.namespace());
    services
        .iter()
        .filter(|s| concerned(s))
        .map(|s| s.key())
        .collect()
}
