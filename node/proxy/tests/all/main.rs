//! Tests of the proxy: stories of its rules, and its rules in real network namespaces.

mod kernel;
mod netns;
mod stories;
