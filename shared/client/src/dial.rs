//! The edge from the API server to nodes and pods.

use futures::future::BoxFuture;
use std::net::IpAddr;
use tokio::io::{AsyncRead, AsyncWrite};

/// Whom to reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A node's kubelet, by the node's name.
    Node(String),
    /// A port of a node that is not its kubelet's, by the node's name.
    NodePort(String, u16),
    /// A pod, by namespace and name, at a port.
    Pod(String, String, u16),
    /// A ready pod of a service, by namespace and name, at a port of the service.
    Service(String, String, u16),
}

/// A byte stream in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Opens byte streams to nodes, pods and services: in memory, over TCP, or through a tunnel that the agent keeps open.
/// Streams to a node carry HTTP: as they are when [`Dial::trusted`] says so, else inside TLS.
pub trait Dial: Send + Sync + 'static {
    /// Opens a stream.
    fn dial(&self, peer: &Peer) -> BoxFuture<'_, std::io::Result<Box<dyn Duplex>>>;

    /// Whether streams to `peer` never leave this process, so that they need no TLS.
    fn trusted(&self, peer: &Peer) -> bool;
}

/// Whether an address may be dialed for users: not this machine's loopback, no neighbours without routers, no groups.
pub fn proxyable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !(ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.is_unspecified())
        }
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(mapped) => proxyable(mapped.into()),
            None => {
                !(ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_its_neighbours_are_refused() {
        for good in ["10.244.0.7", "192.0.2.1", "2001:db8::1", "fd00::7"] {
            assert!(proxyable(good.parse().unwrap()), "{good}");
        }
        for bad in [
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "ff02::1",
            "::",
            "::ffff:127.0.0.1",
        ] {
            assert!(!proxyable(bad.parse().unwrap()), "{bad}");
        }
    }
}
