//! The resource group: devices, and who may use them.

mod admin_access;
mod claim_status;
pub(crate) mod device_class;
pub(crate) mod device_taint_rule;
pub(crate) mod resource_claim;
pub(crate) mod resource_claim_template;
pub(crate) mod resource_slice;

use crate::{Cell, cells};
use api::Object;
use jiff::Timestamp;

const GROUP: &str = "resource.k8s.io";

fn name_and_age(object: &Object, now: Timestamp) -> Vec<Cell> {
    vec![cells::name(object), cells::age(object, now)]
}
