//! DefaultIngressClass: an Ingress that names no class gets the default one, the newest if there are several (upstream
//! `plugin/pkg/admission/network/defaultingressclass`).

use crate::{
    WriteRequest, meta,
    networking::{ingress::CLASS_ANNOTATION, ingress_class},
};
use k8s_openapi::api::networking::v1::Ingress;

/// Admits a new Ingress.
pub(crate) fn admit(ingress: &mut Ingress, request: &WriteRequest<'_>) {
    let annotations = ingress.metadata.annotations.as_ref();
    let annotated = annotations.is_some_and(|annotations| annotations.contains_key(CLASS_ANNOTATION));
    let spec = ingress.spec.get_or_insert_default();
    if annotated || spec.ingress_class_name.is_some() || !request.cluster.admits("DefaultIngressClass") {
        return;
    }
    let classes = request.cluster.list(&ingress_class::RESOURCE, "");
    spec.ingress_class_name = meta::newest(classes.iter().filter(|class| ingress_class::is_default(class)));
}
