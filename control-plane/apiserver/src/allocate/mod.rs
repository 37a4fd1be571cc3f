//! Addresses and node ports of Services.
//!
//! An address is taken by who creates the IPAddress object of its name, a port by who sets its bit in the record of all
//! ports: the store decides between servers. Memory only says what is worth trying: what stored Services have, and what
//! writes under way have picked.

mod claim;
mod ports;
mod range;
mod repair;
#[cfg(test)]
mod stories;

pub use range::Cidr;

use api::Object;
use component::Random;
use ports::Bits;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
};

/// The usual range of node ports, as upstream's.
pub const NODE_PORTS: RangeInclusive<u16> = 30_000..=32_767;

/// What a write has picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Picked {
    /// An address.
    Ip(IpAddr),
    /// A port.
    Port(u16),
}

/// How often each is held: by stored Services, and by writes under way.
#[derive(Default)]
struct Held {
    ips: BTreeMap<IpAddr, u32>,
    ports: BTreeMap<u16, u32>,
    /// The record of ports as it was last seen in the store.
    record: Bits,
}

/// What is known of addresses and ports.
pub struct Allocator {
    usual: Vec<Cidr>,
    ports: RangeInclusive<u16>,
    held: Mutex<Held>,
    /// Held while this server changes the record of ports.
    record: tokio::sync::Mutex<()>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ServiceView {
    spec: SpecView,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SpecView {
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    ports: Vec<PortView>,
    health_check_node_port: u16,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PortView {
    node_port: u16,
}

impl ServiceView {
    fn of(object: Option<&Object>) -> Self {
        object.and_then(|object| object.view().ok()).unwrap_or_default()
    }

    /// What the Service has.
    fn picked(&self) -> Vec<Picked> {
        let ips = self.spec.cluster_ips.iter().chain([&self.spec.cluster_ip]);
        let ips = ips.filter_map(|ip| ip.parse().ok()).map(Picked::Ip);
        let ports = self.spec.ports.iter().map(|port| port.node_port);
        let ports = ports
            .chain([self.spec.health_check_node_port])
            .filter(|port| *port != 0);
        let mut all: Vec<Picked> = Vec::new();
        for one in ips.chain(ports.map(Picked::Port)) {
            if !all.contains(&one) {
                all.push(one);
            }
        }
        all
    }
}

fn count<K: Ord>(held: &mut BTreeMap<K, u32>, key: K, more: bool) {
    if more {
        *held.entry(key).or_default() += 1;
    } else if let Some(number) = held.get_mut(&key) {
        *number -= 1;
        if *number == 0 {
            held.remove(&key);
        }
    }
}

impl Allocator {
    /// Nothing is taken. `usual` are the ranges of a cluster that has no ServiceCIDR, the first of the usual family.
    pub fn new(usual: Vec<Cidr>, ports: RangeInclusive<u16>) -> Self {
        Self {
            usual,
            ports,
            held: Mutex::default(),
            record: tokio::sync::Mutex::default(),
        }
    }

    /// The ranges that the server was started with.
    pub fn usual(&self) -> &[Cidr] {
        &self.usual
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a stored Service or a write under way has the port.
    fn holds(&self, port: u16) -> bool {
        self.held().ports.contains_key(&port)
    }

    fn note(&self, picked: Picked, more: bool) {
        let mut held = self.held();
        match picked {
            Picked::Ip(ip) => count(&mut held.ips, ip, more),
            Picked::Port(port) => count(&mut held.ports, port, more),
        }
    }

    /// Follows a stored Service from `old` to `new`.
    pub fn follow(&self, old: Option<&Object>, new: Option<&Object>) {
        for picked in ServiceView::of(old).picked() {
            self.note(picked, false);
        }
        for picked in ServiceView::of(new).picked() {
            self.note(picked, true);
        }
    }

    /// Picks `wished`, or any address of a family out of `ranges` that nobody has as far as is known; `taken` says
    /// whether there is an object of it.
    pub(crate) fn pick_ip(
        &self,
        ranges: &[Cidr],
        (family, wished): (&str, Option<&str>),
        taken: impl Fn(IpAddr) -> bool,
        random: &Random,
    ) -> Result<IpAddr, String> {
        let mut held = self.held();
        let free = |held: &Held, ip| !held.ips.contains_key(&ip) && !taken(ip);
        let ip = match wished {
            Some(text) => {
                let ip: IpAddr = text
                    .parse()
                    .map_err(|_| format!("failed to parse service IP {text:?}"))?;
                let inside = ranges.iter().find(|range| range.contains(ip));
                let range = inside.ok_or("the provided network does not match the current range")?;
                if !range.offers(ip) {
                    return Err(format!(
                        "the provided IP ({ip}) is not in the valid range. The range of valid IPs is {range}"
                    ));
                }
                Some(ip)
                    .filter(|ip| free(&held, *ip))
                    .ok_or("provided IP is already allocated")?
            }
            None => {
                let mut ranges = ranges.iter().filter(|range| range.family() == family);
                let found = ranges.find_map(|range| range.pick(random, |ip| free(&held, ip)));
                found.ok_or("range is full")?
            }
        };
        count(&mut held.ips, ip, true);
        Ok(ip)
    }

    /// Picks `wished`, or any port.
    pub(crate) fn pick_port(&self, wished: Option<u16>, random: &Random) -> Result<u16, String> {
        let (first, last) = (*self.ports.start(), *self.ports.end());
        let mut held = self.held();
        let free = |held: &Held, port: u16| {
            !held.ports.contains_key(&port) && !held.record.has(usize::from(port - first))
        };
        let port = match wished {
            Some(port) if !self.ports.contains(&port) => {
                return Err(format!(
                    "provided port is not in the valid range. The range of valid ports is {first}-{last}"
                ));
            }
            Some(port) => Some(port)
                .filter(|port| free(&held, *port))
                .ok_or("provided port is already allocated")?,
            None => {
                let size = u64::from(last - first) + 1;
                let kept = ports::kept(size);
                let bands = [(kept, size - kept), (0, kept)];
                let found = bands
                    .into_iter()
                    .filter(|(_, span)| *span > 0)
                    .find_map(|(from, span)| {
                        let start = random.below(span);
                        (0..span)
                            .map(|i| first + u16::try_from(from + (start + i) % span).unwrap_or_default())
                            .find(|port| free(&held, *port))
                    });
                found.ok_or("range is full")?
            }
        };
        count(&mut held.ports, port, true);
        Ok(port)
    }

    /// A write under way is over: what it holds is now its Service's, or nobody's.
    pub(crate) fn over(&self, picked: Picked) {
        self.note(picked, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocator() -> (Allocator, Vec<Cidr>, Random) {
        let ranges = vec![Cidr::parse("10.96.0.0/30").unwrap()];
        (
            Allocator::new(ranges.clone(), NODE_PORTS),
            ranges,
            Random::seeded(1),
        )
    }

    #[test]
    fn addresses_are_picked_once_and_come_back() {
        let (allocator, ranges, random) = allocator();
        let pick = |wished: Option<&str>| allocator.pick_ip(&ranges, ("IPv4", wished), |_| false, &random);
        let (first, second) = (pick(None).unwrap(), pick(None).unwrap());
        assert_ne!(first, second);
        assert_eq!(pick(None).unwrap_err(), "range is full");
        allocator.over(Picked::Ip(first));
        let text = first.to_string();
        assert_eq!(pick(Some(&text)), Ok(first));
        assert_eq!(pick(Some(&text)).unwrap_err(), "provided IP is already allocated");
        assert_eq!(
            pick(Some("10.97.0.1")).unwrap_err(),
            "the provided network does not match the current range"
        );
        assert_eq!(
            pick(Some("10.96.0.3")).unwrap_err(),
            "the provided IP (10.96.0.3) is not in the valid range. The range of valid IPs is 10.96.0.0/30"
        );
    }

    #[test]
    fn addresses_and_node_ports_follow_the_stored_services() {
        let (allocator, ranges, random) = allocator();
        let text =
            r#"{"metadata":{"name":"a"},"spec":{"clusterIP":"10.96.0.2","ports":[{"nodePort":30080}]}}"#;
        let service = Object::parse(text.into(), 1, &[]).unwrap();
        allocator.follow(None, Some(&service));
        let port = |wished| allocator.pick_port(Some(wished), &random);
        assert_eq!(port(30_080).unwrap_err(), "provided port is already allocated");
        let ip = || allocator.pick_ip(&ranges, ("IPv4", Some("10.96.0.2")), |_| false, &random);
        assert!(ip().is_err());
        allocator.follow(Some(&service), None);
        assert!(ip().is_ok());
        assert_eq!(port(30_080), Ok(30_080));
        assert_eq!(
            port(80).unwrap_err(),
            "provided port is not in the valid range. The range of valid ports is 30000-32767"
        );
        // Those at the start of the range are kept for who wishes for one.
        assert!((0..100).all(|_| allocator.pick_port(None, &random).unwrap() >= 30_086));
    }
}
