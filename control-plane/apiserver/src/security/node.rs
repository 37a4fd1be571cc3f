//! The Node authorizer: a kubelet reads what the pods bound to its node refer to, and nothing else of its kind
//! (upstream `plugin/pkg/auth/authorizer/node`). What every node may do alike is the role `system:node`.

use super::{Answer, Attributes, Authorizer, Decision, Rules, User, rbac::bootstrap};
use crate::server::Reader;
use api::{Gvr, scan};
use serde::Deserialize;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const VOLUMES: Gvr = Gvr::new("", "v1", "persistentvolumes");
const ATTACHMENTS: Gvr = Gvr::new("storage.k8s.io", "v1", "volumeattachments");
const SLICES: Gvr = Gvr::new("resource.k8s.io", "v1", "resourceslices");
const POD_CERTIFICATES: Gvr = Gvr::new("certificates.k8s.io", "v1", "podcertificaterequests");
/// The annotation that makes a pod a mirror of a static one.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

/// The Node authorizer.
pub struct NodeAuthorizer {
    reader: Reader,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodView {
    metadata: Named,
    spec: Spec,
    status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    resource_claim_statuses: Vec<PodClaim>,
    extended_resource_claim_status: PodClaim,
}

/// A resource claim of a pod: by name, or as its status tells which was made.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodClaim {
    resource_claim_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VolumeView {
    spec: VolumeSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolumeSpec {
    claim_ref: Option<Secret>,
    csi: Option<Csi>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Csi {
    node_publish_secret_ref: Option<Secret>,
    node_stage_secret_ref: Option<Secret>,
    node_expand_secret_ref: Option<Secret>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Secret {
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    service_account_name: String,
    volumes: Vec<Volume>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    ephemeral_containers: Vec<Container>,
    image_pull_secrets: Vec<Named>,
    resource_claims: Vec<PodClaim>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    name: String,
    persistent_volume_claim: Option<ClaimVolume>,
    ephemeral: Option<serde::de::IgnoredAny>,
    secret: Option<SecretVolume>,
    config_map: Option<Named>,
    projected: Option<Projected>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecretVolume {
    secret_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimVolume {
    claim_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Projected {
    sources: Vec<Source>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    secret: Option<Named>,
    config_map: Option<Named>,
    cluster_trust_bundle: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    env: Vec<EnvVar>,
    env_from: Vec<EnvFrom>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EnvVar {
    value_from: Option<ValueFrom>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ValueFrom {
    secret_key_ref: Option<Named>,
    config_map_key_ref: Option<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EnvFrom {
    secret_ref: Option<Named>,
    config_map_ref: Option<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

impl PodView {
    fn refers_to_resource_claim(&self, name: &str) -> bool {
        let made = self.status.resource_claim_statuses.iter();
        let extended = std::iter::once(&self.status.extended_resource_claim_status);
        let mut all = self.spec.resource_claims.iter().chain(made).chain(extended);
        all.any(|claim| claim.resource_claim_name.as_deref() == Some(name))
    }

    /// By name, or as the claim of an ephemeral volume.
    fn refers_to_claim(&self, name: &str) -> bool {
        self.spec.volumes.iter().any(|v| {
            let named = v
                .persistent_volume_claim
                .as_ref()
                .is_some_and(|c| c.claim_name == name);
            named || (v.ephemeral.is_some() && format!("{}-{}", self.metadata.name, v.name) == name)
        })
    }
}

impl Spec {
    fn containers(&self) -> impl Iterator<Item = &Container> {
        let containers = self.containers.iter().chain(&self.init_containers);
        containers.chain(&self.ephemeral_containers)
    }

    fn refers_to_secret(&self, wanted: impl Fn(&str) -> bool) -> bool {
        let is = |n: Option<&Named>| n.is_some_and(|n| wanted(&n.name));
        let volume = |v: &Volume| {
            v.secret.as_ref().is_some_and(|s| wanted(&s.secret_name))
                || v.projected
                    .iter()
                    .flat_map(|p| &p.sources)
                    .any(|s| is(s.secret.as_ref()))
        };
        let container = |c: &Container| {
            c.env
                .iter()
                .filter_map(|e| e.value_from.as_ref())
                .any(|f| is(f.secret_key_ref.as_ref()))
                || c.env_from.iter().any(|f| is(f.secret_ref.as_ref()))
        };
        self.volumes.iter().any(volume)
            || self.containers().any(container)
            || self.image_pull_secrets.iter().any(|s| wanted(&s.name))
    }

    fn refers_to_config_map(&self, wanted: impl Fn(&str) -> bool) -> bool {
        let is = |n: Option<&Named>| n.is_some_and(|n| wanted(&n.name));
        let volume = |v: &Volume| {
            is(v.config_map.as_ref())
                || v.projected
                    .iter()
                    .flat_map(|p| &p.sources)
                    .any(|s| is(s.config_map.as_ref()))
        };
        let container = |c: &Container| {
            c.env
                .iter()
                .filter_map(|e| e.value_from.as_ref())
                .any(|f| is(f.config_map_key_ref.as_ref()))
                || c.env_from.iter().any(|f| is(f.config_map_ref.as_ref()))
        };
        self.volumes.iter().any(volume) || self.containers().any(container)
    }
}

/// What a pod that a node makes itself refers to although it may not, if anything.
pub(super) fn unfit_for_a_mirror(pod: &api::Object) -> Option<&'static str> {
    let spec = pod.view::<PodView>().ok()?.spec;
    let volumes = &spec.volumes;
    let mut sources = volumes
        .iter()
        .flat_map(|volume| &volume.projected)
        .flat_map(|of| &of.sources);
    let checks = [
        (!spec.service_account_name.is_empty(), "a service account"),
        (spec.refers_to_secret(|_| true), "secrets"),
        (spec.refers_to_config_map(|_| true), "configmaps"),
        (
            sources.any(|source| source.cluster_trust_bundle.is_some()),
            "clustertrustbundles",
        ),
        (
            volumes
                .iter()
                .any(|volume| volume.persistent_volume_claim.is_some()),
            "persistentvolumeclaims",
        ),
    ];
    checks
        .into_iter()
        .find(|(refers, _)| *refers)
        .map(|(_, what)| what)
}

impl NodeAuthorizer {
    /// Over what is stored.
    pub fn new(reader: Reader) -> Self {
        Self { reader }
    }

    /// Whether a pod of the node refers to something. What a node made itself, a mirror pod, gives it nothing.
    fn any_pod(&self, node: &str, namespace: &str, refers: impl Fn(&PodView) -> bool) -> bool {
        let pods = self.reader.with_field(&PODS, namespace, "spec.nodeName", node);
        pods.iter()
            .filter(|pod| pod.annotation(MIRROR).is_none())
            .any(|pod| pod.view::<PodView>().is_ok_and(|view| refers(&view)))
    }

    /// Whether an object names the node at `path`.
    fn names(&self, of: (&Gvr, &str, &str), path: &str, node: &str) -> bool {
        let (gvr, namespace, name) = of;
        let found = self.reader.get(gvr, namespace, name);
        found.is_some_and(|object| scan::scalar(object.body(), path).is_ok_and(|value| value == node))
    }

    /// Whether a volume that a pod of the node has claimed hands the secret to its driver.
    fn any_volume(&self, node: &str, namespace: &str, secret: &str) -> bool {
        let is = |of: &Option<Secret>, owner: &str| {
            of.as_ref().is_some_and(|of| {
                let inside = if of.namespace.is_empty() {
                    owner
                } else {
                    &of.namespace
                };
                of.name == secret && inside == namespace
            })
        };
        self.reader.list(&VOLUMES, "").iter().any(|volume| {
            let Ok(VolumeView { spec }) = volume.view() else {
                return false;
            };
            let Some(claim) = &spec.claim_ref else {
                return false;
            };
            let driver = spec.csi.iter().any(|csi| {
                let refs = [
                    &csi.node_publish_secret_ref,
                    &csi.node_stage_secret_ref,
                    &csi.node_expand_secret_ref,
                ];
                refs.into_iter().any(|of| is(of, &claim.namespace))
            });
            driver && self.any_pod(node, &claim.namespace, |pod| pod.refers_to_claim(&claim.name))
        })
    }

    fn related(&self, node: &str, asked: &Attributes) -> bool {
        let (namespace, name) = (asked.namespace.as_str(), asked.name.as_str());
        match asked.resource.as_str() {
            "secrets" => {
                self.any_pod(node, namespace, |p| p.spec.refers_to_secret(|of| of == name))
                    || self.any_volume(node, namespace, name)
            }
            "configmaps" => self.any_pod(node, namespace, |p| p.spec.refers_to_config_map(|of| of == name)),
            "serviceaccounts" => self.any_pod(node, namespace, |p| p.spec.service_account_name == name),
            "persistentvolumeclaims" => self.any_pod(node, namespace, |p| p.refers_to_claim(name)),
            "resourceclaims" => self.any_pod(node, namespace, |p| p.refers_to_resource_claim(name)),
            "pods" => self.names((&PODS, namespace, name), "spec.nodeName", node),
            "volumeattachments" => self.names((&ATTACHMENTS, "", name), "spec.nodeName", node),
            "resourceslices" => self.names((&SLICES, "", name), "spec.nodeName", node),
            "podcertificaterequests" => {
                self.names((&POD_CERTIFICATES, namespace, name), "spec.nodeName", node)
            }
            _ => false,
        }
    }

    /// Allowed if the object that is named has to do with the node.
    fn judge(&self, node: &str, asked: &Attributes) -> Decision {
        if asked.name.is_empty() {
            return Decision::no_opinion("No Object name found");
        }
        match self.related(node, asked) {
            true => Decision::allow(""),
            false => Decision::no_opinion(format!(
                "no relationship found between node '{node}' and this object"
            )),
        }
    }

    fn decide(&self, node: &str, asked: &Attributes) -> Decision {
        let (verb, sub) = (asked.verb.as_str(), asked.subresource.as_str());
        let no = |why: &str| Decision::no_opinion(why);
        let reads = matches!(verb, "get" | "list" | "watch");
        match (asked.group.as_str(), asked.resource.as_str()) {
            ("", "secrets" | "configmaps") => match sub {
                _ if !reads => no("can only read resources of this type"),
                "" if asked.namespace.is_empty() => no("can only read namespaced object of this type"),
                "" => self.judge(node, asked),
                _ => no("cannot read subresource"),
            },
            ("", "persistentvolumeclaims") if sub == "status" => match verb {
                "update" | "patch" => self.judge(node, asked),
                _ => no("can only get/update/patch this type"),
            },
            ("", "persistentvolumeclaims")
            | ("resource.k8s.io", "resourceclaims")
            | ("storage.k8s.io", "volumeattachments") => match (verb, sub) {
                ("get", "") => self.judge(node, asked),
                ("get", _) => no("cannot get subresource"),
                _ => no("can only get individual resources of this type"),
            },
            ("", "serviceaccounts") => match (verb, sub) {
                ("get", "") if !asked.namespace.is_empty() => self.judge(node, asked),
                ("create", "token") if !asked.name.is_empty() => self.judge(node, asked),
                ("create", _) if !asked.name.is_empty() => {
                    no("can only create token subresource of serviceaccount")
                }
                _ => no("can only create tokens for individual service accounts"),
            },
            ("coordination.k8s.io", "leases") => lease(node, asked),
            ("storage.k8s.io", "csinodes") => csi_node(node, asked),
            ("resource.k8s.io", "resourceslices") => self.slice(node, asked),
            ("certificates.k8s.io", "podcertificaterequests") => self.pod_certificate(node, asked),
            ("", "nodes") => node_itself(node, asked),
            ("", "pods") => self.pod(node, asked),
            _ => bootstrap::node_rules(asked),
        }
    }

    fn slice(&self, node: &str, asked: &Attributes) -> Decision {
        match asked.verb.as_str() {
            _ if !asked.subresource.is_empty() => {
                Decision::no_opinion("cannot authorize ResourceSlice subresources")
            }
            "create" => Decision::allow(""),
            "get" | "update" | "patch" | "delete" => self.judge(node, asked),
            "watch" | "list" | "deletecollection" if selects(asked, "spec.nodeName", node) => {
                Decision::allow("")
            }
            "watch" | "list" | "deletecollection" => Decision::no_opinion(
                "can only list/watch/deletecollection resourceslices with nodeName field selector",
            ),
            _ => Decision::no_opinion(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, \
                 delete, deletecollection",
            ),
        }
    }

    fn pod_certificate(&self, node: &str, asked: &Attributes) -> Decision {
        match asked.verb.as_str() {
            _ if !asked.subresource.is_empty() => {
                Decision::no_opinion("nodes may not access the subresources of PodCertificateRequests")
            }
            "create" => Decision::allow(""),
            "get" => self.judge(node, asked),
            "list" | "watch" if selects(asked, "spec.nodeName", node) => Decision::allow(""),
            "list" | "watch" => Decision::no_opinion(
                "can only list/watch podcertificaterequests with spec.nodeName field selector",
            ),
            verb => Decision::no_opinion(format!("nodes may not {verb} podcertificaterequests")),
        }
    }

    fn pod(&self, node: &str, asked: &Attributes) -> Decision {
        match (asked.subresource.as_str(), asked.verb.as_str()) {
            ("", "get") => self.judge(node, asked),
            ("", "list" | "watch") if selects(asked, "spec.nodeName", node) => Decision::allow(""),
            ("", "list" | "watch") if !asked.name.is_empty() => self.judge(node, asked),
            ("", "list" | "watch") => {
                Decision::no_opinion("can only list/watch pods with spec.nodeName field selector")
            }
            // NodeRestriction says which.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
                Decision::allow("")
            }
            _ => Decision::no_opinion(""),
        }
    }
}

fn selects(asked: &Attributes, path: &str, node: &str) -> bool {
    let selectors = asked.selectors.as_deref();
    selectors.is_some_and(|selectors| selectors.requires(path, node))
}

fn lease(node: &str, asked: &Attributes) -> Decision {
    let verb = asked.verb.as_str();
    let no = |why: &str| Decision::no_opinion(why);
    if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a node lease");
    }
    if asked.namespace != "kube-node-lease" {
        return no("can only access leases in the \"kube-node-lease\" system namespace");
    }
    // The name of what is created is not known; NodeRestriction knows it.
    if verb != "create" && asked.name != node {
        return no("can only access node lease with the same name as the requesting node");
    }
    Decision::allow("")
}

fn csi_node(node: &str, asked: &Attributes) -> Decision {
    let verb = asked.verb.as_str();
    let no = |why: &str| Decision::no_opinion(why);
    if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a CSINode");
    }
    if !asked.subresource.is_empty() {
        return no("cannot authorize CSINode subresources");
    }
    if verb != "create" && asked.name != node {
        return no("can only access CSINode with the same name as the requesting node");
    }
    Decision::allow("")
}

fn node_itself(node: &str, asked: &Attributes) -> Decision {
    match (asked.subresource.as_str(), asked.verb.as_str()) {
        // NodeRestriction says which.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Decision::allow(""),
        ("", "get" | "list" | "watch") => match asked.name.as_str() {
            name if name == node => Decision::allow(""),
            "" => Decision::no_opinion(format!(
                "node '{node}' cannot read all nodes, only its own Node object"
            )),
            name => Decision::no_opinion(format!(
                "node '{node}' cannot read '{name}', only its own Node object"
            )),
        },
        _ => Decision::no_opinion(""),
    }
}

impl Authorizer for NodeAuthorizer {
    fn authorize(&self, attributes: &Attributes) -> Answer<Decision> {
        let node = attributes
            .user
            .name
            .strip_prefix("system:node:")
            .filter(|_| attributes.user.in_group("system:nodes"));
        let decision = match node {
            Some(node) if attributes.is_resource => self.decide(node, attributes),
            _ => Decision::no_opinion(""),
        };
        decision.into()
    }

    fn rules(&self, user: &User, _: &str) -> Rules {
        let node = user.in_group("system:nodes");
        let error = if node {
            "node authorizer does not support user rule resolution"
        } else {
            ""
        };
        Rules {
            incomplete: node,
            error: error.to_owned(),
            ..Rules::default()
        }
    }
}
