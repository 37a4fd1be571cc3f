//! The multi-call binary: reads settings, builds, runs, drains.
fn main() {}
