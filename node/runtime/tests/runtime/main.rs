//! The runtime with real namespaces, cgroups and file systems, and a registry on loopback.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod images;
mod lab;
mod mounts;
mod pods;
mod registry;
mod running;
