//! Claims in the store: made before a Service is written, given back when it is gone or was not written.

use super::{Cidr, Picked, ServiceView, ports, repair};
use crate::{
    Server,
    handler::{Call, Commit, Handler, Place, Validation},
    security::User,
};
use api::{Gvr, Key, Object, Status};
use bytes::Bytes;
use client::{DeleteOptions, Recorder};
use etcd::{Durability, Op, RangeRequest, TxnOutcome, TxnRequest};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

const GROUP: &str = "networking.k8s.io";
/// Who manages the objects, as upstream.
pub(crate) const MANAGER: &str = "ipallocator.k8s.io";
/// Tries at the record of ports, which every server changes.
const TRIES: usize = 64;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Address<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: AddressMeta<'a>,
    spec: AddressSpec<'a>,
}

#[derive(Serialize)]
struct AddressMeta<'a> {
    name: String,
    labels: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AddressSpec<'a> {
    parent_ref: Parent<'a>,
}

#[derive(Serialize)]
struct Parent<'a> {
    resource: &'static str,
    namespace: &'a str,
    name: &'a str,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AddressView {
    spec: AddressSpecView,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AddressSpecView {
    parent_ref: ParentView,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ParentView {
    resource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RangeView {
    spec: RangeSpec,
    status: RangeStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RangeSpec {
    cidrs: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RangeStatus {
    conditions: Vec<Condition>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
}

impl RangeView {
    /// A range of which nothing is said is ready: there may be nobody yet to say it.
    fn ready(&self) -> bool {
        let ready = self
            .status
            .conditions
            .iter()
            .find(|condition| condition.r#type == "Ready");
        ready.is_none_or(|condition| condition.status == "True")
    }
}

impl Handler {
    /// The ranges that addresses are taken from now: those of all ready ServiceCIDRs, in the order of their names.
    pub(crate) fn ranges(&self) -> Vec<Cidr> {
        let Some(cache) = self.cache(GROUP, "servicecidrs") else {
            return self.allocator.usual().to_vec();
        };
        let mut ranges: Vec<Cidr> = Vec::new();
        let objects = cache.snapshot().hubs(cache.row, "");
        for object in objects
            .iter()
            .filter(|object| object.deletion_timestamp().is_none())
        {
            let view: RangeView = object.view().unwrap_or_default();
            let parsed = view.spec.cidrs.iter().filter_map(|cidr| Cidr::parse(cidr));
            ranges.extend(parsed.filter(|_| view.ready()));
        }
        ranges
    }

    /// Whether there is an IPAddress of this name.
    pub(crate) fn is_claimed(&self, ip: IpAddr) -> bool {
        let cache = self.cache(GROUP, "ipaddresses");
        cache.is_some_and(|cache| cache.get("", &ip.to_string()).is_some())
    }

    /// Writes or deletes; a Service that goes or changes gives back what it has no more.
    pub(crate) async fn commit(
        &self,
        place: &Place,
        name: &str,
        expect: u64,
        body: Option<Bytes>,
    ) -> Result<Commit, Status> {
        self.commit_with(&[], place, name, expect, body).await
    }

    /// The same with what the write has picked, which is claimed first.
    pub(crate) async fn commit_with(
        &self,
        picked: &[Picked],
        place: &Place,
        name: &str,
        expect: u64,
        body: Option<Bytes>,
    ) -> Result<Commit, Status> {
        let services = place.row().group.is_empty() && place.row().plural == "services";
        if !services {
            return self.write(place, name, expect, body).await;
        }
        let service = Key::new(&place.namespace, name);
        let old = place.cache.get(&place.namespace, name);
        let old = old.filter(|held| held.hub().resource_version() == expect);
        let before = ServiceView::of(old.as_ref().map(|held| held.hub().as_ref())).picked();
        let new = body.clone().and_then(|body| Object::parse(body, 0, &[]).ok());
        let after = ServiceView::of(new.as_ref()).picked();
        if !self.claim(&service, picked).await? {
            return Ok(Commit::Again);
        }
        let committed = self.write(place, name, expect, body).await;
        match &committed {
            Ok(Commit::Done(_)) => {
                let gone: Vec<Picked> = before.into_iter().filter(|one| !after.contains(one)).collect();
                self.give_back(&service, &gone).await;
            }
            // Of what may have been written nothing is given back.
            Err(status) if status.reason == "Timeout" => {}
            _ => self.give_back(&service, picked).await,
        }
        committed
    }

    /// Claims all of `picked`, or nothing: then another server was faster.
    async fn claim(&self, service: &Key, picked: &[Picked]) -> Result<bool, Status> {
        let mut done = Vec::new();
        let ports = ports_of(picked);
        if !ports.is_empty() {
            if !self.change_record(&ports, true).await? {
                return Ok(false);
            }
            done.extend(ports.iter().copied().map(Picked::Port));
        }
        for one in picked {
            let Picked::Ip(ip) = *one else { continue };
            match self.claim_ip(service, ip).await {
                Ok(true) => done.push(*one),
                other => {
                    self.give_back(service, &done).await;
                    return other;
                }
            }
        }
        Ok(true)
    }

    async fn give_back(&self, service: &Key, gone: &[Picked]) {
        let ports = ports_of(gone);
        if !ports.is_empty()
            && let Err(status) = self.change_record(&ports, false).await
        {
            tracing::warn!(%service, %status, "node ports are not given back");
        }
        for one in gone {
            if let Picked::Ip(ip) = *one
                && let Err(status) = self.release_ip(service, ip).await
            {
                tracing::warn!(%service, %ip, %status, "an address is not given back");
            }
        }
    }

    fn address(&self, ip: IpAddr) -> Option<(Place, Call)> {
        let gvr = Gvr::new(GROUP, "v1", "ipaddresses");
        let place = self.places.find(&gvr, "", &ip.to_string(), "").ok()?;
        let user = Arc::new(User::new(
            "system:apiserver",
            &["system:masters", "system:authenticated"],
        ));
        let call = Call {
            attributes: Server::attributes(&user, "create", &place),
            validation: Validation::Ignore,
            field_manager: "kube-apiserver".to_owned(),
            ..Call::default()
        };
        Some((place, call))
    }

    /// Creates the object of an address; false if there is one.
    pub(crate) fn claim_ip<'a>(
        &'a self,
        service: &'a Key,
        ip: IpAddr,
    ) -> BoxFuture<'a, Result<bool, Status>> {
        Box::pin(async move {
            let Some((place, call)) = self.address(ip) else {
                return Ok(true);
            };
            let labels = [
                ("ipaddress.kubernetes.io/ip-family", family(ip)),
                ("ipaddress.kubernetes.io/managed-by", MANAGER),
            ];
            let address = Address {
                api_version: "networking.k8s.io/v1",
                kind: "IPAddress",
                metadata: AddressMeta {
                    name: ip.to_string(),
                    labels: labels.into(),
                },
                spec: AddressSpec {
                    parent_ref: Parent {
                        resource: "services",
                        namespace: &service.namespace,
                        name: &service.name,
                    },
                },
            };
            let body = serde_json::to_vec(&address).map_err(Status::internal)?;
            let place = place.named("", "");
            match self.create(&place, &call, &body).await {
                Ok(_) => Ok(true),
                Err(status) if status.is_already_exists() => Ok(false),
                Err(status) => Err(status),
            }
        })
    }

    /// Deletes the object of an address if it is this Service's.
    fn release_ip<'a>(&'a self, service: &'a Key, ip: IpAddr) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some((place, mut call)) = self.address(ip) else {
                return Ok(());
            };
            let Some(held) = place.cache.get("", &place.name) else {
                return Ok(());
            };
            let parent = held
                .hub()
                .view::<AddressView>()
                .unwrap_or_default()
                .spec
                .parent_ref;
            let ours = (parent.resource.as_str(), &parent.namespace, &parent.name)
                == ("services", &service.namespace, &service.name);
            if !ours {
                return Ok(());
            }
            call.attributes.verb = "delete".to_owned();
            let options = DeleteOptions {
                uid: Some(held.hub().uid().to_owned()),
                ..DeleteOptions::default()
            };
            match self.delete(&place, &call, &options).await {
                Err(status) if !status.is_not_found() && !status.is_conflict() => Err(status),
                _ => Ok(()),
            }
        })
    }

    /// Sets or clears bits in the record of ports; false if one that is to be set is set.
    pub(super) async fn change_record(&self, ports: &[u16], on: bool) -> Result<bool, Status> {
        let allocator = &self.allocator;
        let (first, last) = (*allocator.ports.start(), *allocator.ports.end());
        let at = |port: u16| usize::from(port.saturating_sub(first));
        let range = format!("{first}-{last}");
        let failed = |error| Status::unavailable(format!("the record of node ports: {error}"));
        let _one = allocator.record.lock().await;
        for _ in 0..TRIES {
            let key = Bytes::from_static(ports::KEY.as_bytes());
            let read = self.store.range(RangeRequest {
                start: key.clone(),
                ..RangeRequest::default()
            });
            let read = read.await.map_err(failed)?;
            let stored = read.kvs.first();
            let mut bits = match stored.and_then(|kv| ports::decode(&kv.value, &range)) {
                Some(bits) => bits,
                // There is no record yet: what Services have is what is taken.
                None => self.recorded(first),
            };
            allocator.held().record = bits.clone();
            if on && stored.is_some() && ports.iter().any(|port| bits.has(at(*port))) {
                return Ok(false);
            }
            ports.iter().for_each(|port| bits.set(at(*port), on));
            let request = TxnRequest {
                key,
                expect: Some(stored.map_or(0, |kv| kv.mod_revision)),
                op: Op::Put {
                    value: ports::encode(&bits, &range).into(),
                    lease: 0,
                },
                durability: Durability::Durable,
            };
            if let TxnOutcome::Done(_) = self.store.txn(request).await.map_err(failed)? {
                allocator.held().record = bits;
                return Ok(true);
            }
        }
        Err(failed(etcd::Error::Unavailable(
            "it changes too often".to_owned(),
        )))
    }

    /// The record of ports as it is in the store; none: there is none of this range.
    pub(super) async fn stored_ports(&self) -> Result<Option<ports::Bits>, Status> {
        let (first, last) = (self.allocator.ports.start(), self.allocator.ports.end());
        let read = self.store.range(RangeRequest {
            start: Bytes::from_static(ports::KEY.as_bytes()),
            ..RangeRequest::default()
        });
        let read = read
            .await
            .map_err(|error| Status::unavailable(format!("the record of node ports: {error}")))?;
        let range = format!("{first}-{last}");
        Ok(read.kvs.first().and_then(|kv| ports::decode(&kv.value, &range)))
    }

    /// The ports of all Services.
    fn recorded(&self, first: u16) -> ports::Bits {
        let mut bits = ports::Bits::default();
        if let Some(cache) = self.cache("", "services") {
            for service in cache.snapshot().hubs(cache.row, "") {
                for port in ports_of(&ServiceView::of(Some(&service)).picked()) {
                    bits.set(usize::from(port.saturating_sub(first)), true);
                }
            }
        }
        bits
    }

    /// Creates the objects of addresses that Services have without one: they are older than such objects, or somebody
    /// deleted them, which is told.
    pub(crate) async fn adopt_addresses(&self, tell: Option<&Recorder>) -> Result<(), Status> {
        let Some(cache) = self.cache("", "services") else {
            return Ok(());
        };
        for service in cache.snapshot().hubs(cache.row, "") {
            let key = Key::new(service.namespace(), service.name());
            for picked in ServiceView::of(Some(&service)).picked() {
                let Picked::Ip(ip) = picked else { continue };
                if self.is_claimed(ip) {
                    continue;
                }
                if let Some(recorder) = tell {
                    let why = format!("Cluster IP [{}]: {ip} is not allocated; repairing", family(ip));
                    repair::tell(recorder, &service, "ClusterIPNotAllocated", why);
                }
                if !self.claim_ip(&key, ip).await? {
                    tracing::warn!(service = %key, %ip, "the address belongs to something else");
                }
            }
        }
        Ok(())
    }
}

fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv6() { "IPv6" } else { "IPv4" }
}

/// The ports among what is picked.
pub(super) fn ports_of(picked: &[Picked]) -> Vec<u16> {
    let port = |one: &Picked| match one {
        Picked::Port(port) => Some(*port),
        Picked::Ip(_) => None,
    };
    picked.iter().filter_map(port).collect()
}
