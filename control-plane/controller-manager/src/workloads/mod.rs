//! What the controllers of workloads share.

pub(crate) mod fields;
pub(crate) mod hash;
pub(crate) mod pods;
pub(crate) mod revisions;
pub(crate) mod status;
pub(crate) mod views;
