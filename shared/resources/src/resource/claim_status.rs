//! The status of a ResourceClaim: what it is allocated, for whom, and what is told of its devices.

use crate::{encode, meta, names, rules};
use api::{field, field::Error};
use k8s_openapi::api::resource::v1::{
    AllocatedDeviceStatus, DeviceRequestAllocationResult, ResourceClaim, ResourceClaimConsumerReference,
    ResourceClaimStatus,
};
use std::collections::BTreeSet;

/// A device by driver, pool and name, and which share of it; no share is empty.
type Device<'a> = [&'a str; 4];

/// The results of the allocation of a claim.
pub(super) fn results(claim: &ResourceClaim) -> &[DeviceRequestAllocationResult] {
    let allocation = claim
        .status
        .as_ref()
        .and_then(|status| status.allocation.as_ref());
    let devices = allocation.and_then(|allocation| allocation.devices.as_ref());
    let results = devices.and_then(|devices| devices.results.as_deref());
    results.unwrap_or_default()
}

fn allocated(claim: &ResourceClaim) -> BTreeSet<Device<'_>> {
    results(claim).iter().map(given).collect()
}

fn given(result: &DeviceRequestAllocationResult) -> Device<'_> {
    let share = result.share_id.as_deref().unwrap_or_default();
    [&result.driver, &result.pool, &result.device, share]
}

fn told(device: &AllocatedDeviceStatus) -> Device<'_> {
    let share = device.share_id.as_deref().unwrap_or_default();
    [&device.driver, &device.pool, &device.device, share]
}

/// Of a device that the claim no longer has, nothing is told: who takes it away need not know of that.
pub(super) fn forget_deallocated(new: &mut ResourceClaim, old: &ResourceClaim) {
    let (was, is) = (allocated(old), allocated(new));
    let gone: BTreeSet<Device<'_>> = was.difference(&is).copied().collect();
    let kept = |device: &AllocatedDeviceStatus| !gone.contains(&told(device));
    let devices = new.status.as_ref().and_then(|status| status.devices.as_ref());
    let devices = devices.map(|devices| devices.iter().filter(|device| kept(device)).cloned().collect());
    if let Some(status) = &mut new.status {
        status.devices = devices;
    }
}

pub(super) fn validate(new: &ResourceClaim, old: &ResourceClaim, errors: &mut Vec<Error>) {
    let none = ResourceClaimStatus::default();
    let (status, was) = (
        new.status.as_ref().unwrap_or(&none),
        old.status.as_ref().unwrap_or(&none),
    );
    let users = status.reserved_for.as_deref().unwrap_or_default();
    reserved(users, errors);
    let known = allocated(new);
    devices(status.devices.as_deref().unwrap_or_default(), &known, errors);
    if !users.is_empty() {
        let before = was.reserved_for.as_deref().unwrap_or_default();
        let joins = users
            .iter()
            .any(|user| !before.iter().any(|known| encode::same(known, user)));
        if status.allocation.is_none() {
            let why = "may not be specified when `allocated` is not set";
            errors.push(Error::forbidden("status.reservedFor", why));
        } else if joins && new.metadata.deletion_timestamp.is_some() {
            let why =
                "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            errors.push(Error::forbidden("status.reservedFor", why));
        }
    }
    if was.allocation.is_some() && status.allocation.is_some() {
        rules::immutable("status.allocation", &status.allocation, &was.allocation, errors);
    } else {
        allocation(new, errors);
    }
}

fn reserved(users: &[ResourceClaimConsumerReference], errors: &mut Vec<Error>) {
    let list = "status.reservedFor";
    if users.len() > 256 {
        return rules::at_most(list, users.len(), 256, errors);
    }
    let mut seen = BTreeSet::new();
    for (i, user) in users.iter().enumerate() {
        let path = field::index(list, i);
        for (name, text) in [
            ("resource", &user.resource),
            ("name", &user.name),
            ("uid", &user.uid),
        ] {
            rules::required(&field::child(&path, name), text, errors);
        }
        if !seen.insert(&user.uid) {
            errors.push(Error::duplicate(path, &user.uid));
        }
    }
}

fn devices(devices: &[AllocatedDeviceStatus], known: &BTreeSet<Device<'_>>, errors: &mut Vec<Error>) {
    let mut seen = BTreeSet::new();
    for (i, device) in devices.iter().enumerate() {
        let path = field::index("status.devices", i);
        let id = told(device);
        names_of(id, &path, errors);
        let text = id.join("/");
        let text = text.trim_end_matches('/');
        if !known.contains(&id) {
            let why = "must be an allocated device in the claim";
            errors.push(Error::invalid(&path, text, why));
        }
        let conditions = device.conditions.as_deref().unwrap_or_default();
        rules::at_most(&field::child(&path, "conditions"), conditions.len(), 8, errors);
        if let Some(data) = &device.data {
            let path = field::child(&path, "data");
            if !data.0.is_object() {
                errors.push(Error::invalid(
                    path,
                    "<value omitted>",
                    "must be a valid JSON object",
                ));
            } else if data.0.to_string().len() > 10 << 10 {
                errors.push(Error::too_long(path, 10 << 10));
            }
        }
        if !seen.insert(id) {
            errors.push(Error::duplicate(path, text));
        }
    }
}

/// A new allocation.
fn allocation(claim: &ResourceClaim, errors: &mut Vec<Error>) {
    let (list, results) = ("status.allocation.devices.results", results(claim));
    if results.len() > 32 {
        return rules::at_most(list, results.len(), 32, errors);
    }
    let requests = requests(claim);
    for (i, result) in results.iter().enumerate() {
        let path = field::index(list, i);
        if !requests.contains(&result.request) {
            let why = "must be the name of a request in the claim or the name of a request and a subrequest separated \
                       by '/'";
            errors.push(Error::invalid(
                field::child(&path, "request"),
                &result.request,
                why,
            ));
        }
        names_of([&result.driver, &result.pool, &result.device, ""], &path, errors);
    }
}

/// What a result may say that it is for.
fn requests(claim: &ResourceClaim) -> BTreeSet<String> {
    let devices = claim.spec.as_ref().and_then(|spec| spec.devices.as_ref());
    let mut known = BTreeSet::new();
    for request in devices
        .iter()
        .flat_map(|devices| devices.requests.iter().flatten())
    {
        let alternatives = request.first_available.iter().flatten();
        known.extend(alternatives.map(|sub| format!("{}/{}", request.name, sub.name)));
        known.insert(request.name.clone());
    }
    known
}

fn names_of([driver, pool, device, _]: Device<'_>, path: &str, errors: &mut Vec<Error>) {
    names::csi_driver(&field::child(path, "driver"), driver, errors);
    let at = field::child(path, "pool");
    rules::required(&at, pool, errors);
    for part in pool.split('/').filter(|_| !pool.is_empty()) {
        meta::invalid(errors, &at, pool, names::dns_subdomain(part));
    }
    let at = field::child(path, "device");
    meta::invalid(errors, &at, device, names::dns_label(device));
}
