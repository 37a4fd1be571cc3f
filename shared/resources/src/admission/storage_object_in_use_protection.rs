//! StorageObjectInUseProtection: a volume or a claim goes when nobody uses it (upstream
//! `plugin/pkg/admission/storage/storageobjectinuseprotection`).

use crate::WriteRequest;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Gives a new object the finalizer that is taken away when it is not used.
pub(crate) fn admit(metadata: &mut ObjectMeta, finalizer: &str, request: &WriteRequest<'_>) {
    if !request.cluster.admits("StorageObjectInUseProtection") {
        return;
    }
    let finalizers = metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|name| name == finalizer) {
        finalizers.push(finalizer.to_owned());
    }
}
