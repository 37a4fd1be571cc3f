//! The Node authorizer: a kubelet reads what the pods bound to its node refer to, and nothing else of its kind
//! (upstream `plugin/pkg/auth/authorizer/node`). What every node may do alike is the role `system:node`.

use super::{Answer, Attributes, Authorizer, Decision, Rules, User, rbac::bootstrap};
use crate::server::Reader;
use api::Gvr;
use serde::Deserialize;

const PODS: Gvr = Gvr::new("", "v1", "pods");
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

    fn refers_to_secret(&self, name: &str) -> bool {
        let is = |n: Option<&Named>| n.is_some_and(|n| n.name == name);
        let volume = |v: &Volume| {
            v.secret.as_ref().is_some_and(|s| s.secret_name == name)
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
            || self.image_pull_secrets.iter().any(|s| s.name == name)
    }

    fn refers_to_config_map(&self, name: &str) -> bool {
        let is = |n: Option<&Named>| n.is_some_and(|n| n.name == name);
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

    fn decide(&self, node: &str, attributes: &Attributes) -> Decision {
        let (namespace, name) = (attributes.namespace.as_str(), attributes.name.as_str());
        // A watch or list of one name reads that object.
        let reads = matches!(attributes.verb.as_str(), "get" | "list" | "watch");
        let related = match (attributes.resource.as_str(), attributes.subresource.as_str()) {
            ("secrets", "") if reads && !name.is_empty() => {
                self.any_pod(node, namespace, |p| p.spec.refers_to_secret(name))
            }
            ("configmaps", "") if reads && !name.is_empty() => {
                self.any_pod(node, namespace, |p| p.spec.refers_to_config_map(name))
            }
            ("serviceaccounts", "token") if attributes.verb == "create" => {
                self.any_pod(node, namespace, |p| p.spec.service_account_name == name)
            }
            ("persistentvolumeclaims", "" | "status") if !name.is_empty() => {
                let writes = matches!(attributes.verb.as_str(), "patch" | "update");
                let may = reads || (writes && attributes.subresource == "status");
                may && self.any_pod(node, namespace, |p| p.refers_to_claim(name))
            }
            ("csinodes", "") => name == node || (name.is_empty() && attributes.verb == "create"),
            ("leases", "") => namespace == "kube-node-lease" && (name.is_empty() || name == node),
            ("secrets" | "configmaps" | "persistentvolumeclaims" | "csinodes", _) => false,
            _ => return bootstrap::node_rules(attributes),
        };
        if related {
            Decision::allow("")
        } else {
            Decision::no_opinion(format!(
                "no relationship found between node '{node}' and this object"
            ))
        }
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
