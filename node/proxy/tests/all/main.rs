//! Tests of the proxy: stories of its rules, and its rules in real network namespaces.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod kernel;
mod run;
mod stories;
