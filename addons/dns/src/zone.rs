//! The cluster's zone: the names that Services and EndpointSlices have, kept current by one change after the other.
//! Names and records follow the Kubernetes DNS specification 1.1.0.

use crate::{Name, Record, kind};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Seconds that records may be kept, as CoreDNS' default.
pub const TTL: u32 = 5;
const SPECIFICATION: &str = "1.1.0";
const REFRESH: u32 = 7200;
const RETRY: u32 = 1800;
const EXPIRE: u32 = 86400;

/// Namespace and name.
pub type ObjectName = (String, String);

/// What the zone knows of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Cluster addresses; none: a headless service, its endpoints stand for it.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<IpAddr>,
    /// Of type ExternalName: the name that it is an alias of.
    pub external_name: String,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Endpoints have names before they are ready.
    pub publish_not_ready: bool,
}

/// A port of a Service or slice.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Port {
    /// Its name; empty: it has none.
    pub name: String,
    /// Its protocol, such as `TCP`.
    pub protocol: String,
    /// Its number.
    pub port: u16,
}

/// What the zone knows of an EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Slice {
    /// Name of its Service, in the same namespace.
    pub service: String,
    /// Ports.
    pub ports: Vec<Port>,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// An endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its host name, if it has one.
    pub hostname: String,
    /// It takes connections.
    pub ready: bool,
}

/// The zone.
#[derive(Clone, Debug)]
pub struct Zone {
    domain: Name,
    serial: u32,
    namespaces: BTreeSet<String>,
    services: BTreeMap<ObjectName, Service>,
    slices: BTreeMap<ObjectName, Slice>,
    /// By [`Name::key`]: the records of a name, each with the Service that it comes from.
    nodes: BTreeMap<Vec<u8>, Vec<(ObjectName, Record)>>,
    /// The keys at which a Service has records.
    written: BTreeMap<ObjectName, BTreeSet<Vec<u8>>>,
}

impl Zone {
    /// An empty zone of `domain` (`cluster.local`), whose name server has these addresses.
    pub fn new(domain: &str, servers: &[IpAddr]) -> Option<Self> {
        let name = Name::new(domain)?;
        let mut zone = Self {
            domain: name.clone(),
            serial: 1,
            namespaces: BTreeSet::new(),
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            nodes: BTreeMap::new(),
            written: BTreeMap::new(),
        };
        let server = Name::new(&format!("ns.dns.{domain}"))?;
        let version = Name::new(&format!("dns-version.{domain}"))?;
        let mut records = vec![
            Record::text(&version, TTL, SPECIFICATION),
            Record::of_name(&name, kind::NS, TTL, &server),
            zone.soa(),
        ];
        records.extend(
            servers
                .iter()
                .map(|address| Record::address(&server, TTL, *address)),
        );
        zone.write(&ObjectName::default(), records);
        Some(zone)
    }

    /// The zone's name.
    pub fn domain(&self) -> &Name {
        &self.domain
    }

    /// Its start of authority.
    pub fn soa(&self) -> Record {
        let below = |label: &str| {
            Name::new(&format!("{label}.{}", self.domain)).unwrap_or_else(|| self.domain.clone())
        };
        let mut data = [below("ns.dns").wire(), below("hostmaster").wire()].concat();
        for number in [self.serial, REFRESH, RETRY, EXPIRE, TTL] {
            data.extend(number.to_be_bytes());
        }
        Record {
            name: self.domain.clone(),
            kind: kind::SOA,
            ttl: TTL,
            data,
        }
    }

    /// All records of a name.
    pub fn records(&self, name: &Name) -> Vec<Record> {
        if *name == self.domain {
            // The SOA has the number of the last change.
            let others = self.at(name).filter(|record| record.kind != kind::SOA).cloned();
            return std::iter::once(self.soa()).chain(others).collect();
        }
        match self.pod(name) {
            Some((_, address)) => vec![Record::address(name, TTL, address)],
            None => self.at(name).cloned().collect(),
        }
    }

    fn at(&self, name: &Name) -> impl Iterator<Item = &Record> {
        self.nodes
            .get(&name.key())
            .into_iter()
            .flatten()
            .map(|(_, record)| record)
    }

    /// Whether there is such a name, with records or with names below it.
    pub fn exists(&self, name: &Name) -> bool {
        let key = name.key();
        let below = self
            .nodes
            .range(key.clone()..)
            .next()
            .is_some_and(|(other, _)| other.starts_with(&key));
        below || self.pod(name).is_some() || self.is_namespace(name)
    }

    /// `svc`, `pod` and the names of namespaces below them are there without services too.
    fn is_namespace(&self, name: &Name) -> bool {
        let Some(labels) = self.labels_below(name) else {
            return false;
        };
        match labels.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["svc" | "pod"] => true,
            [namespace, "svc" | "pod"] => self.namespaces.contains(*namespace),
            _ => false,
        }
    }

    fn labels_below(&self, name: &Name) -> Option<Vec<String>> {
        let all: Vec<String> = name
            .labels()
            .map(|label| String::from_utf8_lossy(label).into_owned())
            .collect();
        let count = all.len().checked_sub(self.domain.labels().count())?;
        name.is_within(&self.domain).then(|| all[..count].to_vec())
    }

    /// `10-244-0-5.NAMESPACE.pod`: the address that it says, as CoreDNS' `pods insecure`.
    fn pod(&self, name: &Name) -> Option<(String, IpAddr)> {
        let labels = self.labels_below(name)?;
        let [address, namespace, pod] = labels.as_slice() else {
            return None;
        };
        if pod != "pod" || !self.namespaces.contains(namespace) {
            return None;
        }
        let v4 = address.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
        let address = v4
            .or_else(|_| address.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6))
            .ok()?;
        Some((namespace.clone(), address))
    }

    /// A namespace came or went.
    pub fn set_namespace(&mut self, name: &str, there: bool) {
        if there {
            self.namespaces.insert(name.to_owned());
        } else {
            self.namespaces.remove(name);
        }
        self.serial = self.serial.wrapping_add(1);
    }

    /// A Service came, changed, or went.
    pub fn set_service(&mut self, name: &ObjectName, service: Option<Service>) {
        match service {
            Some(service) => self.services.insert(name.clone(), service),
            None => self.services.remove(name),
        };
        self.renew(name);
    }

    /// An EndpointSlice came, changed, or went. `name` is its own.
    pub fn set_slice(&mut self, name: &ObjectName, slice: Option<Slice>) {
        let new = slice.as_ref().map(|slice| slice.service.clone());
        let old = match slice {
            Some(slice) => self.slices.insert(name.clone(), slice),
            None => self.slices.remove(name),
        };
        let services: BTreeSet<String> = new.into_iter().chain(old.map(|slice| slice.service)).collect();
        for service in services {
            self.renew(&(name.0.clone(), service));
        }
    }

    fn renew(&mut self, name: &ObjectName) {
        let records = match self.services.get(name) {
            Some(service) => self.records_of(name, service),
            None => Vec::new(),
        };
        self.write(name, records);
        self.serial = self.serial.wrapping_add(1);
    }

    /// Replaces all records that come from `owner`.
    fn write(&mut self, owner: &ObjectName, records: Vec<Record>) {
        for key in self.written.remove(owner).unwrap_or_default() {
            if let Some(node) = self.nodes.get_mut(&key) {
                node.retain(|(other, _)| other != owner);
                if node.is_empty() {
                    self.nodes.remove(&key);
                }
            }
        }
        let mut keys = BTreeSet::new();
        for record in records {
            let key = record.name.key();
            let node = self.nodes.entry(key.clone()).or_default();
            if !node.iter().any(|(_, other)| *other == record) {
                node.push((owner.clone(), record));
            }
            keys.insert(key);
        }
        if !keys.is_empty() {
            self.written.insert(owner.clone(), keys);
        }
    }

    fn records_of(&self, (namespace, name): &ObjectName, service: &Service) -> Vec<Record> {
        let Some(own) = Name::new(&format!("{name}.{namespace}.svc.{}", self.domain)) else {
            return Vec::new();
        };
        if !service.external_name.is_empty() {
            let target = Name::new(&service.external_name);
            return target
                .map(|target| Record::of_name(&own, kind::CNAME, TTL, &target))
                .into_iter()
                .collect();
        }
        let mut records: Vec<Record> = Vec::new();
        if service.cluster_ips.is_empty() {
            self.headless(namespace, name, service, &own, &mut records);
        } else {
            for address in &service.cluster_ips {
                records.push(Record::address(&own, TTL, *address));
                records.extend(reverse(*address).map(|r| Record::of_name(&r, kind::PTR, TTL, &own)));
            }
            for port in &service.ports {
                add_port(&own, port, &own, &mut records);
            }
        }
        share_weight(&mut records);
        records
    }

    /// The endpoints of a service without cluster address, by their own names and as the service.
    fn headless(
        &self,
        namespace: &str,
        name: &str,
        service: &Service,
        own: &Name,
        records: &mut Vec<Record>,
    ) {
        let all = self.slices.range((namespace.to_owned(), String::new())..);
        let slices = all
            .take_while(|((ns, _), _)| ns == namespace)
            .filter(|(_, slice)| slice.service == name);
        for (_, slice) in slices {
            for endpoint in slice
                .endpoints
                .iter()
                .filter(|e| e.ready || service.publish_not_ready)
            {
                for address in &endpoint.addresses {
                    let label = match endpoint.hostname.as_str() {
                        "" => address.to_string().replace(['.', ':'], "-"),
                        hostname => hostname.to_owned(),
                    };
                    let Some(host) = Name::new(&format!("{label}.{own}")) else {
                        continue;
                    };
                    records.push(Record::address(own, TTL, *address));
                    records.push(Record::address(&host, TTL, *address));
                    records.extend(reverse(*address).map(|r| Record::of_name(&r, kind::PTR, TTL, &host)));
                    for port in &slice.ports {
                        add_port(own, port, &host, records);
                    }
                }
            }
        }
    }
}

/// SRV records of the service's own name and of `_port._protocol` below it.
fn add_port(own: &Name, port: &Port, host: &Name, records: &mut Vec<Record>) {
    records.push(Record::service(own, TTL, 0, port.port, host));
    if !port.name.is_empty() {
        let name = Name::new(&format!("_{}._{}.{own}", port.name, port.protocol.to_lowercase()));
        records.extend(name.map(|name| Record::service(&name, TTL, 0, port.port, host)));
    }
}

/// Gives the SRV records of each name an equal share of 100.
fn share_weight(records: &mut Vec<Record>) {
    records.sort();
    records.dedup();
    let mut counts: BTreeMap<Name, u16> = BTreeMap::new();
    for record in records.iter().filter(|record| record.kind == kind::SRV) {
        *counts.entry(record.name.clone()).or_default() += 1;
    }
    for record in records.iter_mut().filter(|record| record.kind == kind::SRV) {
        let weight = 100 / counts.get(&record.name).copied().unwrap_or(1).clamp(1, 100);
        record.data[2..4].copy_from_slice(&weight.to_be_bytes());
    }
}

/// The name under which an address's own name is found.
fn reverse(address: IpAddr) -> Option<Name> {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            Name::new(&format!("{d}.{c}.{b}.{a}.in-addr.arpa"))
        }
        IpAddr::V6(v6) => {
            let digits: Vec<String> = v6
                .octets()
                .iter()
                .rev()
                .flat_map(|byte| [format!("{:x}", byte & 15), format!("{:x}", byte >> 4)])
                .collect();
            Name::new(&format!("{}.ip6.arpa", digits.join(".")))
        }
    }
}
