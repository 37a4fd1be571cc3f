//! Addresses with prefix lengths.

use std::{fmt, net::IpAddr, str::FromStr};

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    pub address: IpAddr,
    pub prefix: u8,
}

impl Cidr {
    pub fn bits(&self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    fn host_mask(&self) -> u128 {
        let free = u32::from(self.bits() - self.prefix);
        1u128.checked_shl(free).map_or(u128::MAX, |size| size - 1)
    }

    /// The first address of the network, as a number.
    pub fn first(&self) -> u128 {
        number(self.address) & !self.host_mask()
    }

    /// The last address of the network, as a number.
    pub fn last(&self) -> u128 {
        self.first() | self.host_mask()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && (self.first()..=self.last()).contains(&number(address))
    }

    /// The network's own address.
    pub fn network(&self) -> Self {
        Self {
            address: self.at(self.first()),
            prefix: self.prefix,
        }
    }

    /// The address with that number, of this family.
    pub fn at(&self, number: u128) -> IpAddr {
        if self.address.is_ipv4() {
            IpAddr::V4((number as u32).into())
        } else {
            IpAddr::V6(number.into())
        }
    }

    pub fn mask(&self) -> Vec<u8> {
        let mask = !self.host_mask();
        if self.address.is_ipv4() {
            (mask as u32).to_be_bytes().to_vec()
        } else {
            mask.to_be_bytes().to_vec()
        }
    }
}

pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

pub(crate) fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid CIDR address: {text}");
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let cidr = Self {
            address,
            prefix: prefix.parse().map_err(|_| invalid())?,
        };
        if cidr.prefix > cidr.bits() {
            Err(invalid())
        } else {
            Ok(cidr)
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
