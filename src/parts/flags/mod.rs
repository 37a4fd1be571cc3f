//! The flags of each part: all of upstream's, and what becomes of each here.

mod dns;
mod etcd;
mod groups;
mod kube_apiserver;
mod kube_apiserver_audit;
mod kube_controller_manager;
mod kube_proxy;
mod kube_scheduler;
mod kubelet;
mod kubelet_file;
mod snapshots;

pub use dns::DNS;
pub use etcd::ETCD;
pub use groups::{CLIENT, DELEGATED, ELECTION, PROCESS, SERVING};
pub use kube_apiserver::{KUBE_APISERVER, KUBE_APISERVER_SECURITY, KUBE_APISERVER_STORE};
pub use kube_apiserver_audit::KUBE_APISERVER_AUDIT;
pub use kube_controller_manager::KUBE_CONTROLLER_MANAGER;
pub use kube_proxy::{KUBE_PROXY, KUBE_PROXY_FILE};
pub use kube_scheduler::{KUBE_SCHEDULER, KUBE_SCHEDULER_FILE};
pub use kubelet::{KUBELET, KUBELET_EVICTION, OTHER_RUNTIME};
pub use kubelet_file::KUBELET_FILE;
pub use snapshots::SNAPSHOTS;
