//! Plugins of admission that belong to how objects of their kinds are written: a file each, which is asked by its kinds
//! and does nothing where the plugin is off.

pub(crate) mod default_ingress_class;
pub(crate) mod default_storage_class;
pub(crate) mod default_toleration_seconds;
pub(crate) mod priority;
pub(crate) mod service_account;
pub(crate) mod storage_object_in_use_protection;
pub(crate) mod taint_nodes_by_condition;

use api::Gvr;

const PODS: Gvr = Gvr::new("", "v1", "pods");
