//! What a Service uses: itself, node ports, load balancers.

use super::{Amounts, one};
use crate::Quantity;
use serde::Deserialize;

pub(super) const TRACKED: [&str; 4] = [
    "count/services",
    "services",
    "services.nodeports",
    "services.loadbalancers",
];

/// A Service.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    r#type: String,
    allocate_load_balancer_node_ports: Option<bool>,
    ports: Vec<Port>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    node_port: i64,
}

impl Service {
    pub(super) fn usage(&self) -> Amounts {
        let spec = &self.spec;
        let balanced = spec.r#type == "LoadBalancer";
        let sparing = balanced && spec.allocate_load_balancer_node_ports == Some(false);
        let ports = match spec.r#type.as_str() {
            "NodePort" | "LoadBalancer" => spec
                .ports
                .iter()
                .filter(|port| !sparing || port.node_port != 0)
                .count(),
            _ => 0,
        };
        let ports = Quantity::from_int(i64::try_from(ports).unwrap_or(i64::MAX));
        let amounts = [one(), one(), ports, Quantity::from_int(i64::from(balanced))];
        TRACKED.map(str::to_owned).into_iter().zip(amounts).collect()
    }
}
