//! The store: a deterministic state machine over a segmented log, behind the trait that the API server writes to.

mod edge;

pub use edge::*;
