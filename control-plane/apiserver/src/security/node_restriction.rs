//! NodeRestriction: a kubelet writes its own Node, its own Lease, and the status of the pods bound to it
//! (upstream `plugin/pkg/admission/noderestriction`).

mod audience;
mod mirror;
mod node;
mod pod_certificate;
mod token;

use super::{Attributes, Authorizer, certificates::subject, node::MIRROR};
use crate::admission::{self, Operation, Remote};
use crate::{Reader, splice};
use api::{Gvr, Object, Status, scan, volume::Volume};
use futures::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeSet, sync::Arc};

/// Restricts kubelets.
pub struct NodeRestriction {
    reader: Reader,
    authorizer: Arc<dyn Authorizer>,
    /// Whether tokens are only for those whom the pod names.
    audiences: bool,
}

/// The gate of [`NodeRestriction::audiences`].
const AUDIENCES: &str = "ServiceAccountNodeAudienceRestriction";

impl NodeRestriction {
    /// Of these parts.
    pub fn new(parts: &admission::Parts) -> Self {
        Self {
            reader: parts.reader.clone(),
            authorizer: parts.authorizer.clone(),
            audiences: parts.gates.enabled(AUDIENCES),
        }
    }
}

const PODS: Gvr = Gvr::new("", "v1", "pods");
const NODES: Gvr = Gvr::new("", "v1", "nodes");

/// The finalizer that a node takes off a volume whose data it has removed.
const LOCAL_DATA: &str = "ferrokube.io/local-path-data";

/// The signers of kubelets' certificates.
const KUBELET_SIGNERS: &[&str] = &[
    "kubernetes.io/kubelet-serving",
    "kubernetes.io/kube-apiserver-client-kubelet",
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodView {
    spec: PodSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: String,
    service_account_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RequestView {
    spec: RequestSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestSpec {
    request: String,
    signer_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClaimsView {
    status: ClaimStatuses,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimStatuses {
    resource_claim_statuses: Option<Box<RawValue>>,
}

fn node_of(pod: &Object) -> PodSpec {
    pod.view::<PodView>().map(|view| view.spec).unwrap_or_default()
}

/// What tells which resource claims were made for a pod.
fn claims(pod: &Object) -> Option<String> {
    let claims = pod.view::<ClaimsView>().ok()?.status.resource_claim_statuses?;
    Some(claims.get().to_owned()).filter(|text| text != "[]" && text != "null")
}

/// The labels that are new, other or gone.
fn changed_labels(old: Option<&Object>, new: &Object) -> BTreeSet<String> {
    let of = |object: &Object| {
        object
            .labels()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect::<BTreeSet<_>>()
    };
    let old = old.map(of).unwrap_or_default();
    old.symmetric_difference(&of(new))
        .map(|(key, _)| key.clone())
        .collect()
}

struct Call<'a> {
    node: &'a str,
    operation: Operation,
    attributes: &'a Attributes,
    old: Option<&'a Object>,
    new: Option<&'a Object>,
    /// The pod that an eviction is of.
    evicted: Option<&'a Object>,
    reader: &'a Reader,
    /// Whether tokens are only for those whom the pod names.
    audiences: bool,
}

/// That an object that was looked for is not there; upstream's listers name it in the singular.
fn gone(singular: &'static str, name: &str) -> Status {
    Status::not_found(&Gvr::new("", "v1", singular), name)
}

impl Call<'_> {
    fn refuse(&self, why: impl AsRef<str>) -> Result<(), Status> {
        let a = self.attributes;
        let gvr = Gvr {
            group: a.group.clone().into(),
            version: a.version.clone().into(),
            resource: a.resource.clone().into(),
        };
        let name = self.new.map_or(a.name.as_str(), Object::name);
        Err(Status::forbidden(&gvr, name, why.as_ref()))
    }

    fn is_create(&self) -> bool {
        self.old.is_none() && self.new.is_some()
    }

    /// Of a claim a node writes how large it is and how its growth goes.
    fn claim(&self) -> Result<(), Status> {
        if self.attributes.subresource != "status" {
            return self.refuse("may only update PVC status");
        }
        let (Some(old), Some(new)) = (self.old, self.new) else {
            return self.refuse(format!("unexpected operation {:?}", self.operation.name()));
        };
        let rest = |object: &Object| {
            let own = [
                "capacity",
                "conditions",
                "allocatedResourceStatuses",
                "allocatedResources",
            ];
            own.iter().fold(object.unmanaged().to_vec(), |text, field| {
                splice::set(&text, &format!("status.{field}"), None).unwrap_or(text)
            })
        };
        match rest(old) == rest(new) {
            true => Ok(()),
            false => self.refuse(format!(
                "node {:?} is not allowed to update fields other than status.capacity and status.conditions",
                self.node
            )),
        }
    }

    fn csi_node(&self) -> Result<(), Status> {
        let name = self.new.map_or(self.attributes.name.as_str(), Object::name);
        match name == self.node {
            true => Ok(()),
            false => self.refuse("can only access CSINode with the same name as the requesting node"),
        }
    }

    /// A slice says which node it is of.
    fn slice(&self) -> Result<(), Status> {
        let of = |object: &Object| {
            scan::scalar(object.body(), "spec.nodeName")
                .unwrap_or_default()
                .into_owned()
        };
        match self.new.or(self.old).map(of) {
            Some(node) if node != self.node && self.is_create() => {
                self.refuse("can only create ResourceSlice with the same NodeName as the requesting node")
            }
            Some(node) if node != self.node && self.new.is_none() => {
                self.refuse("can only delete ResourceSlice with the same NodeName as the requesting node")
            }
            _ => Ok(()),
        }
    }

    fn lease(&self) -> Result<(), Status> {
        let name = self.new.map_or(self.attributes.name.as_str(), Object::name);
        if self.attributes.namespace != "kube-node-lease" {
            return self.refuse("can only access leases in the \"kube-node-lease\" system namespace");
        }
        if name != self.node {
            return self.refuse("can only access node lease with the same name as the requesting node");
        }
        Ok(())
    }

    fn pod(&self) -> Result<(), Status> {
        let node = self.node;
        let bound_here = |pod: Option<&Object>| pod.is_some_and(|pod| node_of(pod).node_name == node);
        match (
            self.attributes.subresource.as_str(),
            self.attributes.verb.as_str(),
        ) {
            ("", "create") => self.create_pod(),
            ("", "delete") if bound_here(self.old) => Ok(()),
            ("", "delete") => self.refuse(format!(
                "node {node:?} can only delete pods with spec.nodeName set to itself"
            )),
            ("", _) => self.refuse(format!(
                "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
                self.operation.name()
            )),
            ("status", _) if !bound_here(self.old) => self.refuse(format!(
                "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
            )),
            ("status", _) => match self.new {
                Some(new) if !changed_labels(self.old, new).is_empty() => {
                    self.refuse(format!("node {node:?} cannot update labels through pod status"))
                }
                Some(new) if self.old.is_some_and(|old| claims(old) != claims(new)) => {
                    self.refuse(format!("node {node:?} cannot update resource claim statues"))
                }
                _ => Ok(()),
            },
            // A pod that is gone is told to be so when it is looked for.
            ("eviction", _) if self.evicted.is_none() || bound_here(self.evicted) => Ok(()),
            ("eviction", _) => self.refuse(format!(
                "node {node} can only evict pods with spec.nodeName set to itself"
            )),
            (other, _) => self.refuse(format!(
                "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
            )),
        }
    }

    /// A volume that is being deleted and has its data here loses the finalizer that says so, and nothing else changes.
    fn volume(&self) -> Result<(), Status> {
        let node = self.node;
        let (Some(old), Some(new)) = (self.old, self.new) else {
            return self.refuse(format!("node {node:?} can only update persistent volumes"));
        };
        let rest = |object: &Object| {
            let text = object.unmanaged();
            splice::set(&text, "metadata.finalizers", None).unwrap_or_default()
        };
        let volume = Volume::new(Arc::new(old.clone()));
        let required = volume.and_then(|v| v.spec.node_affinity?.required);
        let terms = required.map(|r| r.node_selector_terms).unwrap_or_default();
        let names = |e: &api::MatchExpression| {
            e.key == "kubernetes.io/hostname" && e.operator == "In" && e.values == [node]
        };
        let here = !terms.is_empty() && terms.iter().all(|term| term.match_expressions.iter().any(names));
        let left = old.finalizers().filter(|f| *f != LOCAL_DATA);
        if here
            && old.deletion_timestamp().is_some()
            && self.attributes.subresource.is_empty()
            && left.eq(new.finalizers())
            && rest(old) == rest(new)
        {
            return Ok(());
        }
        self.refuse(format!(
            "node {node:?} can only take the finalizer {LOCAL_DATA:?} off deleted persistent volumes that are on it"
        ))
    }

    /// A certificate of a node is asked for by that node.
    fn signing_request(&self) -> Result<(), Status> {
        let Some(new) = self.new.filter(|_| self.is_create()) else {
            return Ok(());
        };
        let RequestView { spec } = new.view().unwrap_or_default();
        if !KUBELET_SIGNERS.contains(&spec.signer_name.as_str()) {
            return Ok(());
        }
        let user = &self.attributes.user.name;
        match subject(&spec.request) {
            Err(why) => self.refuse(format!("unable to parse csr: {why}")),
            Ok((name, _)) if name != *user => {
                self.refuse(format!("can only create a node CSR with CN={user}"))
            }
            Ok(_) => Ok(()),
        }
    }
}

impl NodeRestriction {
    async fn check(&self, request: &admission::Attributes<'_>) -> Result<(), Status> {
        let (attributes, old, new) = (
            request.request(),
            request.old.as_deref(),
            request.object.as_deref(),
        );
        let user = &attributes.user;
        let Some(node) = user
            .name
            .strip_prefix("system:node:")
            .filter(|_| user.in_group("system:nodes"))
        else {
            return Ok(());
        };
        let evicted = (attributes.subresource == "eviction")
            .then(|| self.reader.get(&PODS, &attributes.namespace, &attributes.name))
            .flatten();
        let call = Call {
            node,
            operation: request.operation,
            attributes,
            old,
            new,
            evicted: evicted.as_deref(),
            reader: &self.reader,
            audiences: self.audiences,
        };
        match (attributes.group.as_str(), attributes.resource.as_str()) {
            ("", "nodes") => call.node(),
            ("", "pods") => call.pod(),
            ("", "persistentvolumes") => call.volume(),
            ("", "persistentvolumeclaims") => call.claim(),
            ("", "serviceaccounts") => match call.token()? {
                Some(audience) => self.foreign_audience(&call, &audience).await,
                None => Ok(()),
            },
            ("storage.k8s.io", "csinodes") => call.csi_node(),
            ("resource.k8s.io", "resourceslices") => call.slice(),
            ("certificates.k8s.io", "certificatesigningrequests") => call.signing_request(),
            ("certificates.k8s.io", "podcertificaterequests") => pod_certificate::check(&call),
            ("coordination.k8s.io", "leases") => call.lease(),
            _ => Ok(()),
        }
    }
}

impl Remote for NodeRestriction {
    fn validates(&self, request: &admission::Attributes<'_>) -> bool {
        request.user().name.starts_with("system:node:")
    }

    fn validate<'a>(&'a self, request: &'a admission::Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        self.check(request).boxed()
    }
}
