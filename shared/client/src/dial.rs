//! The edge from the API server to nodes and pods.

use futures::future::BoxFuture;
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
