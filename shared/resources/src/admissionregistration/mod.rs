//! The admissionregistration group.

pub(crate) mod admission_policies;
pub(crate) mod matching;
pub(crate) mod webhooks;
