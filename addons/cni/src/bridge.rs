//! bridge: a pod's `eth0` is one end of a veth pair, the other is a port of a bridge of the host, which has the
//! gateway's address.

use crate::{
    cidr::Cidr,
    ipam, masquerade,
    namespace::{open, sysctl, within},
    netlink::{Errno, Link, Netlink},
    spec::{Config, Failure, Interface, Outcome, ValidAttachment, code},
};
use std::{fs::File, net::IpAddr, os::fd::AsFd, path::PathBuf};

/// What a call is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    pub owner: ValidAttachment,
    pub netns: PathBuf,
    /// The address that the caller wants.
    pub requested: Option<IpAddr>,
    /// Where plugin executables are, for address management that is not ours.
    pub path: Vec<PathBuf>,
    /// `CNI_ARGS`, for the same.
    pub args: String,
    /// The configuration as it came in, for the same.
    pub input: Vec<u8>,
}

fn failed(doing: &'static str) -> impl Fn(Errno) -> Failure {
    move |error| Failure::internal(doing, error)
}

fn bridge_name(config: &Config) -> &str {
    if config.bridge.is_empty() {
        "cni0"
    } else {
        &config.bridge
    }
}

/// The host's end of an attachment's pair: always the same name, so that it is found again without the namespace.
pub(crate) fn host_link(owner: &ValidAttachment) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in owner.container_id.bytes().chain([0]).chain(owner.ifname.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("veth{:011x}", hash & 0xfff_ffff_ffff)
}

/// Attaches; nothing is left behind when it fails.
pub(crate) fn add(config: &Config, call: &Call) -> Result<Outcome, Failure> {
    let netns = open(&call.netns)?;
    let netlink = Netlink::open().map_err(failed("opening netlink"))?;
    let bridge = ensure_bridge(&netlink, config)?;
    let made = attach(&netlink, config, call, &netns, &bridge);
    if made.is_err() {
        let _ = netlink.delete(&host_link(&call.owner));
    }
    made
}

fn attach(
    netlink: &Netlink,
    config: &Config,
    call: &Call,
    netns: &File,
    bridge: &Link,
) -> Result<Outcome, Failure> {
    let host = add_pair(netlink, config, call, netns)?;
    netlink
        .set_master(host.index, bridge.index)
        .map_err(failed("joining the bridge"))?;
    if config.hairpin_mode {
        netlink
            .set_hairpin(host.index)
            .map_err(failed("setting hairpin mode"))?;
    }
    let mut outcome = ipam::add(config, call)?;
    let finished = finish(netlink, config, call, netns, bridge, &host, &mut outcome);
    match finished {
        Ok(()) => Ok(outcome),
        Err(failure) => {
            let _ = ipam::del(config, call);
            Err(failure)
        }
    }
}

fn finish(
    netlink: &Netlink,
    config: &Config,
    call: &Call,
    netns: &File,
    bridge: &Link,
    host: &Link,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let addresses = addresses(config, outcome)?;
    if config.is_gateway || config.is_default_gateway {
        serve_as_gateway(netlink, bridge, &addresses)?;
    }
    let routes = routes(config, outcome, &addresses)?;
    let inside = || configure(&call.owner.ifname, config.route_via_gateway, &addresses, &routes);
    let mac = within(netns, inside)?;
    netlink
        .up(host.index)
        .map_err(failed("taking the host's end up"))?;
    if config.ip_masq {
        for (cidr, _) in &addresses {
            masquerade::ensure(config, cidr)?;
        }
    }
    let sandbox = call.netns.display().to_string();
    outcome.interfaces = vec![
        Interface {
            name: bridge.name.clone(),
            mac: bridge.mac_text(),
            sandbox: String::new(),
        },
        Interface {
            name: host.name.clone(),
            mac: host.mac_text(),
            sandbox: String::new(),
        },
        Interface {
            name: call.owner.ifname.clone(),
            mac,
            sandbox,
        },
    ];
    Ok(())
}

/// (address, gateway) of the pod; the outcome's addresses are completed.
fn addresses(config: &Config, outcome: &mut Outcome) -> Result<Vec<(Cidr, Option<IpAddr>)>, Failure> {
    if outcome.ips.is_empty() {
        return Err(Failure::new(
            code::INTERNAL,
            "IPAM plugin returned missing IP config",
        ));
    }
    let mut addresses = Vec::new();
    for ip in &mut outcome.ips {
        let invalid = |_| {
            Failure::new(
                code::INTERNAL,
                format!("IPAM gave an invalid address {:?}", ip.address),
            )
        };
        let cidr: Cidr = ip.address.parse().map_err(invalid)?;
        ip.interface = Some(2);
        let first = cidr.at(cidr.first() + 1);
        let gateway = ip
            .gateway
            .parse()
            .ok()
            .or((config.is_gateway || config.is_default_gateway).then_some(first));
        ip.gateway = gateway.map(|g: IpAddr| g.to_string()).unwrap_or_default();
        addresses.push((cidr, gateway));
    }
    Ok(addresses)
}

fn ensure_bridge(netlink: &Netlink, config: &Config) -> Result<Link, Failure> {
    let name = bridge_name(config);
    let found = || netlink.link(name).map_err(failed("reading the bridge"));
    let bridge = match found()? {
        Some(bridge) => bridge,
        None => {
            match netlink.add_bridge(name, config.mtu) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(Failure::internal("making the bridge", error)),
            }
            let made =
                found()?.ok_or_else(|| Failure::new(code::INTERNAL, format!("bridge {name} went away")))?;
            // Set, its hardware address stays; else it would become that of its ports, and pods would lose the gateway.
            netlink
                .set_mac(made.index, made.mac.clone())
                .map_err(failed("setting the bridge's address"))?;
            made
        }
    };
    netlink.up(bridge.index).map_err(failed("taking the bridge up"))?;
    // Packets between pods pass the gateway on purpose: telling the pods a shorter way would be wrong. The value for
    // all is or-ed with that of each interface, so that others keep theirs.
    sysctl("ipv4/conf/all/send_redirects", "0");
    sysctl(&format!("ipv4/conf/{name}/send_redirects"), "0");
    Ok(bridge)
}

fn add_pair(netlink: &Netlink, config: &Config, call: &Call, netns: &File) -> Result<Link, Failure> {
    let name = host_link(&call.owner);
    let add = || netlink.add_veth(&name, &call.owner.ifname, netns.as_fd(), config.mtu);
    match add() {
        Ok(()) => {}
        Err(Errno::EEXIST)
            if netlink
                .link(&name)
                .map_err(failed("reading the host's end"))?
                .is_some() =>
        {
            // Left by an attempt that was cut off: the name belongs to this attachment alone.
            netlink.delete(&name).map_err(failed("removing an old pair"))?;
            add().map_err(failed("making the pair"))?;
        }
        Err(Errno::EEXIST) => {
            let text = format!("container interface name {:?} already exists", call.owner.ifname);
            return Err(Failure::new(code::INTERNAL, text));
        }
        Err(error) => return Err(Failure::internal("making the pair", error)),
    }
    let made = netlink.link(&name).map_err(failed("reading the host's end"))?;
    made.ok_or_else(|| Failure::new(code::INTERNAL, format!("{name} went away")))
}

fn serve_as_gateway(
    netlink: &Netlink,
    bridge: &Link,
    addresses: &[(Cidr, Option<IpAddr>)],
) -> Result<(), Failure> {
    for (cidr, gateway) in addresses {
        if let Some(gateway) = gateway {
            let address = Cidr {
                address: *gateway,
                prefix: cidr.prefix,
            };
            netlink
                .add_address(bridge.index, address, false)
                .map_err(failed("giving the bridge its address"))?;
        }
        let forwarding = if cidr.address.is_ipv4() {
            "ipv4/ip_forward"
        } else {
            "ipv6/conf/all/forwarding"
        };
        if !sysctl(forwarding, "1") {
            return Err(Failure::new(
                code::INTERNAL,
                format!("failed to enable forwarding ({forwarding})"),
            ));
        }
    }
    Ok(())
}

/// (destination, gateway) of the pod's routes; also written into the outcome.
fn routes(
    config: &Config,
    outcome: &mut Outcome,
    addresses: &[(Cidr, Option<IpAddr>)],
) -> Result<Vec<(Cidr, Option<IpAddr>)>, Failure> {
    if config.is_default_gateway {
        for (cidr, _) in addresses {
            let dst = if cidr.address.is_ipv4() {
                "0.0.0.0/0"
            } else {
                "::/0"
            };
            if !outcome.routes.iter().any(|route| route.dst == dst) {
                outcome.routes.push(crate::spec::Route {
                    dst: dst.to_owned(),
                    gw: String::new(),
                });
            }
        }
    }
    let mut routes = Vec::new();
    for route in &outcome.routes {
        let invalid = |text: String| Failure::new(code::INVALID_CONFIG, text);
        let dst: Cidr = route.dst.parse().map_err(invalid)?;
        let same = |(cidr, gateway): &(Cidr, Option<IpAddr>)| {
            if cidr.address.is_ipv4() == dst.address.is_ipv4() {
                *gateway
            } else {
                None
            }
        };
        let gateway = route.gw.parse().ok().or_else(|| addresses.iter().find_map(same));
        routes.push((dst, gateway));
    }
    Ok(routes)
}

/// Sets the pod's end up; its hardware address.
fn configure(
    ifname: &str,
    via_gateway: bool,
    addresses: &[(Cidr, Option<IpAddr>)],
    routes: &[(Cidr, Option<IpAddr>)],
) -> Result<String, Failure> {
    let netlink = Netlink::open().map_err(failed("opening netlink"))?;
    let read = |name: &str| {
        netlink
            .link(name)
            .map_err(failed("reading the container's interface"))
    };
    let link = read(ifname)?.ok_or_else(|| Failure::new(code::INTERNAL, format!("{ifname} went away")))?;
    if let Some(loopback) = read("lo")? {
        netlink.up(loopback.index).map_err(failed("taking lo up"))?;
    }
    if via_gateway {
        sysctl("ipv4/conf/all/accept_redirects", "0");
        sysctl(&format!("ipv4/conf/{ifname}/accept_redirects"), "0");
    }
    for (cidr, _) in addresses {
        netlink
            .add_address(link.index, *cidr, via_gateway)
            .map_err(failed("giving the container its address"))?;
    }
    netlink
        .up(link.index)
        .map_err(failed("taking the container's interface up"))?;
    if via_gateway {
        for (cidr, gateway) in addresses {
            let Some(gateway) = gateway else { continue };
            let host = Cidr {
                address: *gateway,
                prefix: cidr.bits(),
            };
            netlink
                .add_route(link.index, host, None)
                .map_err(failed("a route to the gateway"))?;
            netlink
                .add_route(link.index, *cidr, Some(*gateway))
                .map_err(failed("a route to the subnet"))?;
        }
    }
    for (dst, gateway) in routes {
        netlink
            .add_route(link.index, *dst, *gateway)
            .map_err(failed("a route"))?;
    }
    Ok(link.mac_text())
}

/// Detaches; what is gone is fine.
pub(crate) fn del(config: &Config, call: &Call) -> Result<(), Failure> {
    ipam::del(config, call)?;
    let netlink = Netlink::open().map_err(failed("opening netlink"))?;
    netlink
        .delete(&host_link(&call.owner))
        .map_err(failed("removing the pair"))
}

/// Whether all stands as `config.prev_result` says.
pub(crate) fn check(config: &Config, call: &Call) -> Result<(), Failure> {
    ipam::check(config, call)?;
    let netlink = Netlink::open().map_err(failed("opening netlink"))?;
    let missing = |what: String| Failure::new(code::UNKNOWN_CONTAINER, what);
    let read = |name: &str| netlink.link(name).map_err(failed("reading a link"));
    let name = bridge_name(config);
    let bridge = read(name)?.ok_or_else(|| missing(format!("bridge {name} is missing")))?;
    let host = host_link(&call.owner);
    let link = read(&host)?.ok_or_else(|| missing(format!("host interface {host} is missing")))?;
    if link.master != Some(bridge.index) {
        return Err(missing(format!("host interface {host} is not a port of {name}")));
    }
    let expected: Vec<String> = config
        .prev_result
        .iter()
        .flat_map(|result| &result.ips)
        .map(|ip| ip.address.clone())
        .collect();
    let inside = || {
        let netlink = Netlink::open().map_err(failed("opening netlink"))?;
        let ifname = &call.owner.ifname;
        let link = netlink
            .link(ifname)
            .map_err(failed("reading the container's interface"))?;
        let link = link.ok_or_else(|| missing(format!("container interface {ifname} is missing")))?;
        let addresses = netlink
            .addresses(link.index)
            .map_err(failed("reading addresses"))?;
        let has = |text: &String| addresses.iter().any(|cidr| cidr.to_string() == *text);
        match expected.iter().find(|text| !has(text)) {
            Some(text) => Err(missing(format!(
                "container interface {ifname} has not the address {text}"
            ))),
            None => Ok(()),
        }
    };
    within(&open(&call.netns)?, inside)
}

/// Removes the bridge with the pairs on it.
pub(crate) fn purge(bridge: &str) -> Result<(), Failure> {
    let netlink = Netlink::open().map_err(failed("opening netlink"))?;
    let Some(found) = netlink.link(bridge).map_err(failed("reading the bridge"))? else {
        return Ok(());
    };
    for link in netlink.links().map_err(failed("reading links"))? {
        if link.master == Some(found.index) && link.name.starts_with("veth") {
            netlink.delete(&link.name).map_err(failed("removing a pair"))?;
        }
    }
    netlink.delete(bridge).map_err(failed("removing the bridge"))
}

/// Removes the pairs on the bridge that no attachment in `valid` holds.
pub(crate) fn collect_garbage(config: &Config, valid: &[ValidAttachment]) -> Result<(), Failure> {
    let netlink = Netlink::open().map_err(failed("opening netlink"))?;
    let Some(bridge) = netlink
        .link(bridge_name(config))
        .map_err(failed("reading the bridge"))?
    else {
        return Ok(());
    };
    let names: Vec<String> = valid.iter().map(host_link).collect();
    let ours = |link: &Link| {
        link.master == Some(bridge.index) && link.name.starts_with("veth") && link.name.len() == 15
    };
    for link in netlink
        .links()
        .map_err(failed("reading links"))?
        .iter()
        .filter(|link| ours(link))
    {
        if !names.contains(&link.name) {
            netlink.delete(&link.name).map_err(failed("removing a pair"))?;
        }
    }
    Ok(())
}
