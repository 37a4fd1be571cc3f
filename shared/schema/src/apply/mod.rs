//! Field management and server-side apply (KEP-555; structured-merge-diff): who owns which fields of an object, and
//! what an applied configuration makes of it.

mod compare;
mod config;
#[cfg(test)]
mod cost;
mod engine;
mod fields;
mod fields_v1;
mod last_applied;
#[cfg(test)]
mod laws;
mod managed;
mod manager;
mod merge;
mod mutate;
mod node;
mod raw;
mod remove;
mod set;
#[cfg(test)]
mod stories;
mod validate;

pub use config::config;
pub use engine::{Conflict, Versions};
pub use managed::{
    Manager, Operation, is_reset, read as read_managed, same_but_times, write as write_managed,
};
pub use manager::{Applied, ApplyError, Writer, apply, update};
pub use mutate::mutate;
pub use node::Node;
pub use set::FieldSet;
