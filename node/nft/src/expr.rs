//! Rule expressions: small instructions over sixteen registers of four bytes.

use crate::{
    attr::Attrs,
    batch::{Data, Family},
};

/// A register of four bytes, 0 to 15; longer values take the following ones too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg(pub u8);

impl Reg {
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }
}

/// Packet facts outside its bytes.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Meta {
    /// The packet's mark.
    Mark = 3,
    /// Name of the interface it goes out by.
    OutputName = 7,
    /// Address family: 2 is IPv4, 10 is IPv6.
    Family = 15,
    /// Transport protocol.
    L4Protocol = 16,
}

/// Facts of the tracked connection.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum CtKey {
    /// State bits: 2 established, 4 related, 8 new.
    State = 0,
    /// Status bits: 16 SNAT, 32 DNAT.
    Status = 2,
}

/// Where packet bytes are taken from.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Payload {
    /// The IP header.
    Network = 1,
    /// The TCP or UDP header.
    Transport = 2,
}

/// How values compare.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Compare {
    /// The rule goes on when equal.
    Equal = 0,
    /// The rule goes on when not equal.
    NotEqual = 1,
}

/// What a rule does to a set.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum DynsetOp {
    /// Adds the element or prolongs it.
    Update = 1,
    /// Removes the element.
    Delete = 2,
}

/// How a packet is refused.
#[derive(Clone, Copy, Debug)]
pub enum Reject {
    /// TCP reset.
    TcpReset,
    /// ICMP (or ICMPv6) port unreachable.
    PortUnreachable,
}

/// One expression.
#[derive(Clone, Debug)]
pub enum Expr {
    /// Loads packet bytes.
    Payload {
        /// Header.
        base: Payload,
        /// First byte.
        offset: u32,
        /// How many.
        length: u32,
        /// Into.
        to: Reg,
    },
    /// Loads a packet fact.
    Meta(Meta, Reg),
    /// Writes a packet fact.
    SetMeta(Meta, Reg),
    /// Loads a fact of the connection.
    Ct(CtKey, Reg),
    /// Goes on if the register compares so.
    Cmp(Reg, Compare, Vec<u8>),
    /// `to = (from & mask) ^ xor`.
    Bitwise {
        /// Source.
        from: Reg,
        /// Destination.
        to: Reg,
        /// And.
        mask: Vec<u8>,
        /// Exclusive or.
        xor: Vec<u8>,
    },
    /// Loads a constant.
    Load(Reg, Vec<u8>),
    /// Ends the rule so.
    Verdict(crate::Verdict),
    /// Goes on if the set has the key (or has it not).
    Contains {
        /// Set.
        set: String,
        /// First register of the key.
        key: Reg,
        /// Go on if it has it not.
        invert: bool,
    },
    /// Loads the map's value of the key, or does the rule's end if there is none.
    Map {
        /// Map.
        map: String,
        /// First register of the key.
        key: Reg,
        /// First register of the value.
        to: Reg,
    },
    /// Follows the verdict map's verdict of the key.
    VerdictMap {
        /// Map.
        map: String,
        /// First register of the key.
        key: Reg,
    },
    /// Changes a set.
    Dynset {
        /// Set.
        set: String,
        /// How.
        op: DynsetOp,
        /// First register of the key.
        key: Reg,
        /// First register of the value, for a map.
        data: Option<Reg>,
        /// How long the element lives, in milliseconds.
        timeout: Option<u64>,
    },
    /// Loads a random number below the modulus, in host byte order.
    Random {
        /// Below.
        modulus: u32,
        /// Into.
        to: Reg,
    },
    /// Loads the type of the destination address (2: local), in host byte order.
    DestinationType(Reg),
    /// Destination NAT to the address, and to the port, in registers.
    Dnat {
        /// Family of the address.
        family: Family,
        /// Address.
        address: Reg,
        /// Port.
        port: Reg,
    },
    /// Source NAT to the outgoing interface's address.
    Masquerade {
        /// With fully random source ports.
        random: bool,
    },
    /// Refuses.
    Reject(Reject, Family),
    /// Counts packets.
    Counter,
}

const ADDRTYPE: u32 = 3;
const FIB_DADDR: u32 = 2;
const NUMGEN_RANDOM: u32 = 1;
const DNAT: u32 = 1;
const PROTO_SPECIFIED: u32 = 2;
const RANDOM_FULLY: u32 = 16;

impl Expr {
    fn name(&self) -> &'static str {
        match self {
            Expr::Payload { .. } => "payload",
            Expr::Meta(..) | Expr::SetMeta(..) => "meta",
            Expr::Ct(..) => "ct",
            Expr::Cmp(..) => "cmp",
            Expr::Bitwise { .. } => "bitwise",
            Expr::Load(..) | Expr::Verdict(_) => "immediate",
            Expr::Contains { .. } | Expr::Map { .. } | Expr::VerdictMap { .. } => "lookup",
            Expr::Dynset { .. } => "dynset",
            Expr::Random { .. } => "numgen",
            Expr::DestinationType(_) => "fib",
            Expr::Dnat { .. } => "nat",
            Expr::Masquerade { .. } => "masq",
            Expr::Reject(..) => "reject",
            Expr::Counter => "counter",
        }
    }

    pub(crate) fn encode(&self, list: &mut Attrs<'_>) {
        list.nested(1, |element| {
            element.text(1, self.name());
            element.nested(2, |a| self.attributes(a));
        });
    }

    fn attributes(&self, a: &mut Attrs<'_>) {
        match self {
            Expr::Payload {
                base,
                offset,
                length,
                to,
            } => {
                a.u32(1, to.number())
                    .u32(2, *base as u32)
                    .u32(3, *offset)
                    .u32(4, *length);
            }
            Expr::Meta(key, to) => {
                a.u32(1, to.number()).u32(2, *key as u32);
            }
            Expr::SetMeta(key, from) => {
                a.u32(2, *key as u32).u32(3, from.number());
            }
            Expr::Ct(key, to) => {
                a.u32(1, to.number()).u32(2, *key as u32);
            }
            Expr::Cmp(reg, compare, value) => {
                a.u32(1, reg.number()).u32(2, *compare as u32);
                Data::Value(value.clone()).encode(3, a);
            }
            Expr::Bitwise { from, to, mask, xor } => {
                a.u32(1, from.number())
                    .u32(2, to.number())
                    .u32(3, mask.len() as u32);
                Data::Value(mask.clone()).encode(4, a);
                Data::Value(xor.clone()).encode(5, a);
            }
            Expr::Load(to, value) => {
                a.u32(1, to.number());
                Data::Value(value.clone()).encode(2, a);
            }
            Expr::Verdict(verdict) => {
                a.u32(1, 0);
                Data::Verdict(verdict.clone()).encode(2, a);
            }
            Expr::Contains { set, key, invert } => {
                a.text(1, set).u32(2, key.number()).u32(5, u32::from(*invert));
            }
            Expr::Map { map, key, to } => {
                a.text(1, map).u32(2, key.number()).u32(3, to.number());
            }
            Expr::VerdictMap { map, key } => {
                a.text(1, map).u32(2, key.number()).u32(3, 0);
            }
            other => other.more_attributes(a),
        }
    }

    fn more_attributes(&self, a: &mut Attrs<'_>) {
        match self {
            Expr::Dynset {
                set,
                op,
                key,
                data,
                timeout,
            } => {
                a.text(1, set).u32(3, *op as u32).u32(4, key.number());
                if let Some(data) = data {
                    a.u32(5, data.number());
                }
                if let Some(timeout) = timeout {
                    a.u64(6, *timeout);
                }
            }
            Expr::Random { modulus, to } => {
                a.u32(1, to.number()).u32(2, *modulus).u32(3, NUMGEN_RANDOM);
            }
            Expr::DestinationType(to) => {
                a.u32(1, to.number()).u32(2, ADDRTYPE).u32(3, FIB_DADDR);
            }
            Expr::Dnat {
                family,
                address,
                port,
            } => {
                a.u32(1, DNAT).u32(2, *family as u32).u32(3, address.number());
                a.u32(5, port.number()).u32(7, PROTO_SPECIFIED);
            }
            Expr::Masquerade { random } => {
                a.u32(1, if *random { RANDOM_FULLY } else { 0 });
            }
            Expr::Reject(how, family) => {
                let (kind, code) = match (how, family) {
                    (Reject::TcpReset, _) => (1, 0),
                    (Reject::PortUnreachable, Family::Ip6) => (0, 4),
                    (Reject::PortUnreachable, Family::Ip) => (0, 3),
                    (Reject::PortUnreachable, Family::Inet) => (2, 1),
                };
                a.u32(1, kind).bytes(2, &[code]);
            }
            _ => {}
        }
    }
}
