//! The edge from the API server to the node in memory, and to everything else over TCP.

use crate::parts::dial::{self, Nodes};
use client::{Dial, Duplex, Peer, TcpDial};
use futures::future::BoxFuture;
use std::{
    io,
    sync::{Arc, PoisonError, RwLock},
};

/// How much a stream in memory may hold.
const BUFFER: usize = 64 * 1024;

/// Takes the server's end of a stream.
pub type Accept = Arc<dyn Fn(tokio::io::DuplexStream) + Send + Sync>;

/// Leads to the kubelet of this process, once it is there, and to nodes, pods and services at their addresses.
pub struct MemoryDial {
    node: RwLock<Option<(String, Accept)>>,
    others: TcpDial,
    known: Nodes,
}

impl Default for MemoryDial {
    fn default() -> Self {
        let known = Nodes::default();
        Self {
            node: RwLock::default(),
            others: dial::to(known.clone()),
            known,
        }
    }
}

impl MemoryDial {
    /// Says where the addresses of others are known.
    pub fn know(&self, reader: apiserver::Reader) {
        // Set once: when the server has started.
        let _ = self.known.set(reader);
    }

    /// Says how streams to the node `name` are served.
    pub fn serve(&self, name: &str, accept: Accept) {
        *self.node.write().unwrap_or_else(PoisonError::into_inner) = Some((name.to_owned(), accept));
    }
}

impl Dial for MemoryDial {
    fn dial(&self, peer: &Peer) -> BoxFuture<'_, io::Result<Box<dyn Duplex>>> {
        let peer = peer.clone();
        let node = self.node.read().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            match (&peer, node) {
                (Peer::Node(wanted), Some((name, accept))) if *wanted == name => {
                    let (ours, theirs) = tokio::io::duplex(BUFFER);
                    accept(theirs);
                    Ok(Box::new(ours) as Box<dyn Duplex>)
                }
                (Peer::Node(_), _) => Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("no way to {peer:?}"),
                )),
                _ => self.others.dial(&peer).await,
            }
        })
    }

    fn trusted(&self, peer: &Peer) -> bool {
        matches!(peer, Peer::Node(_))
    }
}
