//! The end-to-end lab: a whole cluster in network namespaces that nothing leaves, with a real image registry beside it
//! and real kubectl in it. `cargo xtask test` runs the stories told in it, `cargo xtask bench` measures in it.
//!
//! It never links a box of Ferrokube (of its crates only `component`, which makes the certificates of a story): what it knows
//! of the cluster, it knows as a user does, from the binary's command line, from kubectl, and from what the kernel shows.
#![expect(
    clippy::disallowed_methods,
    reason = "the lab measures real time and reads its settings from real variables"
)]

pub mod artifacts;
pub mod cluster;
pub mod kernel;
pub mod lab;
pub mod process;
pub mod registry;
pub mod resolver;
pub mod wait;
