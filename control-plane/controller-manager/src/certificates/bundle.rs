//! The ClusterTrustBundle of `kubernetes.io/kube-apiserver-serving`: the CA by which the API server is known
//! (upstream `pkg/controller/certificates/clustertrustbundlepublisher`).

use crate::views::{Meta, NAMESPACES};
use api::{Gvr, Key, Object};
use client::{Caches, Change};
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Plan, Watch};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;

const BUNDLES: Gvr = Gvr::new("certificates.k8s.io", "v1", "clustertrustbundles");
const SIGNER: &str = "kubernetes.io/kube-apiserver-serving";
const PREFIX: &str = "kubernetes.io:kube-apiserver-serving:";

/// Keeps the one bundle, named by what is in it, and takes those before it away.
#[derive(Debug)]
pub struct ServingBundleController {
    /// The CA's certificates, PEM.
    pub certificate: String,
}

/// The bundles of the signer.
#[derive(Debug)]
pub struct Bundles(Vec<Arc<Object>>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bundle<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Meta,
    spec: Spec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    signer_name: &'a str,
    trust_bundle: &'a str,
}

fn one(_: &Change, _: &Caches) -> Vec<Key> {
    vec![Key::cluster(SIGNER)]
}

impl ServingBundleController {
    fn bundle(&self) -> String {
        let digest = Sha256::digest(self.certificate.as_bytes());
        format!("{PREFIX}{}", component::hex::encode(&digest[..12]))
    }
}

impl Controller for ServingBundleController {
    type Observed = Bundles;

    fn name(&self) -> &'static str {
        "kube-apiserver-serving-clustertrustbundle-publisher-controller"
    }

    fn primary(&self) -> Gvr {
        BUNDLES
    }

    fn watches(&self) -> Vec<Watch> {
        // There is always a namespace: so it is looked at when nothing is there yet.
        vec![Watch::all(BUNDLES, one), Watch::all(NAMESPACES, one)]
    }

    fn observe(&self, caches: &Caches, _: &Key) -> Option<Bundles> {
        let own = |object: &Arc<Object>| object.name().starts_with(PREFIX);
        Some(Bundles(
            caches.all(&BUNDLES).all().into_iter().filter(own).collect(),
        ))
    }

    fn reconcile(&self, Bundles(there): &Bundles, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let name = self.bundle();
        if !there.iter().any(|object| object.name() == name) {
            let bundle = Bundle {
                api_version: "certificates.k8s.io/v1",
                kind: "ClusterTrustBundle",
                metadata: Meta {
                    name,
                    ..Meta::default()
                },
                spec: Spec {
                    signer_name: SIGNER,
                    trust_bundle: &self.certificate,
                },
            };
            plan.create("create", &BUNDLES, "", &bundle);
        } else if let Some(old) = there.iter().find(|object| object.name() != name) {
            plan.delete("delete", &BUNDLES, old);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(name: &str) -> Arc<Object> {
        let text = format!(r#"{{"kind":"ClusterTrustBundle","metadata":{{"name":"{name}","uid":"u"}}}}"#);
        Arc::new(Object::parse(text.into(), 1, &[]).unwrap())
    }

    #[test]
    fn the_serving_ca_has_one_bundle() {
        let controller = ServingBundleController {
            certificate: "ca".to_owned(),
        };
        let name = controller.bundle();
        assert_eq!(
            name,
            "kubernetes.io:kube-apiserver-serving:6959097001d10501ac7d54c0"
        );
        let plan = |there: Vec<Arc<Object>>| {
            let plan = controller.reconcile(&Bundles(there), &LastOutcome::default(), Timestamp::UNIX_EPOCH);
            format!("{plan:?}")
        };
        assert!(plan(Vec::new()).contains("create"));
        let old = format!("{PREFIX}old");
        assert!(plan(vec![bundle(&name), bundle(&old)]).contains("delete"));
        assert!(!plan(vec![bundle(&name)]).contains("delete"));
    }
}
