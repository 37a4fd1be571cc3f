//! What every cluster has: written at start if it is not there, and put right if it is of another address.

use crate::{
    Error, OwnPort, OwnService, Server,
    security::{User, rbac},
};
use api::{Gvr, Key, Status};
use client::{Client, Patch};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Thing<T: Serialize> {
    api_version: &'static str,
    kind: &'static str,
    pub metadata: Meta,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
pub(crate) struct Meta {
    name: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Priority {
    value: i64,
    description: &'static str,
}

#[derive(Serialize)]
struct Range<'a> {
    spec: RangeSpec<'a>,
}

#[derive(Serialize)]
struct RangeSpec<'a> {
    cidrs: &'a [String],
}

#[derive(Serialize)]
struct RangeStatus {
    status: Conditions,
}

#[derive(Serialize)]
struct Conditions {
    conditions: [Condition; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: &'static str,
    status: &'static str,
    reason: &'static str,
    message: &'static str,
    last_transition_time: String,
}

/// The annotation that says that the default storage class was written.
const CLASS_WRITTEN: &str = "ferrokube.io/local-path-class-written";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Class {
    provisioner: &'static str,
    volume_binding_mode: &'static str,
    reclaim_policy: &'static str,
    allow_volume_expansion: bool,
}

impl Server {
    /// Writes the namespaces, the priority classes, the roles, the default storage class and the Service
    /// of this server. The binary calls it after the
    /// start; it may be called again.
    pub async fn bootstrap(self: &Arc<Self>) -> Result<(), Error> {
        let user = User::new("system:apiserver", &["system:masters"]);
        let client = Client::new(self.local(user), "kube-apiserver");
        self.write_all(&client).await.map_err(Error::Bootstrap)?;
        self.say_since(&client).await;
        self.keep_fairness().await.map_err(Error::Bootstrap)
    }

    async fn write_all(self: &Arc<Self>, client: &Client) -> Result<(), Status> {
        let namespaces = Gvr::new("", "v1", "namespaces");
        for name in NAMESPACES {
            let namespace = thing("v1", "Namespace", name, Nothing {});
            make(client, &namespaces, &namespace).await?;
        }
        let classes = Gvr::new("scheduling.k8s.io", "v1", "priorityclasses");
        if self
            .handler
            .cache("scheduling.k8s.io", "priorityclasses")
            .is_some()
        {
            for (name, value, description) in [
                (
                    "system-cluster-critical",
                    2_000_000_000,
                    "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
                ),
                (
                    "system-node-critical",
                    2_000_001_000,
                    "Used for system critical pods that must not be moved from their current node.",
                ),
            ] {
                let class = thing(
                    "scheduling.k8s.io/v1",
                    "PriorityClass",
                    name,
                    Priority { value, description },
                );
                make(client, &classes, &class).await?;
            }
        }
        if self
            .handler
            .cache("rbac.authorization.k8s.io", "clusterroles")
            .is_some()
        {
            rbac::bootstrap::reconcile(client).await?;
        }
        self.default_class(client).await?;
        if self
            .handler
            .cache("apiregistration.k8s.io", "apiservices")
            .is_some()
        {
            self.register_all(client).await?;
        }
        if self.handler.cache("", "configmaps").is_some() {
            self.publish_trust(client).await?;
        }
        if self.handler.cache("networking.k8s.io", "servicecidrs").is_some() {
            self.default_range(client).await?;
        }
        self.handler.adopt_addresses(None).await?;
        self.publish_own(client).await
    }

    /// Writes the ServiceCIDR of the ranges that the server was started with, and that it is ready: controllers may come
    /// later.
    async fn default_range(&self, client: &Client) -> Result<(), Status> {
        let (gvr, key) = (
            Gvr::new("networking.k8s.io", "v1", "servicecidrs"),
            Key::cluster("kubernetes"),
        );
        let cidrs: Vec<String> = self
            .handler
            .allocator
            .usual()
            .iter()
            .map(ToString::to_string)
            .collect();
        let range = thing(
            "networking.k8s.io/v1",
            "ServiceCIDR",
            "kubernetes",
            Range {
                spec: RangeSpec { cidrs: &cidrs },
            },
        );
        match client.create(&gvr, "", &range).await {
            Err(status) if status.is_already_exists() => {
                // A second family may join the first.
                if let Err(status) = client.patch(&gvr, &key, "", Patch::Merge, &range).await {
                    tracing::warn!(%status, ?cidrs, "the ServiceCIDR kubernetes has other ranges");
                }
                return Ok(());
            }
            other => other.map(drop)?,
        }
        let ready = Condition {
            r#type: "Ready",
            status: "True",
            reason: "",
            message: "Kubernetes default Service CIDR is ready",
            last_transition_time: self
                .handler
                .env
                .clock
                .wall()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
        };
        let status = RangeStatus {
            status: Conditions { conditions: [ready] },
        };
        let told = client.patch(&gvr, &key, "status", Patch::Merge, &status).await;
        told.map(drop)
    }

    /// Writes the storage class of directories on nodes, once: who deletes it is not given it again. That it was written
    /// is noted at the namespace kube-system.
    async fn default_class(&self, client: &Client) -> Result<(), Status> {
        if self.handler.cache("storage.k8s.io", "storageclasses").is_none() {
            return Ok(());
        }
        let (namespaces, kube_system) = (Gvr::new("", "v1", "namespaces"), Key::cluster("kube-system"));
        if client
            .get(&namespaces, &kube_system)
            .await?
            .annotation(CLASS_WRITTEN)
            .is_some()
        {
            return Ok(());
        }
        let local_path = Class {
            provisioner: api::volume::LOCAL_PATH,
            volume_binding_mode: "WaitForFirstConsumer",
            reclaim_policy: "Delete",
            allow_volume_expansion: false,
        };
        let mut class = thing("storage.k8s.io/v1", "StorageClass", "local-path", local_path);
        let default = ("storageclass.kubernetes.io/is-default-class", "true");
        class.metadata.annotations.insert(default.0, default.1);
        make(
            client,
            &Gvr::new("storage.k8s.io", "v1", "storageclasses"),
            &class,
        )
        .await?;
        let mut note = thing("v1", "Namespace", "kube-system", Nothing {});
        note.metadata.annotations.insert(CLASS_WRITTEN, "true");
        let noted = client.patch(&namespaces, &kube_system, "", Patch::Merge, &note);
        noted.await.map(drop)
    }

    /// The Service of this server.
    pub(crate) fn own_service(&self) -> OwnService {
        let (address, port) = self.advertise;
        let port = OwnPort {
            name: "https",
            protocol: "TCP",
            port: 443,
            target_port: port,
        };
        OwnService {
            key: Key::new("default", "kubernetes"),
            labels: [("component", "apiserver"), ("provider", "kubernetes")].into(),
            cluster_ip: self.handler.allocator.usual()[0].nth(1),
            address,
            ports: vec![port],
        }
    }
}

pub(crate) fn thing<T: Serialize>(
    api_version: &'static str,
    kind: &'static str,
    name: &str,
    rest: T,
) -> Thing<T> {
    Thing {
        api_version,
        kind,
        metadata: Meta {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        },
        rest,
    }
}

/// Creates what is not there.
async fn make<T: Serialize>(client: &Client, gvr: &Gvr, object: &Thing<T>) -> Result<(), Status> {
    match client.create(gvr, "", object).await {
        Err(status) if !status.is_already_exists() => Err(status),
        _ => Ok(()),
    }
}
