//! kube-proxy: turns Services and EndpointSlices into packet rules.
//!
//! [`ruleset`] is pure: it says what each service address does. The [`nftables`] back end makes differences of
//! [`Rules`] into one netlink transaction: maps keyed by address, protocol and port, and chains by number of endpoints
//! that all services of that number share, never a chain per service.

mod health;
pub mod nftables;
mod rules;
mod ruleset;
mod run;
mod services;
mod view;

pub use rules::{Action, Destination, Protocol, Rules};
pub use ruleset::{Scope, ruleset};
pub use run::{Config, run};
pub use services::{
    Cidr, Endpoint, EndpointPort, Endpoints, ObjectName, Service, ServicePort, Services, Slice,
};

/// Why the rules are not in place.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused them.
    #[error(transparent)]
    Nft(#[from] nft::Error),
    /// A flag or setting is wrong.
    #[error("{0}")]
    Config(String),
}
