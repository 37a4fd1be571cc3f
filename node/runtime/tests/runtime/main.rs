//! The runtime with real namespaces, cgroups and file systems, and a registry on loopback.

mod images;
mod lab;
mod pods;
mod registry;
