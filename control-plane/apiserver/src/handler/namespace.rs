//! NamespaceLifecycle: new objects need a namespace that is there and stays, and some namespaces always stay.

use super::{Handler, Place};
use api::{Gvr, Status};

const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
const PLUGIN: &str = "NamespaceLifecycle";
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

impl Handler {
    /// Whether a new object may be made at `place`.
    pub(super) fn check_namespace(&self, place: &Place) -> Result<(), Status> {
        if !place.row().namespaced || !self.admission.has(PLUGIN) {
            return Ok(());
        }
        let found = self
            .cache("", "namespaces")
            .and_then(|cache| cache.get("", &place.namespace));
        let Some(namespace) = found else {
            return Err(Status::not_found(&NAMESPACES, &place.namespace));
        };
        if namespace.hub().deletion_timestamp().is_none() {
            return Ok(());
        }
        let name = &place.namespace;
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        let message = format!("namespace {name} is being terminated");
        let status = Status::forbidden(&place.gvr(), &place.name, &why);
        Err(status.with_cause("NamespaceTerminating", message, "metadata.namespace"))
    }

    /// Whether the object at `place` may be deleted at all.
    pub(super) fn check_mortal(&self, place: &Place) -> Result<(), Status> {
        let row = place.row();
        let namespace = row.group.is_empty() && row.plural == "namespaces";
        if namespace && IMMORTAL.contains(&place.name.as_str()) && self.admission.has(PLUGIN) {
            let why = "this namespace may not be deleted";
            return Err(Status::forbidden(&NAMESPACES, &place.name, why));
        }
        Ok(())
    }
}
