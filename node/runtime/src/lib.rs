//! The container runtime: images, snapshots, sandboxes, supervisor, launch; behind the trait that the kubelet calls.
//!
//! A sandbox is a supervisor process and its namespaces; the daemon ([`Native`]) talks to supervisors over sockets and
//! keeps everything it must remember on disk, so that containers outlive it. It never knows of pods' meaning (probes,
//! restarts, volumes): that is the kubelet's.

mod cgroup;
mod device_filter;
mod edge;
mod images;
mod launch;
mod native;
mod program;
mod protocol;
mod record;
mod seccomp;
mod supervisor;

pub use edge::*;
pub use native::{Config, Native};
pub use program::{Applet, applets, hook};
