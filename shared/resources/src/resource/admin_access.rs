//! Devices that others use are given only in namespaces that administrators say so of (KEP-5018).

use super::resource_claim;
use crate::{Row, WriteRequest};
use api::{Gvr, Status, field, field::Error};
use k8s_openapi::api::resource::v1::{DeviceRequestAllocationResult, ResourceClaimSpec};

const LABEL: &str = "resource.kubernetes.io/admin-access";
const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");

/// A new claim, or a template of one, that asks for it.
pub(super) fn admit(spec: &ResourceClaimSpec, row: &Row, request: &WriteRequest<'_>) -> Result<(), Status> {
    let devices = spec.devices.iter();
    let requests = devices.flat_map(|devices| devices.requests.iter().flatten());
    let mut wishes = requests.map(|request| {
        let exact = request.exactly.as_ref();
        exact.is_some_and(|exact| exact.admin_access == Some(true))
    });
    let place = wishes.position(|wish| wish);
    allowed(row, "spec.devices.requests", place, request)
}

/// A status that gives it. What was given once is not asked about again.
pub(super) fn admit_results(
    new: &[DeviceRequestAllocationResult],
    old: &[DeviceRequestAllocationResult],
    request: &WriteRequest<'_>,
) -> Result<(), Status> {
    let given = |results: &[DeviceRequestAllocationResult]| {
        let mut results = results.iter();
        results.position(|result| result.admin_access == Some(true))
    };
    let place = given(new).filter(|_| given(old).is_none());
    let list = "status.allocation.devices.results";
    allowed(&resource_claim::ROW, list, place, request)
}

fn allowed(row: &Row, list: &str, place: Option<usize>, request: &WriteRequest<'_>) -> Result<(), Status> {
    let Some(place) = place else { return Ok(()) };
    let namespace = request.cluster.get(&NAMESPACES, "", request.namespace);
    if namespace.is_some_and(|namespace| namespace.label(LABEL) == Some("true")) {
        return Ok(());
    }
    let path = field::child(&field::index(list, place), "adminAccess");
    let why =
        format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
    let error = Error::forbidden(path, why);
    Err(Status::invalid(row.group, row.kind, request.name, vec![error]))
}
