//! AlwaysDeny (upstream `plugin/pkg/admission/deny`).

use super::{Attributes, Plugin};
use api::Status;

/// The plugin.
pub struct AlwaysDeny;

impl Plugin for AlwaysDeny {
    fn validates(&self, _: &Attributes<'_>) -> bool {
        true
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        Err(request.forbidden("admission control is denying all modifications"))
    }
}
