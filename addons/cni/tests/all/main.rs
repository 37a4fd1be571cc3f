//! Tests of the pod network: the built-in one in real namespaces, plugins by the specification.

mod builtin;
mod exec;
mod netns;
mod protocol;
