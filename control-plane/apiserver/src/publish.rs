//! Services that lead to the process itself, wherever it is today: `kubernetes`, and that of cluster DNS.

use crate::{
    Server,
    bootstrap::{Thing, thing},
};
use api::{Gvr, Key, Status};
use client::{Client, DeleteOptions, Patch};
use serde::Serialize;
use std::{collections::BTreeMap, net::IpAddr};

/// How often to look for what others may be creating.
const LOOKS: usize = 3;

/// A Service whose one endpoint is this process.
#[derive(Clone, Debug)]
pub struct OwnService {
    /// Where it stands.
    pub key: Key,
    /// Its labels.
    pub labels: BTreeMap<&'static str, &'static str>,
    /// The address in the cluster.
    pub cluster_ip: IpAddr,
    /// Where this process listens.
    pub address: IpAddr,
    /// The ports.
    pub ports: Vec<OwnPort>,
}

/// A port of such a Service.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnPort {
    /// Its name.
    pub name: &'static str,
    /// `TCP` or `UDP`.
    pub protocol: &'static str,
    /// The port at the address in the cluster.
    pub port: u16,
    /// The port where this process listens.
    pub target_port: u16,
}

#[derive(Serialize)]
struct Service<'a> {
    spec: ServiceSpec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceSpec<'a> {
    #[serde(rename = "clusterIP")]
    cluster_ip: IpAddr,
    r#type: &'static str,
    session_affinity: &'static str,
    ports: &'a [OwnPort],
}

#[derive(Serialize)]
struct Endpoints {
    subsets: [Subset; 1],
}

#[derive(Serialize)]
struct Subset {
    addresses: Vec<Address>,
    ports: Vec<Port>,
}

#[derive(Serialize)]
struct Address {
    ip: IpAddr,
}

#[derive(Serialize)]
struct Port {
    name: &'static str,
    protocol: &'static str,
    port: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndpointSlice {
    address_type: &'static str,
    endpoints: Vec<Endpoint>,
    ports: Vec<Port>,
}

#[derive(Serialize)]
struct Endpoint {
    addresses: [IpAddr; 1],
    conditions: Conditions,
}

#[derive(Serialize)]
struct Conditions {
    ready: bool,
}

impl OwnService {
    fn service(&self) -> Thing<Service<'_>> {
        let spec = ServiceSpec {
            cluster_ip: self.cluster_ip,
            r#type: "ClusterIP",
            session_affinity: "None",
            ports: &self.ports,
        };
        let mut service = thing("v1", "Service", &self.key.name, Service { spec });
        let labels = self.labels.iter().map(|(k, v)| (*k, (*v).to_owned()));
        service.metadata.labels.extend(labels);
        service
    }

    fn endpoints(&self, addresses: &[IpAddr]) -> Thing<Endpoints> {
        let subset = Subset {
            addresses: addresses.iter().map(|ip| Address { ip: *ip }).collect(),
            ports: self.endpoint_ports(),
        };
        let subsets = [subset];
        let mut endpoints = thing("v1", "Endpoints", &self.key.name, Endpoints { subsets });
        let marker = ("endpointslice.kubernetes.io/skip-mirror", "true".to_owned());
        endpoints.metadata.labels.extend([marker]);
        endpoints
    }

    fn slice(&self, addresses: &[IpAddr]) -> Thing<EndpointSlice> {
        let endpoint = |ip: &IpAddr| Endpoint {
            addresses: [*ip],
            conditions: Conditions { ready: true },
        };
        let slice = EndpointSlice {
            address_type: if self.address.is_ipv4() { "IPv4" } else { "IPv6" },
            endpoints: addresses.iter().map(endpoint).collect(),
            ports: self.endpoint_ports(),
        };
        let mut slice = thing("discovery.k8s.io/v1", "EndpointSlice", &self.key.name, slice);
        let marker = ("kubernetes.io/service-name", self.key.name.clone());
        slice.metadata.labels.extend([marker]);
        slice
    }

    fn endpoint_ports(&self) -> Vec<Port> {
        let port = |own: &OwnPort| Port {
            name: own.name,
            protocol: own.protocol,
            port: own.target_port,
        };
        self.ports.iter().map(port).collect()
    }
}

impl Server {
    /// Writes the Service, its Endpoints and its EndpointSlice, or puts right those of another start.
    pub async fn publish(&self, client: &Client, own: &OwnService) -> Result<(), Status> {
        self.publish_at(client, own, &[own.address]).await
    }

    /// The same, where several processes serve it.
    pub(crate) async fn publish_at(
        &self,
        client: &Client,
        own: &OwnService,
        addresses: &[IpAddr],
    ) -> Result<(), Status> {
        let services = Gvr::new("", "v1", "services");
        let endpoints = Gvr::new("", "v1", "endpoints");
        let slices = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
        let served = |gvr: &Gvr| self.handler.cache(&gvr.group, &gvr.resource).is_some();
        if served(&services) {
            put(client, &services, &own.key, &own.service()).await?;
        }
        if own.address.is_loopback() || own.address.is_unspecified() {
            tracing::warn!(service = %own.key, address = %own.address, "no pod can reach this address: the Service has no endpoints");
            return Ok(());
        }
        if served(&endpoints) {
            put(client, &endpoints, &own.key, &own.endpoints(addresses)).await?;
        }
        if served(&slices) {
            put(client, &slices, &own.key, &own.slice(addresses)).await?;
        }
        Ok(())
    }
}

/// Brings the object that is there to this one, or creates it. A create first would fail: the address is taken by the
/// very same Service.
async fn put(client: &Client, gvr: &Gvr, key: &Key, object: &impl Serialize) -> Result<(), Status> {
    let mut looks = 0;
    loop {
        match client.patch(gvr, key, "", Patch::Merge, object).await {
            Err(status) if status.is_not_found() => {}
            // What cannot be changed in place (an address type, the address of a Service) is made anew.
            Err(status) if status.code == 422 => client
                .delete(gvr, key, DeleteOptions::default())
                .await
                .map(drop)?,
            other => return other.map(drop),
        }
        looks += 1;
        match client.create(gvr, &key.namespace, object).await {
            // Another server that starts now may have created it meanwhile, with its address.
            Err(status) if looks < LOOKS && (status.is_already_exists() || status.code == 422) => {}
            done => return done.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[tokio::test(start_paused = true)]
    async fn the_machines_own_address_is_not_advertised() {
        let (server, _env) = fixture::whole().await;
        let client = fixture::client(&server);
        let own = OwnService {
            key: Key::new("kube-system", "kube-dns"),
            labels: [("k8s-app", "kube-dns")].into(),
            cluster_ip: [10, 96, 0, 10].into(),
            address: [127, 0, 0, 1].into(),
            ports: vec![OwnPort {
                name: "dns",
                protocol: "UDP",
                port: 53,
                target_port: 10053,
            }],
        };
        server.publish(&client, &own).await.unwrap();
        let (services, endpoints) = (Gvr::new("", "v1", "services"), Gvr::new("", "v1", "endpoints"));
        assert!(client.get(&services, &own.key).await.is_ok());
        assert!(client.get(&endpoints, &own.key).await.unwrap_err().is_not_found());
    }

    #[tokio::test(start_paused = true)]
    async fn another_start_puts_the_address_and_the_ports_right() {
        let (server, _env) = fixture::whole().await;
        let client = fixture::client(&server);
        let port = |target_port| OwnPort {
            name: "dns",
            protocol: "UDP",
            port: 53,
            target_port,
        };
        let first = OwnService {
            key: Key::new("kube-system", "kube-dns"),
            labels: [("k8s-app", "kube-dns")].into(),
            cluster_ip: [10, 96, 0, 10].into(),
            address: [10, 0, 0, 1].into(),
            ports: vec![port(10053)],
        };
        let second = OwnService {
            address: "fd00::1".parse().unwrap(),
            ports: vec![port(10054)],
            ..first.clone()
        };
        let third = OwnService {
            cluster_ip: [10, 96, 0, 11].into(),
            ..second.clone()
        };
        for own in [&first, &first, &second, &third] {
            server.publish(&client, own).await.unwrap();
            let ip = own.address;
            let target = own.ports[0].target_port;
            for (gvr, expected) in [
                (
                    Gvr::new("", "v1", "services"),
                    vec![
                        format!("\"clusterIP\":\"{}\"", own.cluster_ip),
                        format!("\"targetPort\":{target}"),
                        "\"k8s-app\":\"kube-dns\"".to_owned(),
                    ],
                ),
                (
                    Gvr::new("", "v1", "endpoints"),
                    vec![
                        format!("\"ip\":\"{ip}\""),
                        format!("\"port\":{target}"),
                        "skip-mirror\":\"true\"".to_owned(),
                    ],
                ),
                (
                    Gvr::new("discovery.k8s.io", "v1", "endpointslices"),
                    vec![
                        format!("\"addresses\":[\"{ip}\"]"),
                        "service-name\":\"kube-dns\"".to_owned(),
                    ],
                ),
            ] {
                let object = client.get(&gvr, &own.key).await.unwrap();
                let text = String::from_utf8(object.to_json().to_vec()).unwrap();
                for part in expected {
                    assert!(text.contains(&part), "no {part} in {text}");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_every_cluster_has_may_be_written_again() {
        let (server, _env) = fixture::whole().await;
        server.bootstrap().await.unwrap();
    }
}
