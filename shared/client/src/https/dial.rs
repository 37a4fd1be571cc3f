//! The way to nodes over TCP.

use crate::{Dial, Duplex, Peer, proxyable};
use futures::{FutureExt, future::BoxFuture};
use std::{io, net::SocketAddr};
use tokio::net::TcpStream;

type Lookup = Box<dyn Fn(&Peer) -> Option<SocketAddr> + Send + Sync>;

/// Connects to the address that a peer has now.
pub struct TcpDial {
    lookup: Lookup,
}

impl TcpDial {
    /// With a way to find the address of a peer, such as a node's InternalIP and kubelet port.
    pub fn new(lookup: impl Fn(&Peer) -> Option<SocketAddr> + Send + Sync + 'static) -> Self {
        Self {
            lookup: Box::new(lookup),
        }
    }
}

impl Dial for TcpDial {
    fn dial(&self, peer: &Peer) -> BoxFuture<'_, io::Result<Box<dyn Duplex>>> {
        let found = (self.lookup)(peer);
        let peer = peer.clone();
        async move {
            let unknown = || {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("no address of {peer:?} is known"),
                )
            };
            let address = found.ok_or_else(unknown)?;
            // The address may have changed since the caller looked at it: this is the one that counts.
            if !matches!(peer, Peer::Node(_)) && !proxyable(address.ip()) {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "address not allowed",
                ));
            }
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Duplex>)
        }
        .boxed()
    }

    fn trusted(&self, _: &Peer) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_address_that_is_dialed_is_the_one_that_was_looked_at() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dial = TcpDial::new(move |_| Some(address));
        let name = || "a".to_owned();
        for peer in [
            Peer::Pod(name(), name(), 1),
            Peer::Service(name(), name(), 1),
            Peer::NodePort(name(), 1),
        ] {
            let refused = dial.dial(&peer).await.err().unwrap();
            assert_eq!(refused.to_string(), "address not allowed", "{peer:?}");
        }
        assert!(dial.dial(&Peer::Node(name())).await.is_ok());
    }
}
