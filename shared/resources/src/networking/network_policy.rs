//! NetworkPolicy.

use crate::{
    Cell, Row, cells, encode,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPort};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["netpol"],
    prefix: "/registry/networkpolicies",
    columns: &[
        cells::NAME,
        cells::column("Pod-Selector", "string", "The pods that it is about."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "networking.k8s.io",
        "NetworkPolicy",
        "networkpolicies",
        "networkpolicy",
        write::<NetworkPolicy>,
    )
};

impl Kind for NetworkPolicy {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.pod_selector.get_or_insert_default();
        let egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
        let types = spec.policy_types.get_or_insert_default();
        if types.is_empty() {
            types.push("Ingress".to_owned());
            if egress {
                types.push("Egress".to_owned());
            }
        }
        let tcp = |port: &mut NetworkPolicyPort| {
            port.protocol.get_or_insert_with(|| "TCP".to_owned());
        };
        for rule in spec.ingress.iter_mut().flatten() {
            rule.ports.iter_mut().flatten().for_each(tcp);
        }
        for rule in spec.egress.iter_mut().flatten() {
            rule.ports.iter_mut().flatten().for_each(tcp);
        }
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecView {
    pod_selector: cells::SelectorView,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let selector = cells::view::<View>(object).spec.pod_selector;
    vec![cells::name(object), selector.cell(), cells::age(object, now)]
}
