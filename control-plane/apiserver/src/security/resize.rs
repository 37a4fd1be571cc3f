//! PersistentVolumeClaimResize: a claim grows only if its class says that it can (upstream
//! `plugin/pkg/admission/storage/persistentvolume/resize`).

use crate::admission::{self, Plugin};
use crate::server::Reader;
use api::{Gvr, Object, Status, volume::Claim};
use serde::Deserialize;
use std::sync::Arc;

const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");
const CLASSES: Gvr = Gvr::new("storage.k8s.io", "v1", "storageclasses");

/// The guard of the size of claims.
pub struct ClaimResize {
    reader: Reader,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Class {
    allow_volume_expansion: bool,
}

impl ClaimResize {
    /// Over what is stored.
    pub fn new(reader: Reader) -> Self {
        Self { reader }
    }

    fn grows(&self, claim: &Claim) -> bool {
        let class = self.reader.get(&CLASSES, "", &claim.class());
        let class: Option<Class> = class.and_then(|class| class.view().ok());
        class.is_some_and(|class| class.allow_volume_expansion)
    }
}

impl Plugin for ClaimResize {
    fn validates(&self, request: &admission::Attributes<'_>) -> bool {
        request.is("", "persistentvolumeclaims")
    }

    fn validate(&self, request: &admission::Attributes<'_>) -> Result<(), Status> {
        let (attributes, old, new) = (
            request.request(),
            request.old.as_deref(),
            request.object.as_deref(),
        );
        let concerns = attributes.group.is_empty()
            && attributes.resource == "persistentvolumeclaims"
            && attributes.subresource.is_empty();
        let (true, Some(old), Some(new)) = (concerns, old, new) else {
            return Ok(());
        };
        let claim = |object: &Object| Claim::new(Arc::new(object.clone()));
        let (Some(old), Some(new)) = (claim(old), claim(new)) else {
            return Ok(());
        };
        if new.size() <= old.size() {
            return Ok(());
        }
        let refuse = |why| Err(Status::forbidden(&CLAIMS, new.object.name(), why));
        if old.status.phase != "Bound" {
            return refuse("Only bound persistent volume claims can be expanded");
        }
        if !self.grows(&new) {
            return refuse(
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
                 support resize",
            );
        }
        Ok(())
    }
}
