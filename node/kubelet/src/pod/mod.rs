//! What a pod's spec means for the runtime: pure functions from views to the runtime's configs and back to a status.

mod admit;
mod container;
mod dns;
mod env;
mod env_file;
mod fields;
mod image;
mod objects;
mod resize;
mod resources;
mod sandbox;
mod security;
mod services;
mod status;

pub use admit::{Offer, Rejection, admit};
pub(crate) use container::TERMINATION_LOG;
pub use container::{ContainerSite, SubPath, container_config, log_path};
pub use dns::{hosts_file, parse_resolv_conf};
pub use env::environment;
pub use fields::{PodFacts, field_value, resource_value};
pub use image::{PullPolicy, default_tag, pull_policy, registry_auth, valid_reference};
pub use objects::{Objects, Reference, references};
pub use resize::{fits, is_actuated, lacking, limits_of, requests, resize};
pub use resources::{Qos, cgroup_parent, memory_limit, qos};
pub use sandbox::{Sandbox, host_name, log_directory, sandbox_config, uid_of_log_directory};
pub use security::{image_user_allowed, security};
pub use status::{StatusInput, container_id, pod_status, timestamp};
