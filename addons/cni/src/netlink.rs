//! Links, addresses and routes over netlink. A [`Netlink`] stays in the network namespace in which it was opened.

use crate::cidr::Cidr;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage as Message,
    address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
    link::{
        InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags,
        LinkInfo, LinkMessage,
    },
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType},
};
use nix::sys::socket::{
    AddressFamily as Domain, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    socket,
};
use std::{
    net::IpAddr,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

/// The error of a call, as the kernel says it.
pub(crate) type Errno = nix::Error;

/// A link as the kernel shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub index: u32,
    pub name: String,
    pub mac: Vec<u8>,
    pub master: Option<u32>,
}

impl Link {
    /// The hardware address in its usual form.
    pub fn mac_text(&self) -> String {
        self.mac
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(":")
    }
}

pub(crate) struct Netlink(OwnedFd);

impl Netlink {
    /// In the network namespace of the calling thread.
    pub fn open() -> Result<Self, Errno> {
        let fd = socket(
            Domain::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self(fd))
    }

    fn request(&self, message: Message, flags: u16) -> Result<Vec<Message>, Errno> {
        let mut packet = NetlinkMessage::from(message);
        packet.header.flags = NLM_F_REQUEST | flags;
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        sendto(
            self.0.as_raw_fd(),
            &bytes,
            &NetlinkAddr::new(0, 0),
            MsgFlags::empty(),
        )?;
        let dump = flags & NLM_F_DUMP == NLM_F_DUMP;
        let mut found = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                let answer = NetlinkMessage::<Message>::deserialize(rest).map_err(|_| Errno::EBADMSG)?;
                let size = (answer.header.length as usize).next_multiple_of(4);
                rest = &rest[size.min(rest.len())..];
                match answer.payload {
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) => {
                        return match error.raw_code() {
                            0 => Ok(found),
                            code => Err(Errno::from_raw(-code)),
                        };
                    }
                    NetlinkPayload::InnerMessage(inner) => {
                        found.push(inner);
                        if !dump && flags & NLM_F_ACK == 0 {
                            return Ok(found);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn acknowledged(&self, message: Message, flags: u16) -> Result<(), Errno> {
        self.request(message, flags | NLM_F_ACK).map(|_| ())
    }

    /// The link of that name; `None` when there is none.
    pub fn link(&self, name: &str) -> Result<Option<Link>, Errno> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.request(Message::GetLink(message), 0) {
            Ok(found) => Ok(found.into_iter().find_map(link)),
            Err(Errno::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All links.
    pub fn links(&self) -> Result<Vec<Link>, Errno> {
        let found = self.request(Message::GetLink(LinkMessage::default()), NLM_F_DUMP)?;
        Ok(found.into_iter().filter_map(link).collect())
    }

    /// Makes a bridge.
    pub fn add_bridge(&self, name: &str, mtu: u32) -> Result<(), Errno> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message
            .attributes
            .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        if mtu > 0 {
            message.attributes.push(LinkAttribute::Mtu(mtu));
        }
        self.acknowledged(Message::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes a pair of links, one here and its peer in another namespace.
    pub fn add_veth(&self, name: &str, peer: &str, netns: BorrowedFd<'_>, mtu: u32) -> Result<(), Errno> {
        let mut other = LinkMessage::default();
        other.attributes.push(LinkAttribute::IfName(peer.to_owned()));
        other.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        if mtu > 0 {
            other.attributes.push(LinkAttribute::Mtu(mtu));
            message.attributes.push(LinkAttribute::Mtu(mtu));
        }
        let data = LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other)));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            data,
        ]));
        self.acknowledged(Message::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Takes a link up.
    pub fn up(&self, index: u32) -> Result<(), Errno> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.acknowledged(Message::SetLink(message), 0)
    }

    /// Sets a link's hardware address.
    pub fn set_mac(&self, index: u32, mac: Vec<u8>) -> Result<(), Errno> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::Address(mac));
        self.acknowledged(Message::SetLink(message), 0)
    }

    /// Makes a link a port of a bridge.
    pub fn set_master(&self, index: u32, bridge: u32) -> Result<(), Errno> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::Controller(bridge));
        self.acknowledged(Message::SetLink(message), 0)
    }

    /// Lets a bridge port send back what came in by it.
    pub fn set_hairpin(&self, index: u32) -> Result<(), Errno> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let data = InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)]);
        let info = vec![LinkInfo::PortKind(InfoPortKind::Bridge), LinkInfo::PortData(data)];
        message.attributes.push(LinkAttribute::LinkInfo(info));
        self.acknowledged(Message::NewLink(message), 0)
    }

    /// Removes a link; one that is gone is fine.
    pub fn delete(&self, name: &str) -> Result<(), Errno> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.acknowledged(Message::DelLink(message), 0) {
            Err(Errno::ENODEV) => Ok(()),
            other => other,
        }
    }

    /// Gives a link an address; one that it has is fine. `alone`: without a route to the address's network.
    pub fn add_address(&self, index: u32, cidr: Cidr, alone: bool) -> Result<(), Errno> {
        let mut message = AddressMessage::default();
        message.header.family = family(cidr.address);
        message.header.prefix_len = cidr.prefix;
        message.header.index = index;
        message.header.scope = AddressScope::Universe;
        message.attributes.push(AddressAttribute::Local(cidr.address));
        message.attributes.push(AddressAttribute::Address(cidr.address));
        let mut flags = AddressFlags::empty();
        if alone {
            flags |= AddressFlags::Noprefixroute;
        }
        if cidr.address.is_ipv6() {
            flags |= AddressFlags::Nodad;
        }
        if !flags.is_empty() {
            message.attributes.push(AddressAttribute::Flags(flags));
        }
        self.acknowledged(Message::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// The addresses of a link.
    pub fn addresses(&self, index: u32) -> Result<Vec<Cidr>, Errno> {
        let found = self.request(Message::GetAddress(AddressMessage::default()), NLM_F_DUMP)?;
        let of_link = |message: Message| match message {
            Message::NewAddress(address) if address.header.index == index => {
                let prefix = address.header.prefix_len;
                address.attributes.iter().find_map(|attribute| match attribute {
                    AddressAttribute::Address(address) => Some(Cidr {
                        address: *address,
                        prefix,
                    }),
                    _ => None,
                })
            }
            _ => None,
        };
        Ok(found.into_iter().filter_map(of_link).collect())
    }

    /// Sets a route by a link, and a gateway if there is one.
    pub fn add_route(&self, index: u32, to: Cidr, gateway: Option<IpAddr>) -> Result<(), Errno> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(to.address);
        message.header.destination_prefix_length = to.prefix;
        message.header.table = 254;
        message.header.protocol = RouteProtocol::Boot;
        message.header.kind = RouteType::Unicast;
        message.header.scope = if gateway.is_some() {
            RouteScope::Universe
        } else {
            RouteScope::Link
        };
        message.attributes.push(RouteAttribute::Oif(index));
        if to.prefix > 0 {
            message
                .attributes
                .push(RouteAttribute::Destination(RouteAddress::from(
                    to.network().address,
                )));
        }
        if let Some(gateway) = gateway {
            message
                .attributes
                .push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
        }
        self.acknowledged(Message::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

fn link(message: Message) -> Option<Link> {
    let Message::NewLink(message) = message else {
        return None;
    };
    let mut link = Link {
        index: message.header.index,
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::Controller(index) => link.master = Some(index),
            _ => {}
        }
    }
    Some(link)
}
