//! The container runtime: images, snapshots, sandboxes, supervisor, launch; behind the trait that the kubelet calls.

mod edge;

pub use edge::*;
