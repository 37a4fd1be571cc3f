//! What every namespace gets: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`
//! (upstream `pkg/controller/serviceaccount`, `pkg/controller/certificates/rootcacertpublisher`).

use crate::views::{CONFIG_MAPS, Meta, NAMESPACES, SERVICE_ACCOUNTS};
use api::{Gvr, Key, Object};
use client::{Caches, Change, Patch};
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Plan, Watch};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

const ROOT_CA: &str = "kube-root-ca.crt";

fn live_namespace(caches: &Caches, key: &Key) -> Option<Arc<Object>> {
    caches
        .all(&NAMESPACES)
        .get(key)
        .filter(|n| n.deletion_timestamp().is_none())
}

fn namespace_key(change: &Change, _: &Caches) -> Vec<Key> {
    vec![Key::cluster(change.object().name())]
}

fn key_of_namespace(change: &Change, _: &Caches) -> Vec<Key> {
    vec![Key::cluster(change.object().namespace())]
}

/// Makes the ServiceAccount `default` in every namespace.
#[derive(Debug)]
pub struct ServiceAccountController;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Named<'a, T> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Meta,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
struct Nothing {}

impl Controller for ServiceAccountController {
    /// The name of a namespace that lacks the account.
    type Observed = String;

    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn primary(&self) -> Gvr {
        NAMESPACES
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(NAMESPACES, namespace_key),
            Watch::all(SERVICE_ACCOUNTS, key_of_namespace),
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<String> {
        live_namespace(caches, key)?;
        let there = caches
            .all(&SERVICE_ACCOUNTS)
            .get(&Key::new(&key.name, "default"))
            .is_some();
        (!there).then(|| key.name.clone())
    }

    fn reconcile(&self, namespace: &String, last: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        if last.refused("create").is_some_and(api::Status::is_already_exists) {
            return plan;
        }
        let metadata = Meta {
            name: "default".to_owned(),
            namespace: namespace.clone(),
            ..Meta::default()
        };
        let account = Named {
            api_version: "v1",
            kind: "ServiceAccount",
            metadata,
            rest: Nothing {},
        };
        plan.create("create", &SERVICE_ACCOUNTS, namespace, &account);
        plan
    }
}

/// Keeps the ConfigMap `kube-root-ca.crt` in every namespace.
#[derive(Debug)]
pub struct RootCaController {
    /// The cluster's CA certificate, PEM.
    pub certificate: String,
}

/// A namespace, and what its ConfigMap holds if there is one.
#[derive(Debug)]
pub struct Published {
    namespace: String,
    current: Option<Option<BTreeMap<String, String>>>,
}

#[derive(Deserialize)]
struct ConfigMap {
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
struct Data<'a> {
    data: BTreeMap<&'a str, &'a str>,
}

impl Controller for RootCaController {
    type Observed = Published;

    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher-controller"
    }

    fn queue(&self) -> &'static str {
        "root_ca_cert_publisher"
    }

    fn primary(&self) -> Gvr {
        NAMESPACES
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(NAMESPACES, namespace_key),
            Watch::all(CONFIG_MAPS, root_ca_key),
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Published> {
        live_namespace(caches, key)?;
        let map = caches.all(&CONFIG_MAPS).get(&Key::new(&key.name, ROOT_CA));
        let current = map.map(|object| object.view::<ConfigMap>().ok().and_then(|m| m.data));
        Some(Published {
            namespace: key.name.clone(),
            current,
        })
    }

    fn reconcile(&self, observed: &Published, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let rest = Data {
            data: BTreeMap::from([("ca.crt", self.certificate.as_str())]),
        };
        let key = Key::new(&observed.namespace, ROOT_CA);
        match &observed.current {
            None => {
                let about = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
                             endpoints such as the internal service IP or kubernetes.default.svc. No other usage is \
                             guaranteed across distributions of Kubernetes clusters.";
                let metadata = Meta {
                    name: key.name.clone(),
                    namespace: key.namespace.clone(),
                    annotations: BTreeMap::from([("kubernetes.io/description".to_owned(), about.to_owned())]),
                    ..Meta::default()
                };
                let map = Named {
                    api_version: "v1",
                    kind: "ConfigMap",
                    metadata,
                    rest,
                };
                plan.create("create", &CONFIG_MAPS, &observed.namespace, &map);
            }
            Some(data) => {
                let right = data
                    .as_ref()
                    .is_some_and(|d| d.len() == 1 && d.get("ca.crt") == Some(&self.certificate));
                if !right {
                    // `data` as a whole is replaced: a JSON patch, for a merge would leave strangers in it.
                    let patch = [Replace {
                        op: "add",
                        path: "/data",
                        value: rest.data,
                    }];
                    plan.patch("update", &CONFIG_MAPS, &key, "", Patch::Json, &patch);
                }
            }
        }
        plan
    }
}

#[derive(Serialize)]
struct Replace<'a> {
    op: &'a str,
    path: &'a str,
    value: BTreeMap<&'a str, &'a str>,
}

fn root_ca_key(change: &Change, caches: &Caches) -> Vec<Key> {
    if change.object().name() == ROOT_CA {
        key_of_namespace(change, caches)
    } else {
        Vec::new()
    }
}
