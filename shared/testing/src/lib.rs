//! In-process clusters, a virtual clock and fixtures for tests. Never linked into the product.
//!
//! A [`Cluster`] is the real store, API server, scheduler, controllers and kubelets on one paused runtime, with all
//! time and randomness from a seed: the same seed gives the same cluster to the last byte. Its parts are joined by
//! [`Line`]s, which a test can cut, heal and make bad.

mod cluster;
mod guards;
mod history;
mod line;
mod look;
mod node;

pub use cluster::{Cluster, Parts};
pub use history::History;
pub use line::{Faults, Line};
pub use look::{Look, yaml};
pub use node::Node;
