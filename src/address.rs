//! The address of this machine.

use anyhow::{Context, Result, bail};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// The address of the interface of the default route, else the first address that is no loopback one.
pub fn node_ip() -> Result<Ipv4Addr> {
    // Connecting a UDP socket asks the routing table and sends nothing.
    let routed = || -> std::io::Result<SocketAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    if let Ok(SocketAddr::V4(address)) = routed()
        && !address.ip().is_unspecified()
    {
        return Ok(*address.ip());
    }
    let interfaces = nix::ifaddrs::getifaddrs().context("cannot list the network interfaces")?;
    let addresses = interfaces.filter_map(|i| i.address.and_then(|a| a.as_sockaddr_in().map(|s| s.ip())));
    match addresses
        .into_iter()
        .find(|a| !a.is_loopback() && !a.is_link_local())
    {
        Some(address) => Ok(address),
        None => bail!("this machine has no IPv4 address beside loopback; give one with --node-ip"),
    }
}

/// The machine's name, as a node's name.
pub fn node_name() -> Result<String> {
    let name = nix::unistd::gethostname().context("cannot read the host name")?;
    let name = name.to_string_lossy().trim().to_lowercase();
    if !api::valid_dns_subdomain(&name) {
        bail!("the host name {name:?} cannot be a node's name; give one with --node-name");
    }
    Ok(name)
}
