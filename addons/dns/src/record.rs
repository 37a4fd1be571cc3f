//! Records, their data in the wire's form.

use crate::Name;
use std::net::IpAddr;

/// Types of records.
pub mod kind {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Name server.
    pub const NS: u16 = 2;
    /// Alias.
    pub const CNAME: u16 = 5;
    /// Start of authority.
    pub const SOA: u16 = 6;
    /// Name of an address.
    pub const PTR: u16 = 12;
    /// Text.
    pub const TXT: u16 = 16;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// Service: priority, weight, port, host.
    pub const SRV: u16 = 33;
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Whose it is.
    pub name: Name,
    /// One of [`kind`].
    pub kind: u16,
    /// Seconds that it may be kept.
    pub ttl: u32,
    /// Its data in the wire's form.
    pub data: Vec<u8>,
}

impl Record {
    pub(crate) fn address(name: &Name, ttl: u32, address: IpAddr) -> Self {
        let (kind, data) = match address {
            IpAddr::V4(v4) => (kind::A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (kind::AAAA, v6.octets().to_vec()),
        };
        Self {
            name: name.clone(),
            kind,
            ttl,
            data,
        }
    }

    pub(crate) fn of_name(name: &Name, kind: u16, ttl: u32, target: &Name) -> Self {
        Self {
            name: name.clone(),
            kind,
            ttl,
            data: target.wire().to_vec(),
        }
    }

    pub(crate) fn text(name: &Name, ttl: u32, text: &str) -> Self {
        let mut data = vec![text.len().min(255) as u8];
        data.extend(text.bytes().take(255));
        Self {
            name: name.clone(),
            kind: kind::TXT,
            ttl,
            data,
        }
    }

    pub(crate) fn service(name: &Name, ttl: u32, weight: u16, port: u16, host: &Name) -> Self {
        let numbers = [0u16.to_be_bytes(), weight.to_be_bytes(), port.to_be_bytes()].concat();
        Self {
            name: name.clone(),
            kind: kind::SRV,
            ttl,
            data: [&numbers, host.wire()].concat(),
        }
    }

    /// The name that a CNAME, PTR or SRV leads to.
    pub fn target(&self) -> Option<Name> {
        let at = match self.kind {
            kind::SRV => 6,
            kind::CNAME | kind::PTR | kind::NS => 0,
            _ => return None,
        };
        Name::read(self.data.get(at..)?).map(|(name, _)| name)
    }
}
