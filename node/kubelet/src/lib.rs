//! kubelet: turns pods bound to this node into sandboxes and containers.
//!
//! Each pod has a worker. It looks at what the runtime has, asks [`actions::pod_actions`] (pure) what to do next, does
//! it, and writes the pod's status when that changed. Container exits, probe results and changes of objects wake it; a
//! slow look now and then is only the net below. The kubelet never reaches into containers itself: that is the
//! runtime's side of the edge.

mod about;
pub mod actions;
mod config;
mod decisions;
mod error;
mod eviction;
mod grpc;
mod image_gc;
mod image_list;
mod images;
mod kubelet;
pub mod logs;
pub mod machine;
mod node;
pub mod pod;
mod prober;
mod probes;
mod registry;
mod resources;
mod server;
pub mod simulated;
mod sources;
mod static_pods;
mod status_writer;
mod threshold;
pub mod view;
mod volumes;
mod worker;

pub use config::{Access, Authorize, Config};
pub use error::Error;
pub use kubelet::Kubelet;
pub use server::Identity;
pub use threshold::Thresholds;
