//! The garbage collector: an engine that deletes what nobody owns any more, and what carries its effects out.

mod collections;
mod definitions;
mod elsewhere;
mod engine;
mod executor;
mod resources;

pub use collections::Collections;
pub(crate) use definitions::{DEFINITIONS, with_definitions};
pub(crate) use elsewhere::with_other_servers;
pub(crate) use executor::start;
pub use resources::{Collectable, Resources, Served};
