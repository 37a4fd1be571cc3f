//! The admissionregistration group.

pub(crate) mod admission_policies;
mod expressions;
pub(crate) mod matching;
pub(crate) mod webhooks;
