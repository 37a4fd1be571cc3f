//! IPAddress: an address of a Service that is taken.

use crate::{
    Cell, Row, cells, names,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::IPAddress;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["ip"],
    namespaced: false,
    prefix: "/registry/ipaddresses",
    fields: &["spec.parentRef.name"],
    columns: &[
        cells::NAME,
        cells::column("ParentRef", "string", "Whose address it is."),
    ],
    cells: row_cells,
    ..Row::usual(
        "networking.k8s.io",
        "IPAddress",
        "ipaddresses",
        "ipaddress",
        write::<IPAddress>,
    )
};

impl Kind for IPAddress {
    const ROW: &'static Row = &ROW;
    const NAMES: names::NameRule = names::canonical_ip;

    fn validate(&self, errors: &mut Vec<Error>) {
        let parent = &self.spec.parent_ref;
        for (path, value) in [
            ("spec.parentRef.resource", &parent.resource),
            ("spec.parentRef.name", &parent.name),
        ] {
            if value.is_empty() {
                errors.push(Error::required(path, ""));
            }
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        if self.spec.parent_ref != old.spec.parent_ref {
            errors.push(Error::invalid(
                "spec.parentRef",
                &self.spec.parent_ref,
                "field is immutable",
            ));
        }
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
    parent_ref: ParentView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ParentView {
    group: String,
    resource: String,
    namespace: String,
    name: String,
}

fn row_cells(object: &Object, _: Timestamp) -> Vec<Cell> {
    let ParentView {
        group,
        resource,
        namespace,
        name,
    } = cells::view::<View>(object).spec.parent_ref;
    let kind = if group.is_empty() {
        resource
    } else {
        format!("{resource}.{group}")
    };
    let parts = [kind.to_lowercase(), namespace, name];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    vec![cells::name(object), cells::or_none(&parts.join("/"))]
}
