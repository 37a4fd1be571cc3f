//! kube-apiserver: one handler for every resource over a watch cache.
//!
//! A request, over TLS or in memory, goes through [`security`] (who asks, may they), is put to a row of the resource
//! table by the router in `http`, and is answered by `handler`, which knows no kind: `cache` answers reads, the store
//! takes writes. What is not a plain read or write of an object is a file of `subresources`.
//! It never decodes an object to read it, and holds no state that is not in the store.

pub mod admission;
pub mod aggregate;
mod allocate;
pub mod audit;
mod backends;
mod bootstrap;
mod cache;
mod custom;
mod delegated;
pub mod encryption;
mod fairness;
#[cfg(test)]
mod fixture;
mod handler;
mod http;
mod local;
mod masters;
mod metrics;
mod publish;
pub mod security;
mod server;
mod splice;
#[cfg(test)]
mod stories;
mod subresources;
mod webhook;

pub use self::http::{BuildInfo, Limits};
pub use publish::{OwnPort, OwnService};
pub use server::{Config, Error, MakeSecurity, Reader, Records, Server, Surface};
