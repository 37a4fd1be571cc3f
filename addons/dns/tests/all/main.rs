//! Tests of the cluster's DNS: stories of its answers, and the server over real sockets on loopback.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod run;
mod server;
mod stories;
