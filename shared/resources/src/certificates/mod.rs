//! The certificates group.

pub(crate) mod certificate_signing_request;
pub(crate) mod cluster_trust_bundle;
mod issued;
pub(crate) mod pod_certificate_request;
mod trust;
mod validation;
