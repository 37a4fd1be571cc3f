//! Networks.

use std::net::IpAddr;

/// A network of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    base: u128,
    bits: u32,
    v6: bool,
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        // At the top, so that prefixes of both families have as many leading bits as they say.
        IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn leading(number: u128, bits: u32) -> u128 {
    number & !u128::MAX.checked_shr(bits).unwrap_or(0)
}

impl Prefix {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits): (IpAddr, u32) = (address.parse().ok()?, bits.parse().ok()?);
        let most = if address.is_ipv6() { 128 } else { 32 };
        (bits <= most).then(|| Self {
            base: leading(number(address), bits),
            bits,
            v6: address.is_ipv6(),
        })
    }

    pub(super) fn contains(self, ip: IpAddr) -> bool {
        ip.is_ipv6() == self.v6 && leading(number(ip), self.bits) == self.base
    }

    /// Whether all of `other` is in it.
    pub(super) fn covers(self, other: &Self) -> bool {
        self.v6 == other.v6 && self.bits <= other.bits && leading(other.base, self.bits) == self.base
    }

    pub(super) fn overlaps(self, other: &Self) -> bool {
        self.covers(other) || other.covers(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_addresses_and_networks() {
        let prefix = |text| Prefix::parse(text).unwrap();
        assert!(prefix("10.0.0.0/8").contains("10.255.0.1".parse().unwrap()));
        assert!(!prefix("10.0.0.0/8").contains("11.0.0.1".parse().unwrap()));
        assert!(!prefix("0.0.0.0/0").contains("fd00::1".parse().unwrap()));
        assert!(prefix("0.0.0.0/0").covers(&prefix("10.0.0.0/8")));
        assert!(!prefix("::/0").covers(&prefix("10.0.0.0/8")));
        assert!(prefix("10.0.0.0/24").overlaps(&prefix("10.0.0.0/8")));
        assert!(!prefix("10.0.0.0/24").overlaps(&prefix("10.0.1.0/24")));
        assert!(Prefix::parse("10.0.0.0/33").is_none());
    }
}
