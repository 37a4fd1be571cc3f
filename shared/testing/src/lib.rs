//! In-process clusters, a virtual clock and fixtures for tests. Never linked into the product.
//!
//! A `Cluster` is the real store, API server, scheduler, controllers and kubelets on one paused runtime, with all
//! time and randomness from a seed: the same seed gives the same cluster to the last byte. Its parts are joined by
//! `Line`s, which a test can cut, heal and make bad.
//!
//! Whole clusters need the feature `cluster`; a [`ScriptedApi`] and a [`Netns`] do not.

#[cfg(feature = "cluster")]
mod cluster;
#[cfg(feature = "cluster")]
mod guards;
#[cfg(feature = "cluster")]
mod history;
#[cfg(feature = "cluster")]
mod line;
#[cfg(feature = "cluster")]
mod look;
mod netns;
#[cfg(feature = "cluster")]
mod node;
mod scripted;

#[cfg(feature = "cluster")]
pub use cluster::{Cluster, Parts};
#[cfg(feature = "cluster")]
pub use history::History;
#[cfg(feature = "cluster")]
pub use line::{Faults, Line};
#[cfg(feature = "cluster")]
pub use look::{Look, yaml};
pub use netns::Netns;
#[cfg(feature = "cluster")]
pub use node::Node;
pub use scripted::ScriptedApi;
