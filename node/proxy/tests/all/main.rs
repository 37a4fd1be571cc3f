//! Tests of the proxy: stories of its rules, and its rules in real network namespaces.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod api;
mod kernel;
mod netns;
mod run;
mod stories;
