//! Tracked connections: those that lead to an endpoint that is gone are forgotten, so that a client which keeps its
//! UDP port is balanced anew.

use crate::{
    Error,
    attr::{Attrs, find, parse},
    socket::{self, ACK, Answer, DUMP},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// One tracked connection, as it was asked for and as it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// IP protocol number.
    pub protocol: u8,
    /// Where the client sent to.
    pub destination: IpAddr,
    /// The port it sent to.
    pub port: u16,
    /// Who answers.
    pub responder: IpAddr,
    /// The port that answers.
    pub responder_port: u16,
}

/// Forgets the tracked connections for which `stale` is true; how many they were.
pub fn forget(protocol: u8, stale: impl Fn(&Flow) -> bool) -> Result<usize, Error> {
    let mut forgotten = 0;
    for family in [IPV4, IPV6] {
        for answer in socket::exchange(&message(GET, DUMP, family, &[]))? {
            let Answer::Object(body) = answer else { continue };
            let attributes = parse(&body);
            let Some(original) = find(&attributes, ORIGINAL) else {
                continue;
            };
            let Some(flow) = find(&attributes, REPLY).and_then(|reply| flow(original, reply)) else {
                continue;
            };
            if flow.protocol == protocol && stale(&flow) {
                forgotten += usize::from(delete(family, original)?);
            }
        }
    }
    Ok(forgotten)
}

fn delete(family: u8, tuple: &[u8]) -> Result<bool, Error> {
    for answer in socket::exchange(&message(DELETE, ACK, family, tuple))? {
        if let Answer::Status { errno, .. } = answer {
            return match nix::Error::from_raw(errno) {
                _ if errno == 0 => Ok(true),
                nix::Error::ENOENT => Ok(false),
                errno => Err(Error::Refused {
                    what: "removal of a tracked connection".to_owned(),
                    errno,
                }),
            };
        }
    }
    Err(Error::NoAnswer(
        "the removal of a tracked connection was not acknowledged",
    ))
}

fn message(kind: u16, flags: u16, family: u8, tuple: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let start = socket::open(&mut bytes, kind, flags, 1, family, 0);
    if !tuple.is_empty() {
        Attrs(&mut bytes).nested(ORIGINAL, |a| a.0.extend(tuple));
    }
    socket::close(&mut bytes, start);
    bytes
}

fn flow(original: &[u8], reply: &[u8]) -> Option<Flow> {
    let (_, _, destination, port, protocol) = tuple(original)?;
    let (responder, responder_port, _, _, _) = tuple(reply)?;
    Some(Flow {
        protocol,
        destination,
        port,
        responder,
        responder_port,
    })
}

/// Source, its port, destination, its port, protocol.
fn tuple(bytes: &[u8]) -> Option<(IpAddr, u16, IpAddr, u16, u8)> {
    let parts = parse(bytes);
    let ip = parse(find(&parts, 1)?);
    let transport = parse(find(&parts, 2)?);
    let address = |four: u16, six: u16| -> Option<IpAddr> {
        match find(&ip, four) {
            Some(bytes) => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
            None => Some(Ipv6Addr::from(<[u8; 16]>::try_from(find(&ip, six)?).ok()?).into()),
        }
    };
    let port = |kind: u16| find(&transport, kind).and_then(|b| Some(u16::from_be_bytes(b.try_into().ok()?)));
    let protocol = *find(&transport, 1)?.first()?;
    Some((
        address(1, 3)?,
        port(2).unwrap_or(0),
        address(2, 4)?,
        port(3).unwrap_or(0),
        protocol,
    ))
}
