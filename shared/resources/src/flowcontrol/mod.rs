//! The flowcontrol group.

pub(crate) mod flow_schema;
pub(crate) mod priority_level_configuration;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
