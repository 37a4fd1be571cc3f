//! DefaultStorageClass: a claim that names no class gets the default one, the newest if there are several (upstream
//! `plugin/pkg/admission/storage/storageclass/setdefault`).

use crate::{WriteRequest, core::persistent_volume::CLASS_ANNOTATION, meta, storage::storage_class};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;

/// Admits a new claim.
pub(crate) fn admit(claim: &mut PersistentVolumeClaim, request: &WriteRequest<'_>) {
    let annotations = claim.metadata.annotations.as_ref();
    let annotated = annotations.is_some_and(|annotations| annotations.contains_key(CLASS_ANNOTATION));
    let spec = claim.spec.get_or_insert_default();
    if annotated || spec.storage_class_name.is_some() || !request.cluster.admits("DefaultStorageClass") {
        return;
    }
    let classes = request.cluster.list(&storage_class::RESOURCE, "");
    spec.storage_class_name = meta::newest(classes.iter().filter(|class| storage_class::is_default(class)));
}
