//! Addresses that were taken for a Service and are not its: a write ended half way.

use super::ADDRESSES;
use crate::views::{SERVICES, Seen, see};
use api::{Gvr, Key, Object};
use client::{Caches, Change};
use jiff::{SignedDuration, Timestamp};
use reconcile::{About, Controller, LastOutcome, Note, Plan, Watch, own_key};
use serde::Deserialize;
use std::time::Duration;

/// Who manages the addresses of Services.
const MANAGER: &str = "ipallocator.k8s.io";
/// How long a Service may take to be written after its address was taken: the longest that a request may.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// The controller.
pub struct AddressController;

/// An address, and what its Service has.
#[derive(Debug)]
pub struct Look {
    address: Seen<View>,
    /// The addresses of the Service; none: there is no such Service.
    service: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct View {
    spec: Spec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    parent_ref: Parent,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Parent {
    group: String,
    resource: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceView {
    spec: ServiceSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    #[serde(rename = "clusterIPs")]
    cluster_ips: Vec<String>,
}

/// Whether the address was taken by an API server.
pub(super) fn ours(address: &Object) -> bool {
    address.label("ipaddress.kubernetes.io/managed-by") == Some(MANAGER)
}

impl Controller for AddressController {
    type Observed = Look;

    fn name(&self) -> &'static str {
        "ipallocator-repair-controller"
    }

    fn primary(&self) -> Gvr {
        ADDRESSES
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(ADDRESSES, own_key), Watch::all(SERVICES, taken_by)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Look> {
        let address: Seen<View> = see(caches.all(&ADDRESSES).get(key)?)?;
        if !ours(&address.object) || address.object.deletion_timestamp().is_some() {
            return None;
        }
        let parent = &address.view.spec.parent_ref;
        let service = caches
            .all(&SERVICES)
            .get(&Key::new(&parent.namespace, &parent.name));
        let service = service.and_then(see::<ServiceView>);
        Some(Look {
            address,
            service: service.map(|service| service.view.spec.cluster_ips),
        })
    }

    fn reconcile(&self, look: &Look, _: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let (object, parent) = (&look.address.object, &look.address.view.spec.parent_ref);
        let (ip, Parent { namespace, name, .. }) = (object.name(), parent);
        if (parent.group.as_str(), parent.resource.as_str()) != ("", "services") {
            let why = format!(
                "IPAddress {ip} appears to have been modified, not referencing a Service {parent:?}: cleaning up"
            );
            clean(&mut plan, object, "IPAddressNotAllocated", why);
            return plan;
        }
        match &look.service {
            Some(ips) if ips.iter().any(|own| own == ip) => {}
            Some(_) => {
                let why = format!(
                    "IPAddress: {ip} for Service {namespace}/{name} has a wrong reference; cleaning up"
                );
                clean(&mut plan, object, "IPAddressWrongReference", why);
            }
            None => {
                let until = object.creation_timestamp().unwrap_or(now) + GRACE;
                if now < until {
                    plan.again_after(Duration::try_from(until - now).unwrap_or_default());
                    return plan;
                }
                let why = format!(
                    "IPAddress: {ip} for Service {namespace}/{name} appears to have leaked: cleaning up"
                );
                clean(&mut plan, object, "IPAddressNotAllocated", why);
            }
        }
        plan
    }
}

fn clean(plan: &mut Plan, address: &Object, reason: &'static str, why: String) {
    plan.event(Note::warning(About::object(address), reason, why));
    plan.delete("clean", &ADDRESSES, address);
}

/// The addresses that were taken for a Service.
fn taken_by(change: &Change, caches: &Caches) -> Vec<Key> {
    let service = change.object();
    let addresses = caches.all(&ADDRESSES).all().into_iter();
    addresses
        .filter_map(see::<View>)
        .filter(|address| {
            let parent = &address.view.spec.parent_ref;
            parent.namespace == service.namespace() && parent.name == service.name()
        })
        .map(|address| address.object.key())
        .collect()
}
