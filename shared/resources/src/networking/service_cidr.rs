//! ServiceCIDR: a range of the addresses of Services.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells, meta, names,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{ServiceCIDR, ServiceCIDRStatus};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/servicecidrs",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("CIDRs", "string", "The ranges, at most one a family."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "networking.k8s.io",
        "ServiceCIDR",
        "servicecidrs",
        "servicecidr",
        write::<ServiceCIDR>,
    )
};

impl Kind for ServiceCIDR {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        self.spec.get_or_insert_default();
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(ServiceCIDRStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let ranges = self
            .spec
            .as_ref()
            .and_then(|spec| spec.cidrs.as_deref())
            .unwrap_or_default();
        if ranges.is_empty() {
            let why = "at least one CIDR required";
            errors.push(Error::required("spec.cidrs", why));
        }
        if ranges.len() > 2 {
            let why = "must only hold up to 2 values";
            errors.push(Error::invalid("spec", &self.spec, why));
        }
        let parsed: Vec<_> = ranges.iter().map(|range| names::parse_cidr(range)).collect();
        if let [Some((first, _)), Some((second, _))] = parsed.as_slice()
            && first.is_ipv4() == second.is_ipv4()
        {
            let why =
                "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
            errors.push(Error::invalid("spec", &self.spec, why));
        }
        for (i, range) in ranges.iter().enumerate() {
            meta::invalid(errors, &field::index("spec.cidrs", i), range, names::cidr(range));
        }
    }

    /// A range may only be joined by one of the other family.
    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        let ranges = |object: &Self| {
            object
                .spec
                .clone()
                .and_then(|spec| spec.cidrs)
                .unwrap_or_default()
        };
        let (new, old) = (ranges(self), ranges(old));
        for (i, range) in old.iter().enumerate() {
            if new.get(i) != Some(range) {
                let path = field::index("spec.cidrs", i);
                errors.push(Error::invalid(path, new.get(i), "field is immutable"));
            }
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecView {
    cidrs: Vec<String>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let ranges = cells::view::<View>(object).spec.cidrs;
    vec![
        cells::name(object),
        cells::text(ranges.join(",")),
        cells::age(object, now),
    ]
}
