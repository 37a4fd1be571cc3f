//! ValidatingAdmissionPolicy and MutatingAdmissionPolicy: rules of admission in CEL, kept as objects (upstream
//! `apiserver/pkg/admission/plugin/policy`).
//!
//! A policy is compiled when it or its bindings change; a request is put to those whose rules match, once for each
//! binding and each of its parameters.
#![expect(clippy::disallowed_types, reason = "expressions read JSON values")]

pub(super) mod authorizer;
mod compiled;
mod inputs;
mod mutating;
mod params;
mod source;
#[cfg(test)]
mod stories;
mod typed;
mod validating;
mod variables;
mod view;

pub use mutating::Mutating;
pub use typed::follow;
pub use validating::Validating;

const GROUP: &str = "admissionregistration.k8s.io";
