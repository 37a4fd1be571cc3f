//! What every cluster has: written at start if it is not there, and put right if it is of another address.

use crate::{
    Error, Server,
    security::{User, rbac},
};
use api::{Gvr, Key, Status};
use client::{Client, DeleteOptions};
use serde::Serialize;
use std::sync::Arc;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Thing<T: Serialize> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
struct Meta {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Labels>,
}

#[derive(Serialize)]
struct Labels {
    #[serde(rename = "component", skip_serializing_if = "Option::is_none")]
    component: Option<&'static str>,
    #[serde(rename = "provider", skip_serializing_if = "Option::is_none")]
    provider: Option<&'static str>,
    #[serde(
        rename = "kubernetes.io/service-name",
        skip_serializing_if = "Option::is_none"
    )]
    service_name: Option<&'static str>,
    #[serde(
        rename = "endpointslice.kubernetes.io/skip-mirror",
        skip_serializing_if = "Option::is_none"
    )]
    skip_mirror: Option<&'static str>,
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
struct Service {
    spec: ServiceSpec,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    r#type: &'static str,
    session_affinity: &'static str,
    ports: [ServicePort; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServicePort {
    name: &'static str,
    port: u16,
    protocol: &'static str,
    target_port: u16,
}

#[derive(Serialize)]
struct Endpoints {
    subsets: [Subset; 1],
}

#[derive(Serialize)]
struct Subset {
    addresses: [Address; 1],
    ports: [EndpointPort; 1],
}

#[derive(Serialize)]
struct Address {
    ip: String,
}

#[derive(Serialize)]
struct EndpointPort {
    name: &'static str,
    port: u16,
    protocol: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndpointSlice {
    address_type: &'static str,
    endpoints: [Endpoint; 1],
    ports: [EndpointPort; 1],
}

#[derive(Serialize)]
struct Endpoint {
    addresses: [String; 1],
    conditions: Conditions,
}

#[derive(Serialize)]
struct Conditions {
    ready: bool,
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
            let namespace = thing("v1", "Namespace", name, None, Nothing {});
            make(client, &namespaces, "", &namespace).await?;
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
                    None,
                    Priority { value, description },
                );
                make(client, &classes, "", &class).await?;
            }
        }
        if self
            .handler
            .cache("rbac.authorization.k8s.io", "clusterroles")
            .is_some()
        {
            rbac::bootstrap::reconcile(client).await?;
        }
        self.write_service(client).await
    }

    async fn write_service(&self, client: &Client) -> Result<(), Status> {
        let (address, port) = self.advertise;
        let served = |group, plural| self.handler.cache(group, plural).is_some();
        let ours = || {
            let labels = (Some("apiserver"), Some("kubernetes"));
            Some(Labels {
                component: labels.0,
                provider: labels.1,
                service_name: None,
                skip_mirror: None,
            })
        };
        let endpoint_port = || {
            [EndpointPort {
                name: "https",
                port,
                protocol: "TCP",
            }]
        };
        if served("", "services") {
            let spec = ServiceSpec {
                cluster_ip: self.handler.allocator.cidr().nth(1).to_string(),
                r#type: "ClusterIP",
                session_affinity: "None",
                ports: [ServicePort {
                    name: "https",
                    port: 443,
                    protocol: "TCP",
                    target_port: port,
                }],
            };
            let service = thing("v1", "Service", "kubernetes", ours(), Service { spec });
            make(client, &Gvr::new("", "v1", "services"), "default", &service).await?;
        }
        if served("", "endpoints") {
            let labels = Labels {
                component: None,
                provider: None,
                service_name: None,
                skip_mirror: Some("true"),
            };
            let subset = Subset {
                addresses: [Address {
                    ip: address.to_string(),
                }],
                ports: endpoint_port(),
            };
            let endpoints = thing(
                "v1",
                "Endpoints",
                "kubernetes",
                Some(labels),
                Endpoints { subsets: [subset] },
            );
            put(client, &Gvr::new("", "v1", "endpoints"), &endpoints).await?;
        }
        if served("discovery.k8s.io", "endpointslices") {
            let labels = Labels {
                component: None,
                provider: None,
                service_name: Some("kubernetes"),
                skip_mirror: None,
            };
            let slice = EndpointSlice {
                address_type: if address.is_ipv4() { "IPv4" } else { "IPv6" },
                endpoints: [Endpoint {
                    addresses: [address.to_string()],
                    conditions: Conditions { ready: true },
                }],
                ports: endpoint_port(),
            };
            let slice = thing(
                "discovery.k8s.io/v1",
                "EndpointSlice",
                "kubernetes",
                Some(labels),
                slice,
            );
            put(
                client,
                &Gvr::new("discovery.k8s.io", "v1", "endpointslices"),
                &slice,
            )
            .await?;
        }
        Ok(())
    }
}

fn thing<T: Serialize>(
    api_version: &'static str,
    kind: &'static str,
    name: &str,
    labels: Option<Labels>,
    rest: T,
) -> Thing<T> {
    Thing {
        api_version,
        kind,
        metadata: Meta {
            name: name.to_owned(),
            labels,
        },
        rest,
    }
}

/// Creates what is not there.
async fn make<T: Serialize>(
    client: &Client,
    gvr: &Gvr,
    namespace: &str,
    object: &Thing<T>,
) -> Result<(), Status> {
    // A create is validated before its name is looked for, and an address of its own is taken.
    if client
        .find(gvr, &Key::new(namespace, &object.metadata.name))
        .await?
        .is_some()
    {
        return Ok(());
    }
    match client.create(gvr, namespace, object).await {
        Err(status) if !status.is_already_exists() => Err(status),
        _ => Ok(()),
    }
}

/// Creates what is not there, and replaces what is: the address may be another than at the last start.
async fn put(client: &Client, gvr: &Gvr, object: &impl Serialize) -> Result<(), Status> {
    match client.create(gvr, "default", object).await {
        Err(status) if status.is_already_exists() => {}
        other => return other.map(|_| ()),
    }
    let key = Key::new("default", "kubernetes");
    match client.update(gvr, &key, object).await {
        // What cannot be changed in place (an address type) is made anew.
        Err(status) if status.code == 422 => {
            client.delete(gvr, &key, DeleteOptions::default()).await?;
            client.create(gvr, "default", object).await.map(|_| ())
        }
        other => other.map(|_| ()),
    }
}
