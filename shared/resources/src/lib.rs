//! THE table: one row a resource, and what is special about each kind in one small file.
//!
//! Pure: what a write needs of time, randomness and the cluster is in its request. It never reads a clock, does I/O,
//! keeps state or knows who is served.

mod admission;
mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apps;
mod autoscaling;
mod batch;
mod cells;
mod certificates;
mod coordination;
mod core;
mod discovery;
mod duration;
mod encode;
mod events;
mod fields;
mod flowcontrol;
mod meta;
mod names;
mod networking;
mod node;
mod policy;
mod rbac;
mod resource;
mod row;
mod rules;
mod runtime;
mod scheduling;
mod selector;
mod storage;
mod storagemigration;
mod table;
mod virtual_resources;
mod write;

pub use apiextensions::{
    CLEANUP, Client, Custom, CustomColumn, CustomVersion, Names, by_priority, decide, established,
    names as accepted_names, released, room, terminating,
};
pub use core::bind;
pub use duration::{human_duration, since};
pub use row::*;
pub use runtime::Runtime;
pub use table::{by_kind, find, table};
pub use virtual_resources::{VirtualResource, virtual_resources};

#[cfg(test)]
mod stories;
