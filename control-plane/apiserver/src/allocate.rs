//! Addresses and ports of Services: two bitmaps, kept in step with the stored Services.

use api::{Object, field};
use component::Random;
use serde::Deserialize;
use std::{
    net::Ipv4Addr,
    sync::{Mutex, PoisonError},
};

/// The range of node ports, as upstream's default.
const PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// An IPv4 network, such as `10.96.0.0/12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    base: u32,
    bits: u8,
}

impl Cidr {
    /// Parses `a.b.c.d/n`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits): (Ipv4Addr, u8) = (address.parse().ok()?, bits.parse().ok()?);
        let mask = if bits == 0 {
            0
        } else {
            u32::MAX.checked_shl(32 - u32::from(bits))?
        };
        (bits <= 32).then_some(Self {
            base: u32::from(address) & mask,
            bits,
        })
    }

    /// Addresses in it, at most 2^20 of which are used, as upstream.
    fn size(self) -> usize {
        1usize << (32 - u32::from(self.bits)).min(20)
    }

    /// The address number `offset`.
    pub fn nth(self, offset: usize) -> Ipv4Addr {
        Ipv4Addr::from(self.base.wrapping_add(u32::try_from(offset).unwrap_or(0)))
    }

    fn offset(self, ip: Ipv4Addr) -> Option<usize> {
        let offset = u32::from(ip).checked_sub(self.base)? as usize;
        // The network and the broadcast address are nobody's.
        (offset > 0 && offset < self.size() - 1).then_some(offset)
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.bits)
    }
}

struct Bitmap {
    words: Vec<u64>,
    size: usize,
}

impl Bitmap {
    fn new(size: usize) -> Self {
        Self {
            words: vec![0; size.div_ceil(64)],
            size,
        }
    }

    fn has(&self, at: usize) -> bool {
        self.words[at / 64] >> (at % 64) & 1 == 1
    }

    /// False when it was taken.
    fn take(&mut self, at: usize) -> bool {
        let free = !self.has(at);
        self.words[at / 64] |= 1 << (at % 64);
        free
    }

    fn release(&mut self, at: usize) {
        self.words[at / 64] &= !(1 << (at % 64));
    }

    /// Takes a free bit in `from..to`, starting the search at random.
    fn take_any(&mut self, from: usize, to: usize, random: &Random) -> Option<usize> {
        let span = to.checked_sub(from).filter(|span| *span > 0)?;
        let start = usize::try_from(random.below(span as u64)).unwrap_or(0);
        let found = (0..span)
            .map(|i| from + (start + i) % span)
            .find(|&at| !self.has(at))?;
        self.take(found);
        Some(found)
    }
}

/// The two bitmaps.
pub struct Allocator {
    cidr: Cidr,
    ips: Mutex<Bitmap>,
    ports: Mutex<Bitmap>,
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
    fn ips(&self) -> impl Iterator<Item = &str> {
        let all = self.spec.cluster_ips.iter().chain([&self.spec.cluster_ip]);
        all.map(String::as_str)
            .filter(|ip| !ip.is_empty() && *ip != "None")
    }

    fn ports(&self) -> impl Iterator<Item = u16> {
        let all = self.spec.ports.iter().map(|port| port.node_port);
        all.chain([self.spec.health_check_node_port])
            .filter(|port| *port != 0)
    }
}

impl Allocator {
    /// All of `cidr` and of the node ports is free.
    pub fn new(cidr: Cidr) -> Self {
        let ports = usize::from(PORTS.end() - PORTS.start()) + 1;
        Self {
            cidr,
            ips: Mutex::new(Bitmap::new(cidr.size())),
            ports: Mutex::new(Bitmap::new(ports)),
        }
    }

    /// The range of addresses.
    pub fn cidr(&self) -> Cidr {
        self.cidr
    }

    /// Follows a Service from `old` to `new`.
    pub fn follow(&self, old: Option<&Object>, new: Option<&Object>) {
        let view = |object: Option<&Object>| {
            object
                .and_then(|o| o.view::<ServiceView>().ok())
                .unwrap_or_default()
        };
        let (old, new) = (view(old), view(new));
        old.ips().for_each(|ip| self.release_ip(ip));
        old.ports().for_each(|port| self.release_port(port));
        for ip in new.ips() {
            if let Some(at) = ip.parse().ok().and_then(|ip| self.cidr.offset(ip)) {
                hold(&self.ips).take(at);
            }
        }
        for port in new.ports().filter(|port| PORTS.contains(port)) {
            hold(&self.ports).take(usize::from(port - PORTS.start()));
        }
    }

    /// Takes `wished`, or any address, from the part of the range that is not kept for wishes first.
    pub fn take_ip(&self, wished: Option<&str>, random: &Random) -> Result<String, field::Error> {
        let refuse = |ip: &str, why: String| {
            let detail = format!("failed to allocate IP {ip}: {why}");
            Err(field::Error::invalid("spec.clusterIPs", [ip], detail))
        };
        let mut ips = hold(&self.ips);
        if let Some(ip) = wished {
            let Some(at) = ip.parse().ok().and_then(|ip| self.cidr.offset(ip)) else {
                let why = format!(
                    "the provided IP ({ip}) is not in the valid range. The range of valid IPs is {}",
                    self.cidr
                );
                return refuse(ip, why);
            };
            if !ips.take(at) {
                return refuse(ip, "provided IP is already allocated".to_owned());
            }
            return Ok(ip.to_owned());
        }
        let last = ips.size - 1;
        let kept = (ips.size / 16).clamp(16, 256).min(last);
        let found = ips
            .take_any(kept, last, random)
            .or_else(|| ips.take_any(1, kept, random));
        match found {
            Some(at) => Ok(self.cidr.nth(at).to_string()),
            None => refuse("", "range is full".to_owned()),
        }
    }

    /// Gives an address back.
    pub fn release_ip(&self, ip: &str) {
        if let Some(at) = ip.parse().ok().and_then(|ip| self.cidr.offset(ip)) {
            hold(&self.ips).release(at);
        }
    }

    /// Takes `wished`, or any port.
    pub fn take_port(&self, wished: Option<u16>, random: &Random) -> Result<u16, field::Error> {
        let mut ports = hold(&self.ports);
        let path = "spec.ports[0].nodePort";
        match wished {
            Some(port) if !PORTS.contains(&port) => {
                let (first, last) = (PORTS.start(), PORTS.end());
                let detail = format!(
                    "provided port is not in the valid range. The range of valid ports is {first}-{last}"
                );
                Err(field::Error::invalid(path, port, detail))
            }
            Some(port) if !ports.take(usize::from(port - PORTS.start())) => Err(field::Error::invalid(
                path,
                port,
                "provided port is already allocated",
            )),
            Some(port) => Ok(port),
            None => {
                let size = ports.size;
                let kept = (size / 32).clamp(16, 128);
                let found = ports
                    .take_any(kept, size, random)
                    .or_else(|| ports.take_any(0, kept, random));
                let full = || field::Error::invalid(path, 0, "failed to allocate a nodePort: range is full");
                let at = found.ok_or_else(full)?;
                Ok(PORTS.start() + u16::try_from(at).unwrap_or(0))
            }
        }
    }

    /// Gives a port back.
    pub fn release_port(&self, port: u16) {
        if PORTS.contains(&port) {
            hold(&self.ports).release(usize::from(port - PORTS.start()));
        }
    }
}

fn hold(bitmap: &Mutex<Bitmap>) -> std::sync::MutexGuard<'_, Bitmap> {
    bitmap.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_once_and_come_back() {
        let allocator = Allocator::new(Cidr::parse("10.96.0.0/30").unwrap());
        let random = Random::seeded(1);
        let first = allocator.take_ip(None, &random).unwrap();
        let second = allocator.take_ip(None, &random).unwrap();
        assert_ne!(first, second);
        assert!(
            allocator
                .take_ip(None, &random)
                .unwrap_err()
                .detail
                .contains("range is full")
        );
        allocator.release_ip(&first);
        assert_eq!(allocator.take_ip(Some(&first), &random).unwrap(), first);
        let taken = allocator.take_ip(Some(&first), &random).unwrap_err();
        assert_eq!(
            taken.detail,
            format!("failed to allocate IP {first}: provided IP is already allocated")
        );
        assert!(allocator.take_ip(Some("10.97.0.1"), &random).is_err());
    }

    #[test]
    fn node_ports_follow_the_stored_services() {
        let allocator = Allocator::new(Cidr::parse("10.96.0.0/12").unwrap());
        let random = Random::seeded(1);
        let text =
            r#"{"metadata":{"name":"a"},"spec":{"clusterIP":"10.96.0.10","ports":[{"nodePort":30080}]}}"#;
        let service = Object::parse(text.into(), 1, &[]).unwrap();
        allocator.follow(None, Some(&service));
        assert!(allocator.take_port(Some(30_080), &random).is_err());
        assert!(allocator.take_ip(Some("10.96.0.10"), &random).is_err());
        allocator.follow(Some(&service), None);
        assert_eq!(allocator.take_port(Some(30_080), &random), Ok(30_080));
        assert!(allocator.take_port(Some(80), &random).is_err());
    }
}
