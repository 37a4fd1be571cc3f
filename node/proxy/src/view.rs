//! Views: the fields of API objects that the proxy reads.

use crate::{Endpoint, EndpointPort, Protocol, Service, ServicePort, Slice};
use api::Object;
use serde::{Deserialize, de::DeserializeOwned};
use std::net::IpAddr;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Upstream's default of `sessionAffinityConfig.clientIP.timeoutSeconds`.
const STICKY_SECONDS: u32 = 10800;

/// What an object says, if it can be read: the API server would not have let another one in.
fn read<T: DeserializeOwned>(object: &Object) -> Option<T> {
    let read = object.view();
    read.inspect_err(|error| tracing::warn!(object = %object.key(), %error, "object cannot be read"))
        .ok()
}

/// A Service; `None` if there is nothing to be done for it.
pub(crate) fn service(object: &Object) -> Option<Service> {
    let ServiceView { spec, status } = read(object)?;
    if spec.kind.as_deref() == Some("ExternalName") {
        return None;
    }
    let cluster_ips = addresses(
        &spec
            .cluster_ips
            .unwrap_or_else(|| spec.cluster_ip.into_iter().collect()),
    );
    if cluster_ips.is_empty() {
        return None;
    }
    let ingress = status.load_balancer.ingress.unwrap_or_default();
    let balanced = ingress
        .into_iter()
        .filter(|i| i.ip_mode.as_deref() != Some("Proxy"))
        .filter_map(|i| i.ip);
    let external: Vec<String> = spec
        .external_ips
        .unwrap_or_default()
        .into_iter()
        .chain(balanced)
        .collect();
    let sticky = spec.session_affinity.as_deref() == Some("ClientIP");
    let seconds = spec
        .session_affinity_config
        .client_ip
        .timeout_seconds
        .unwrap_or(STICKY_SECONDS);
    Some(Service {
        cluster_ips,
        external_ips: addresses(&external),
        ports: spec
            .ports
            .unwrap_or_default()
            .into_iter()
            .filter_map(PortView::into_service_port)
            .collect(),
        client_ip_timeout: sticky.then_some(seconds),
        internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
        external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
    })
}

/// An EndpointSlice; `None` if it is of no use.
pub(crate) fn slice(object: &Object) -> Option<Slice> {
    let view: SliceView = read(object)?;
    if view.address_type == "FQDN" {
        return None;
    }
    Some(Slice {
        service: object.label(SERVICE_NAME)?.to_owned(),
        ports: view
            .ports
            .unwrap_or_default()
            .into_iter()
            .filter_map(PortView::into_endpoint_port)
            .collect(),
        endpoints: view
            .endpoints
            .unwrap_or_default()
            .into_iter()
            .filter_map(EndpointView::into_endpoint)
            .collect(),
    })
}

fn addresses(texts: &[String]) -> Vec<IpAddr> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn protocol(text: Option<&str>) -> Option<Protocol> {
    match text {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceView {
    spec: ServiceSpec,
    status: ServiceStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceSpec {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    #[serde(rename = "externalIPs")]
    external_ips: Option<Vec<String>>,
    ports: Option<Vec<PortView>>,
    session_affinity: Option<String>,
    session_affinity_config: AffinityConfig,
    internal_traffic_policy: Option<String>,
    external_traffic_policy: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AffinityConfig {
    #[serde(rename = "clientIP")]
    client_ip: ClientIpConfig,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClientIpConfig {
    timeout_seconds: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceStatus {
    load_balancer: LoadBalancerStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LoadBalancerStatus {
    ingress: Option<Vec<Ingress>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ingress {
    ip: Option<String>,
    ip_mode: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PortView {
    name: Option<String>,
    protocol: Option<String>,
    port: Option<u16>,
    node_port: Option<u16>,
}

impl PortView {
    fn into_service_port(self) -> Option<ServicePort> {
        let protocol = protocol(self.protocol.as_deref())?;
        let node_port = self.node_port.unwrap_or_default();
        Some(ServicePort {
            name: self.name.unwrap_or_default(),
            protocol,
            port: self.port?,
            node_port,
        })
    }

    fn into_endpoint_port(self) -> Option<EndpointPort> {
        let protocol = protocol(self.protocol.as_deref())?;
        Some(EndpointPort {
            name: self.name.unwrap_or_default(),
            protocol,
            port: self.port?,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SliceView {
    address_type: String,
    endpoints: Option<Vec<EndpointView>>,
    ports: Option<Vec<PortView>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EndpointView {
    addresses: Vec<String>,
    conditions: ConditionsView,
    node_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConditionsView {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

impl EndpointView {
    fn into_endpoint(self) -> Option<Endpoint> {
        // What is not told counts as ready, and as serving when it is ready.
        let ready = self.conditions.ready.unwrap_or(true);
        Some(Endpoint {
            address: self.addresses.first()?.parse().ok()?,
            ready,
            serving: self.conditions.serving.unwrap_or(ready),
            terminating: self.conditions.terminating.unwrap_or_default(),
            node: self.node_name.unwrap_or_default(),
        })
    }
}
