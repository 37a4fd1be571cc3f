//! The way to nodes over TCP.

use crate::{Dial, Duplex, Peer};
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
            let stream = TcpStream::connect(found.ok_or_else(unknown)?).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Duplex>)
        }
        .boxed()
    }

    fn trusted(&self, _: &Peer) -> bool {
        false
    }
}
