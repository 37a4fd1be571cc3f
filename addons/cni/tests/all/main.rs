//! Tests of the pod network: the built-in one in real namespaces, plugins by the specification.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod builtin;
mod exec;
mod protocol;
