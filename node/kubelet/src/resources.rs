//! The API resources that a kubelet works with.

use api::Gvr;

pub(crate) const PODS: Gvr = Gvr::new("", "v1", "pods");
pub(crate) const NODES: Gvr = Gvr::new("", "v1", "nodes");
pub(crate) const SERVICES: Gvr = Gvr::new("", "v1", "services");
pub(crate) const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");
pub(crate) const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
pub(crate) const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
pub(crate) const LEASES: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");
pub(crate) const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");
pub(crate) const VOLUMES: Gvr = Gvr::new("", "v1", "persistentvolumes");
