//! Where a write meets admission.

use super::{Call, Handler, Place};
use crate::admission::{Attributes, Operation};
use api::{Gvk, Object, Status};
use client::DeleteOptions;
use std::sync::Arc;

/// What admission looks at.
pub(super) struct Subject {
    operation: Operation,
    old: Option<Arc<Object>>,
    new: Option<Arc<Object>>,
}

impl Subject {
    pub(super) fn new(operation: Operation, old: Option<Arc<Object>>, new: Option<Object>) -> Self {
        Self {
            operation,
            old,
            new: new.map(Arc::new),
        }
    }
}

impl Handler {
    /// The validating phase.
    pub(super) async fn validate(&self, place: &Place, call: &Call, subject: Subject) -> Result<(), Status> {
        let Subject { operation, old, new } = subject;
        let name = new.as_ref().map(|object| object.name().to_owned());
        let attributes = Attributes {
            call,
            operation,
            place: Some(place),
            kind: kind(place),
            name: name.as_deref().unwrap_or(&place.name),
            object: new,
            old,
            delete: None,
        };
        self.admission.validate(&attributes).await
    }

    /// Both phases for an object that goes.
    pub(super) async fn admit_delete(
        &self,
        place: &Place,
        call: &Call,
        old: &Arc<Object>,
        options: &DeleteOptions,
    ) -> Result<(), Status> {
        let mut attributes = Attributes {
            call,
            operation: Operation::Delete,
            place: Some(place),
            kind: kind(place),
            name: &place.name,
            object: None,
            old: Some(old.clone()),
            delete: Some(options),
        };
        self.admission.admit(&mut attributes).await?;
        self.admission.validate(&attributes).await
    }
}

/// The resource's own kind in the version of the request.
fn kind(place: &Place) -> Gvk {
    Gvk::new(place.group(), place.served().name, place.row().kind)
}
