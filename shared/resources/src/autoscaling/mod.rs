//! The autoscaling group.

mod flat;
pub(crate) mod horizontal_pod_autoscaler;
mod v1;
