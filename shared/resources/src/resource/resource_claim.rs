//! ResourceClaim.

use super::{admin_access, claim_status};
use crate::{
    Cell, Row, STATUS, Version, WriteRequest, cells, meta, names, rules,
    write::{Kind, write},
};
use api::{Object, Status, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::resource::v1::{
    DeviceToleration, ResourceClaim, ResourceClaimSpec, ResourceClaimStatus,
};
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeSet;

pub(crate) static ROW: Row = Row {
    prefix: "/registry/resourceclaims",
    on_demand: &[Version::same("v1beta2")],
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("State", "string", "Whether it is allocated and in use."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        super::GROUP,
        "ResourceClaim",
        "resourceclaims",
        "resourceclaim",
        write::<ResourceClaim>,
    )
};

impl Kind for ResourceClaim {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        defaults(self.spec.get_or_insert_default());
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(ResourceClaimStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
        claim_status::forget_deallocated(self, old);
    }

    fn admit(&mut self, old: Option<&Self>, request: &WriteRequest<'_>) -> Result<(), Status> {
        match (&self.spec, old) {
            (Some(spec), None) => admin_access::admit(spec, &ROW, request),
            _ => Ok(()),
        }
    }

    fn admit_status(&mut self, old: &Self, request: &WriteRequest<'_>) -> Result<(), Status> {
        admin_access::admit_results(claim_status::results(self), claim_status::results(old), request)
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        if let Some(spec) = &self.spec {
            validate(spec, "spec", errors);
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        rules::immutable("spec", &self.spec, &old.spec, errors);
    }

    fn validate_status(&self, old: &Self, errors: &mut Vec<Error>) {
        claim_status::validate(self, old, errors);
    }
}

/// Rules for the spec at `path`, of a claim or of a template of one.
pub(super) fn validate(spec: &ResourceClaimSpec, path: &str, errors: &mut Vec<Error>) {
    let requests = spec
        .devices
        .iter()
        .flat_map(|devices| devices.requests.iter().flatten());
    let list = field::child(path, "devices.requests");
    rules::at_most(&list, requests.clone().count(), 32, errors);
    let mut seen = BTreeSet::new();
    for (i, request) in requests.enumerate() {
        let path = field::index(&list, i);
        let name = field::child(&path, "name");
        if request.name.is_empty() {
            errors.push(Error::required(&name, ""));
        } else {
            meta::invalid(errors, &name, &request.name, names::dns_label(&request.name));
            if !seen.insert(&request.name) {
                errors.push(Error::duplicate(name, &request.name));
            }
        }
        let alternatives = request.first_available.as_deref().unwrap_or_default();
        match (&request.exactly, alternatives.is_empty()) {
            (None, true) => {
                let why = "exactly one of `exactly` or `firstAvailable` is required";
                errors.push(Error::required(&path, why));
            }
            (Some(_), false) => {
                let why =
                    "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
                errors.push(Error::invalid(&path, request, why));
            }
            (Some(exact), true) => {
                let path = field::child(&path, "exactly.deviceClassName");
                rules::required(&path, &exact.device_class_name, errors);
            }
            (None, false) => {
                for (i, sub) in alternatives.iter().enumerate() {
                    let path = field::index(&field::child(&path, "firstAvailable"), i);
                    rules::required(
                        &field::child(&path, "deviceClassName"),
                        &sub.device_class_name,
                        errors,
                    );
                }
            }
        }
    }
}

/// What a claim's author may leave out; a template has it too.
pub(super) fn defaults(spec: &mut ResourceClaimSpec) {
    let requests = spec.devices.get_or_insert_default().requests.iter_mut().flatten();
    for request in requests {
        if let Some(exact) = &mut request.exactly {
            amount(&mut exact.allocation_mode, &mut exact.count);
            tolerate(&mut exact.tolerations);
        }
        for sub in request.first_available.iter_mut().flatten() {
            amount(&mut sub.allocation_mode, &mut sub.count);
            tolerate(&mut sub.tolerations);
        }
    }
}

fn amount(mode: &mut Option<String>, count: &mut Option<i64>) {
    if mode.as_deref().unwrap_or_default().is_empty() {
        *mode = Some("ExactCount".to_owned());
    }
    if mode.as_deref() == Some("ExactCount") && count.unwrap_or_default() == 0 {
        *count = Some(1);
    }
}

fn tolerate(tolerations: &mut Option<Vec<DeviceToleration>>) {
    for toleration in tolerations.iter_mut().flatten() {
        toleration.operator.get_or_insert_with(|| "Equal".to_owned());
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    allocation: Option<IgnoredAny>,
    reserved_for: Vec<IgnoredAny>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let status = cells::view::<View>(object).status;
    let deleted = object.deletion_timestamp().is_some();
    let allocated = status.allocation.is_some();
    let states = [
        (deleted, "deleted"),
        (!allocated && !deleted, "pending"),
        (allocated, "allocated"),
        (allocated && !status.reserved_for.is_empty(), "reserved"),
    ];
    let states: Vec<&str> = states
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, state)| *state)
        .collect();
    vec![
        cells::name(object),
        cells::text(states.join(",")),
        cells::age(object, now),
    ]
}
