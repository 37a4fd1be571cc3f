//! Reads, writes and watches of API objects over a transport, in memory or over TLS; reflectors and views; Events, leader
//! election, kubeconfig files, and the way to nodes and pods.
//!
//! A box never knows which transport it has. It never decodes more of an object than a *view*: a small struct with
//! the fields that it needs.

mod client;
mod dial;
pub mod election;
mod https;
pub mod kubeconfig;
mod metrics;
mod recorder;
mod reflector;
mod transport;

pub use client::Client;
pub use dial::{Dial, Duplex, Peer, proxyable};
pub use https::{Ask, Body, ConnectError, Credential, Endpoint, Exchange, HttpsTransport, TcpDial};
pub use metrics::counted;
pub use recorder::{About, Recorder, Severity};
pub use reflector::{Cache, Caches, Change, Selector};
pub use transport::{
    DeleteOptions, Discovered, List, ListParams, Patch, Target, Transport, WatchEvent, WatchParams,
    WatchStream, Write, WriteOptions,
};
