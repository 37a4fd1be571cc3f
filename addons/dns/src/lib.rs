//! Cluster DNS: answers from a zone kept current by events, and forwards the rest.
//!
//! [`answer`] is pure over a [`Zone`] that is changed by one Service or EndpointSlice at a time; records are kept as
//! they go over the wire. It never asks the API server because of a question.

mod answer;
mod forward;
mod message;
mod name;
mod record;
mod run;
mod server;
mod zone;

pub use answer::{Answer, Rcode, Verdict, answer};
pub use forward::Upstreams;
pub use message::{Invalid, Query};
pub use name::Name;
pub use record::{Record, kind};
pub use run::{Config, run};
pub use server::Server;
pub use zone::{Endpoint, ObjectName, Port, Service, Slice, TTL, Zone};

/// Why there is no DNS.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A setting is wrong.
    #[error("{0}")]
    Config(String),
    /// The address is taken, or is none of this machine's.
    #[error("cannot listen at {0}: {1}")]
    Listen(std::net::SocketAddr, String),
}
