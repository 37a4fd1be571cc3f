//! A range of addresses, of either family, and the order in which they are handed out.

use component::Random;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network, such as `10.96.0.0/12` or `fd00::/108`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    base: u128,
    bits: u8,
    v6: bool,
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

impl Cidr {
    /// Parses `ADDRESS/BITS`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.trim().split_once('/')?;
        let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
        let v6 = address.is_ipv6();
        let width = if v6 { 128 } else { 32 };
        let free = u32::from(u8::checked_sub(width, bits)?);
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        Some(Self {
            base: number(address) & mask,
            bits,
            v6,
        })
    }

    /// `IPv4` or `IPv6`.
    pub fn family(self) -> &'static str {
        if self.v6 { "IPv6" } else { "IPv4" }
    }

    fn address(self, number: u128) -> IpAddr {
        if self.v6 {
            Ipv6Addr::from(number).into()
        } else {
            Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into()
        }
    }

    fn size(self) -> u128 {
        let width = if self.v6 { 128 } else { 32 };
        1u128
            .checked_shl(width - u32::from(self.bits))
            .unwrap_or(u128::MAX)
    }

    /// The first and the last address that may be taken: not the network's own, nor IPv4's broadcast.
    fn bounds(self) -> Option<(u128, u128)> {
        let last = self.base + (self.size() - 1) - u128::from(!self.v6);
        (self.base < last).then_some((self.base + 1, last))
    }

    /// The address number `offset`.
    pub fn nth(self, offset: u128) -> IpAddr {
        self.address(self.base.saturating_add(offset))
    }

    /// Whether the address is in the network.
    pub fn contains(self, ip: IpAddr) -> bool {
        ip.is_ipv6() == self.v6
            && number(ip)
                .checked_sub(self.base)
                .is_some_and(|at| at < self.size())
    }

    /// Whether the address may be taken.
    pub fn offers(self, ip: IpAddr) -> bool {
        let inside = |(first, last)| (first..=last).contains(&number(ip));
        self.contains(ip) && self.bounds().is_some_and(inside)
    }

    /// How many addresses at the start are kept for those who wish for one.
    fn kept(self) -> u128 {
        match self.size() {
            size if size <= 16 => 0,
            size => (size / 16).clamp(16, 256),
        }
    }

    /// A free address: from a random place of the upper band on, then of the band that is kept.
    pub fn pick(self, random: &Random, free: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let (first, last) = self.bounds()?;
        let middle = first + self.kept();
        let upper = (middle <= last).then(|| (middle, last - middle + 1));
        let lower = (middle > first).then(|| (first, middle.min(last + 1) - first));
        let bands = [upper, lower].into_iter().flatten();
        bands
            .filter_map(|(from, span)| {
                let start = u128::from(random.below(u64::try_from(span).unwrap_or(u64::MAX)));
                let mut addresses = (0..span).map(|i| self.address(from + (start + i) % span));
                addresses.find(|ip| free(*ip))
            })
            .next()
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address(self.base), self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_range_is_read_and_bounded() {
        let range = Cidr::parse("10.96.3.4/30").unwrap();
        assert_eq!(range.to_string(), "10.96.3.4/30");
        assert_eq!(Cidr::parse("10.96.3.7/30"), Some(range));
        let offered = |cidr: Cidr, ip: &str| cidr.offers(ip.parse().unwrap());
        assert!(offered(range, "10.96.3.5") && offered(range, "10.96.3.6"));
        assert!(!offered(range, "10.96.3.4") && !offered(range, "10.96.3.7") && !offered(range, "fd00::1"));
        let six = Cidr::parse("fd00::/108").unwrap();
        assert!(offered(six, "fd00::f:ffff") && !offered(six, "fd00::") && !offered(six, "fd00::10:0"));
        assert!(Cidr::parse("10.0.0.0/33").is_none() && Cidr::parse("10.0.0.0").is_none());
        assert!(Cidr::parse("::/0").is_some() && Cidr::parse("10.0.0.1/32").unwrap().bounds().is_none());
    }

    #[test]
    fn the_upper_band_is_handed_out_first_and_each_address_once() {
        let (range, random) = (Cidr::parse("10.0.0.0/24").unwrap(), Random::seeded(1));
        let mut taken = BTreeSet::new();
        let mut order = Vec::new();
        while let Some(ip) = range.pick(&random, |ip| !taken.contains(&ip)) {
            taken.insert(ip);
            order.push(ip);
        }
        // Sixteen are kept, of 254.
        let kept = |ip: &IpAddr| number(*ip) <= number("10.0.0.16".parse().unwrap());
        assert_eq!(order.len(), 254);
        assert!(order[..238].iter().all(|ip| !kept(ip)) && order[238..].iter().all(kept));
        let small = Cidr::parse("10.0.0.0/28").unwrap();
        assert_eq!(small.kept(), 0);
    }
}
