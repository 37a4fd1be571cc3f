//! NamespaceExists: whatever is asked about in a namespace, the namespace is there (upstream
//! `plugin/pkg/admission/namespace/exists`).

use super::{Attributes, Operation, Parts, Plugin};
use crate::Reader;
use api::{Gvr, Status};

const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");

/// The plugin.
pub struct NamespaceExists {
    reader: Reader,
}

impl NamespaceExists {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self {
            reader: parts.reader.clone(),
        }
    }
}

impl Plugin for NamespaceExists {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        let of = request.request();
        let itself = of.group.is_empty() && of.resource == "namespaces";
        let asked = request.operation != Operation::Connect;
        asked
            && !itself
            && !of.namespace.is_empty()
            && self.reader.get(&NAMESPACES, "", &of.namespace).is_none()
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        Err(Status::not_found(&NAMESPACES, &request.request().namespace))
    }
}
