//! Addresses and networks.

use super::Row;
use crate::{stop::Stop, value::Value};
use std::{fmt, net::IpAddr};

/// A network: an address and how many bits of it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// As it was written, host bits and all.
    pub address: IpAddr,
    /// The length of the prefix.
    pub bits: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Cidr {
    fn parse(text: &str) -> Result<Self, String> {
        let fail = |why: &str| {
            format!(
                "network address parse error during conversion from string: netip.ParsePrefix({text:?}): {why}"
            )
        };
        let (address, bits) = text.rsplit_once('/').ok_or_else(|| fail("no '/'"))?;
        let address = ip(address).map_err(|why| fail(&why))?;
        let number: u8 = bits
            .parse()
            .map_err(|_| fail(&format!("bad bits after slash: {bits:?}")))?;
        if bits.starts_with(['+', '0']) && bits.len() > 1 {
            return Err(fail(&format!("bad bits after slash: {bits:?}")));
        }
        if number > width(address) {
            return Err(fail("prefix length out of range"));
        }
        Ok(Self {
            address,
            bits: number,
        })
    }

    fn masked(self) -> Self {
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        };
        Self { address, ..self }
    }

    fn contains(self, address: IpAddr) -> bool {
        let other = Self {
            address,
            bits: self.bits,
        };
        address.is_ipv4() == self.address.is_ipv4() && other.masked().address == self.masked().address
    }

    fn contains_network(self, other: Self) -> bool {
        other.bits >= self.bits && self.contains(other.address)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Zones and IPv4 in IPv6 are refused.
fn ip(text: &str) -> Result<IpAddr, String> {
    if text.contains('%') {
        return Err(format!("IP Address with zone value is not allowed: {text:?}"));
    }
    let address: IpAddr = text
        .parse()
        .map_err(|_| format!("ParseAddr({text:?}): unable to parse IP"))?;
    match address {
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address is not allowed: {text:?}"))
        }
        address => Ok(address),
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, Stop> {
    ip(text).map_err(|why| format!("IP Address parse error during conversion from string: {why}").into())
}

fn global_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(four) if four.is_broadcast());
    !broadcast
        && !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !link_local(address)
}

fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    }
}

fn link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.octets()[..3] == [224, 0, 0],
        IpAddr::V6(six) => six.segments()[0] & 0xff0f == 0xff02,
    }
}

pub(super) const ROWS: &[Row] = &[
    Row("ip", "string_to_ip", "string->net.IP", |args, _| match args {
        [Value::String(text)] => Ok(Value::Ip(parse_ip(text)?)),
        _ => Err(Stop::OVERLOAD),
    }),
    Row("isIP", "is_ip", "string->bool", |args, _| match args {
        [Value::String(text)] => Ok(Value::Bool(ip(text).is_ok())),
        _ => Err(Stop::OVERLOAD),
    }),
    Row(
        "ip.isCanonical",
        "ip_is_canonical",
        "string->bool",
        |args, _| match args {
            [Value::String(text)] => Ok(Value::Bool(parse_ip(text)?.to_string() == **text)),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(".family", "ip_family", "net.IP->int", |args, _| match args {
        [Value::Ip(address)] => Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 })),
        _ => Err(Stop::OVERLOAD),
    }),
    Row(
        ".isUnspecified",
        "ip_is_unspecified",
        "net.IP->bool",
        |args, _| test(args, |ip| ip.is_unspecified()),
    ),
    Row(".isLoopback", "ip_is_loopback", "net.IP->bool", |args, _| {
        test(args, |ip| ip.is_loopback())
    }),
    Row(
        ".isLinkLocalMulticast",
        "ip_is_link_local_multicast",
        "net.IP->bool",
        |args, _| test(args, link_local_multicast),
    ),
    Row(
        ".isLinkLocalUnicast",
        "ip_is_link_local_unicast",
        "net.IP->bool",
        |args, _| test(args, link_local),
    ),
    Row(
        ".isGlobalUnicast",
        "ip_is_global_unicast",
        "net.IP->bool",
        |args, _| test(args, global_unicast),
    ),
    Row("string", "ip_to_string", "net.IP->string", |args, _| match args {
        [Value::Ip(address)] => Ok(Value::text(address.to_string())),
        _ => Err(Stop::OVERLOAD),
    }),
    Row(
        "string",
        "cidr_to_string",
        "net.CIDR->string",
        |args, _| match args {
            [Value::Cidr(cidr)] => Ok(Value::text(cidr.to_string())),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        "cidr",
        "string_to_cidr",
        "string->net.CIDR",
        |args, _| match args {
            [Value::String(text)] => Ok(Value::Cidr(Cidr::parse(text)?)),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row("isCIDR", "is_cidr", "string->bool", |args, _| match args {
        [Value::String(text)] => Ok(Value::Bool(Cidr::parse(text).is_ok())),
        _ => Err(Stop::OVERLOAD),
    }),
    Row(
        ".containsIP",
        "cidr_contains_ip_string",
        "net.CIDR,string->bool",
        |args, _| match args {
            [Value::Cidr(cidr), Value::String(text)] => Ok(Value::Bool(cidr.contains(parse_ip(text)?))),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".containsIP",
        "cidr_contains_ip_ip",
        "net.CIDR,net.IP->bool",
        |args, _| match args {
            [Value::Cidr(cidr), Value::Ip(address)] => Ok(Value::Bool(cidr.contains(*address))),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".containsCIDR",
        "cidr_contains_cidr_string",
        "net.CIDR,string->bool",
        |args, _| match args {
            [Value::Cidr(cidr), Value::String(text)] => {
                Ok(Value::Bool(cidr.contains_network(Cidr::parse(text)?)))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".containsCIDR",
        "cidr_contains_cidr",
        "net.CIDR,net.CIDR->bool",
        |args, _| match args {
            [Value::Cidr(cidr), Value::Cidr(other)] => Ok(Value::Bool(cidr.contains_network(*other))),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(".ip", "cidr_ip", "net.CIDR->net.IP", |args, _| match args {
        [Value::Cidr(cidr)] => Ok(Value::Ip(cidr.address)),
        _ => Err(Stop::OVERLOAD),
    }),
    Row(
        ".prefixLength",
        "cidr_prefix_length",
        "net.CIDR->int",
        |args, _| match args {
            [Value::Cidr(cidr)] => Ok(Value::Int(cidr.bits.into())),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".masked",
        "cidr_masked",
        "net.CIDR->net.CIDR",
        |args, _| match args {
            [Value::Cidr(cidr)] => Ok(Value::Cidr(cidr.masked())),
            _ => Err(Stop::OVERLOAD),
        },
    ),
];

fn test<'a>(args: &[Value<'a>], holds: fn(IpAddr) -> bool) -> Result<Value<'a>, Stop> {
    match args {
        [Value::Ip(address)] => Ok(Value::Bool(holds(*address))),
        _ => Err(Stop::OVERLOAD),
    }
}
