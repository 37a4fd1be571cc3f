//! The garbage collector: deletes what no owner is left for (upstream `pkg/controller/garbagecollector`).

mod engine;
mod executor;

pub use executor::{Kinds, start};
