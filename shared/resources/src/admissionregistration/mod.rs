//! The admissionregistration group.

pub(crate) mod admission_policies;
mod client;
mod expressions;
pub(crate) mod matching;
pub(crate) mod webhooks;
