//! What every cluster has: written at start if it is not there, and put right if it is of another address.

use crate::{
    Error, OwnPort, OwnService, Server,
    security::{User, rbac},
};
use api::{Gvr, Key, Status};
use client::Client;
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
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Priority {
    value: i64,
    description: &'static str,
}

impl Server {
    /// Writes the namespaces, the priority classes and the Service of this server. The binary calls it after the
    /// start; it may be called again.
    pub async fn bootstrap(self: &Arc<Self>) -> Result<(), Error> {
        let user = User::new("system:apiserver", &["system:masters"]);
        let client = Client::new(self.local(user), "kube-apiserver");
        self.write_all(&client).await.map_err(Error::Bootstrap)
    }

    async fn write_all(&self, client: &Client) -> Result<(), Status> {
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
        self.publish(client, &self.own_service()).await
    }

    /// The Service of this server.
    fn own_service(&self) -> OwnService {
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
            cluster_ip: self.handler.allocator.cidr().nth(1).into(),
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
