//! Node.

use crate::{
    Cell, Row, STATUS, Subresource, WriteRequest,
    admission::taint_nodes_by_condition,
    cells, meta, names,
    write::{Kind, write},
};
use api::{Object, Status, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeSpec, Taint};
use serde::Deserialize;
use std::collections::BTreeSet;

pub(crate) static ROW: Row = Row {
    short_names: &["no"],
    namespaced: false,
    prefix: "/registry/minions",
    subresources: &[
        Subresource {
            name: "proxy",
            kind: ("", "v1", "NodeProxyOptions"),
            verbs: &["create", "delete", "get", "patch", "update"],
        },
        STATUS,
    ],
    fields: &["spec.unschedulable"],
    columns: &[
        cells::NAME,
        cells::column("Status", "string", "Whether the node is ready and takes pods."),
        cells::column("Roles", "string", "Roles, from the node's labels."),
        cells::AGE,
        cells::column("Version", "string", "Version of the kubelet."),
        cells::wide("Internal-IP", "Address inside the cluster."),
        cells::wide("External-IP", "Address outside the cluster."),
        cells::wide("OS-Image", "Operating system."),
        cells::wide("Kernel-Version", "Version of the kernel."),
        cells::wide("Container-Runtime", "Container runtime and its version."),
    ],
    cells: row_cells,
    ..Row::usual("", "Node", "nodes", "node", write::<Node>)
};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

impl Kind for Node {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        if let Some(spec) = &mut self.spec {
            one_range(spec);
        }
        self.spec.get_or_insert_default();
        let status = self.status.get_or_insert_default();
        if status.allocatable.is_none() {
            status.allocatable.clone_from(&status.capacity);
        }
        status
            .daemon_endpoints
            .get_or_insert_default()
            .kubelet_endpoint
            .get_or_insert_default();
        status.node_info.get_or_insert_default();
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn admit(&mut self, old: Option<&Self>, request: &WriteRequest<'_>) -> Result<(), Status> {
        if old.is_none() {
            taint_nodes_by_condition::admit(self, request);
        }
        Ok(())
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let ranges = self.spec.iter().flat_map(|spec| spec.pod_cidrs.iter().flatten());
        for (i, range) in ranges.enumerate() {
            meta::invalid(
                errors,
                &field::index("spec.podCIDRs", i),
                range,
                names::cidr(range),
            );
        }
        let taints = self.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
        let mut seen = BTreeSet::new();
        for (i, taint) in taints.enumerate() {
            let path = field::index("metadata.taints", i);
            validate_taint(taint, &path, errors);
            if !seen.insert((&taint.key, &taint.effect)) {
                let mut error = Error::duplicate(path, taint);
                error.detail = "taints must be unique by key and effect pair".to_owned();
                errors.push(error);
            }
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        let (Some(new), Some(old)) = (&self.spec, &old.spec) else {
            return;
        };
        if old.pod_cidrs.iter().flatten().next().is_some() && new.pod_cidrs != old.pod_cidrs {
            let why = "node updates may not change podCIDR except from \"\" to valid";
            errors.push(Error::forbidden("spec.podCIDRs", why));
        }
        if old.provider_id.as_deref().is_some_and(|id| !id.is_empty()) && new.provider_id != old.provider_id {
            let why = "node updates may not change providerID except from \"\" to valid";
            errors.push(Error::forbidden("spec.providerID", why));
        }
        self.validate(errors);
    }
}

fn validate_taint(taint: &Taint, path: &str, errors: &mut Vec<Error>) {
    meta::invalid(
        errors,
        &field::child(path, "key"),
        &taint.key,
        names::qualified_name(&taint.key),
    );
    let value = taint.value.as_deref().unwrap_or_default();
    meta::invalid(
        errors,
        &field::child(path, "value"),
        value,
        names::label_value(value),
    );
    let effect = field::child(path, "effect");
    if taint.effect.is_empty() {
        errors.push(Error::required(effect, ""));
    } else if !EFFECTS.contains(&taint.effect.as_str()) {
        errors.push(Error::not_supported(
            effect,
            &taint.effect,
            &["NoSchedule", "PreferNoSchedule", "NoExecute"],
        ));
    }
}

/// The first of the ranges stands in a field of its own as well.
fn one_range(spec: &mut NodeSpec) {
    let first = spec.pod_cidrs.as_ref().and_then(|ranges| ranges.first().cloned());
    match (&spec.pod_cidr, first) {
        (Some(range), None) if !range.is_empty() => spec.pod_cidrs = Some(vec![range.clone()]),
        (None, Some(first)) => spec.pod_cidr = Some(first),
        _ => {}
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecView {
    unschedulable: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    conditions: Vec<Typed>,
    addresses: Vec<Typed>,
    node_info: Info,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Typed {
    r#type: String,
    status: String,
    address: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Info {
    kubelet_version: String,
    os_image: String,
    kernel_version: String,
    container_runtime_version: String,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let ready = status.conditions.iter().find(|c| c.r#type == "Ready");
    let mut state = match ready.map(|c| c.status.as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if spec.unschedulable {
        state.push_str(",SchedulingDisabled");
    }
    let address = |kind: &str| {
        let found = status.addresses.iter().find(|a| a.r#type == kind);
        cells::or_none(found.map_or("", |a| &a.address))
    };
    let known = |text: &str| cells::text(if text.is_empty() { "<unknown>" } else { text });
    vec![
        cells::name(object),
        Cell::Text(state),
        cells::or_none(&roles(object)),
        cells::age(object, now),
        cells::text(&status.node_info.kubelet_version),
        address("InternalIP"),
        address("ExternalIP"),
        known(&status.node_info.os_image),
        known(&status.node_info.kernel_version),
        known(&status.node_info.container_runtime_version),
    ]
}

fn roles(object: &Object) -> String {
    let role = |(key, value): (&str, &str)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some("") => None,
        Some(role) => Some(role.to_owned()),
        None if key == "kubernetes.io/role" && !value.is_empty() => Some(value.to_owned()),
        None => None,
    };
    object
        .labels()
        .filter_map(role)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
        .join(",")
}
