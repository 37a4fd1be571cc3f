//! Ingress.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells, encode,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{Ingress, IngressStatus};
use serde::{Deserialize, de::IgnoredAny};

pub(crate) static ROW: Row = Row {
    short_names: &["ing"],
    prefix: "/registry/ingress",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Class", "string", "The class of the controller that serves it."),
        cells::column("Hosts", "string", "The hosts of its rules."),
        cells::column("Address", "string", "Where it is reached."),
        cells::column("Ports", "string", "The ports at which it is reached."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "networking.k8s.io",
        "Ingress",
        "ingresses",
        "ingress",
        write::<Ingress>,
    )
};

impl Kind for Ingress {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        self.spec.get_or_insert_default();
        self.status
            .get_or_insert_default()
            .load_balancer
            .get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(IngressStatus {
            load_balancer: Some(Default::default()),
        });
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecView {
    ingress_class_name: String,
    rules: Vec<RuleView>,
    tls: Vec<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuleView {
    host: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    load_balancer: cells::BalancerView,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let ports = if spec.tls.is_empty() { "80" } else { "80, 443" };
    vec![
        cells::name(object),
        cells::or_none(&spec.ingress_class_name),
        Cell::Text(hosts(&spec.rules)),
        Cell::Text(status.load_balancer.addresses().join(",")),
        cells::text(ports),
        cells::age(object, now),
    ]
}

/// At most three hosts, then how many more rules there are.
fn hosts(rules: &[RuleView]) -> String {
    let named = |rule: &&RuleView| !rule.host.is_empty();
    let list: Vec<&str> = rules
        .iter()
        .filter(named)
        .take(3)
        .map(|rule| rule.host.as_str())
        .collect();
    let third = rules.iter().enumerate().filter(|(_, rule)| named(rule)).nth(2);
    match third {
        _ if list.is_empty() => "*".to_owned(),
        Some((index, _)) if index + 1 < rules.len() => {
            format!("{} + {} more...", list.join(","), rules.len() - 3)
        }
        _ => list.join(","),
    }
}
