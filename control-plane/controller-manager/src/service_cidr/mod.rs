//! ServiceCIDRs: ready when they come, and kept while an address would be left without a range
//! (upstream `pkg/controller/servicecidrs`); addresses whose Service is not there
//! (upstream `pkg/registry/core/service/ipallocator/controller`).

mod addresses;
mod prefix;

pub use addresses::AddressController;

use crate::views::{Seen, see};
use addresses::ours;
use api::{Gvr, Key};
use client::{Caches, Change, Patch};
use jiff::{SignedDuration, Timestamp};
use prefix::Prefix;
use reconcile::{Controller, LastOutcome, Plan, Watch, own_key};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, time::Duration};

const RANGES: Gvr = Gvr::new("networking.k8s.io", "v1", "servicecidrs");
const ADDRESSES: Gvr = Gvr::new("networking.k8s.io", "v1", "ipaddresses");
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
/// How long after its deletion a range stays, so that every API server knows that it is going.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// The controller of ranges.
pub struct ServiceCidrController;

/// A range, and whether its addresses would be left without it.
#[derive(Debug)]
pub struct Look {
    range: Seen<View>,
    needed: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct View {
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    cidrs: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Known>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Known {
    r#type: String,
    status: String,
    message: String,
}

impl View {
    fn prefixes(&self) -> Vec<Prefix> {
        self.spec
            .cidrs
            .iter()
            .filter_map(|cidr| Prefix::parse(cidr))
            .collect()
    }
}

/// All ranges, by name.
fn ranges(caches: &Caches) -> Vec<(Key, Vec<Prefix>)> {
    let all = caches.all(&RANGES).all().into_iter();
    all.filter_map(see::<View>)
        .map(|range| (range.object.key(), range.view.prefixes()))
        .collect()
}

impl Controller for ServiceCidrController {
    type Observed = Look;

    fn name(&self) -> &'static str {
        "service-cidr-controller"
    }

    fn primary(&self) -> Gvr {
        RANGES
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(RANGES, overlapping), Watch::all(ADDRESSES, containing)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Look> {
        let range: Seen<View> = see(caches.all(&RANGES).get(key)?)?;
        let going = range.object.deletion_timestamp().is_some();
        let needed = going && needed(caches, key, &range.view.prefixes());
        Some(Look { range, needed })
    }

    fn reconcile(&self, look: &Look, _: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let (object, view) = (&look.range.object, &look.range.view);
        let protected = object.finalizers().any(|name| name == FINALIZER);
        let Some(deleted) = object.deletion_timestamp() else {
            if !protected {
                finalizers(&mut plan, look, true);
            }
            tell(&mut plan, look, Told::READY, now);
            return plan;
        };
        if look.needed {
            tell(&mut plan, look, Told::NEEDED, now);
        } else if now < deleted + GRACE {
            let left = Duration::try_from(deleted + GRACE - now).unwrap_or_default();
            plan.again_after(left);
        } else if protected {
            tracing::debug!(range = %object.key(), cidrs = ?view.spec.cidrs, "no address needs it");
            finalizers(&mut plan, look, false);
        }
        plan
    }
}

/// Whether an address would be left without a range.
fn needed(caches: &Caches, key: &Key, prefixes: &[Prefix]) -> bool {
    let all = ranges(caches);
    let others = || {
        all.iter()
            .filter(|(other, _)| other != key)
            .flat_map(|(_, prefixes)| prefixes)
    };
    let inside = |prefix: &Prefix| others().any(|other| other.covers(prefix));
    if prefixes.iter().all(inside) {
        return false;
    }
    let addresses = caches.all(&ADDRESSES).all();
    let addresses = addresses.iter().filter(|address| ours(address));
    let mut ips = addresses.filter_map(|address| address.name().parse::<IpAddr>().ok());
    ips.any(|ip| prefixes.iter().any(|own| own.contains(ip)) && !others().any(|other| other.contains(ip)))
}

/// The range itself, and those that it touches.
fn overlapping(change: &Change, caches: &Caches) -> Vec<Key> {
    let own = see::<View>(change.object().clone()).map(|range| range.view.prefixes());
    let own = own.unwrap_or_default();
    let touched = |prefixes: &[Prefix]| prefixes.iter().any(|one| own.iter().any(|own| own.overlaps(one)));
    let others = ranges(caches)
        .into_iter()
        .filter(|(_, prefixes)| touched(prefixes));
    let mut keys: Vec<Key> = others.map(|(key, _)| key).collect();
    keys.extend(own_key(change, caches));
    keys.dedup();
    keys
}

/// The ranges that an address is in.
fn containing(change: &Change, caches: &Caches) -> Vec<Key> {
    let address = change.object();
    let Some(ip) = address.name().parse::<IpAddr>().ok().filter(|_| ours(address)) else {
        return Vec::new();
    };
    let inside = |prefixes: &[Prefix]| prefixes.iter().any(|prefix| prefix.contains(ip));
    let found = ranges(caches)
        .into_iter()
        .filter(|(_, prefixes)| inside(prefixes));
    found.map(|(key, _)| key).collect()
}

/// What the condition `Ready` says.
#[derive(Clone, Copy)]
struct Told {
    status: &'static str,
    reason: &'static str,
    message: &'static str,
}

impl Told {
    const READY: Self = Self {
        status: "True",
        reason: "",
        message: "Kubernetes Service CIDR is ready",
    };
    const NEEDED: Self = Self {
        status: "False",
        reason: "Terminating",
        message: "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
    };
}

#[derive(Serialize)]
struct StatusPatch {
    metadata: PatchMeta<'static>,
    status: Conditions,
}

#[derive(Serialize)]
struct Conditions {
    conditions: [Condition; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: &'static str,
    status: &'static str,
    reason: &'static str,
    message: &'static str,
    last_transition_time: String,
}

fn tell(plan: &mut Plan, look: &Look, told: Told, now: Timestamp) {
    let object = &look.range.object;
    let known = look
        .range
        .view
        .status
        .conditions
        .iter()
        .find(|known| known.r#type == "Ready");
    // Who made a range ready has said so in words of its own.
    let same = |known: &Known| {
        known.status == told.status && (known.message == told.message || told.status == "True")
    };
    if known.is_some_and(same) {
        return;
    }
    let condition = Condition {
        r#type: "Ready",
        status: told.status,
        reason: told.reason,
        message: told.message,
        last_transition_time: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    };
    let patch = StatusPatch {
        metadata: PatchMeta { finalizers: None },
        status: Conditions {
            conditions: [condition],
        },
    };
    plan.patch("ready", &RANGES, &object.key(), "status", Patch::Merge, &patch);
}

#[derive(Serialize)]
struct FinalizersPatch<'a> {
    metadata: PatchMeta<'a>,
}

#[derive(Serialize)]
struct PatchMeta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    finalizers: Option<Vec<&'a str>>,
}

/// Adds or takes away the finalizer.
fn finalizers(plan: &mut Plan, look: &Look, protect: bool) {
    let object = &look.range.object;
    let others = object.finalizers().filter(|name| *name != FINALIZER);
    let patch = FinalizersPatch {
        metadata: PatchMeta {
            finalizers: Some(others.chain(protect.then_some(FINALIZER)).collect()),
        },
    };
    plan.patch("protect", &RANGES, &object.key(), "", Patch::Merge, &patch);
}
