//! PodCertificateRequest: a kubelet asks for a certificate for a pod.

use crate::{
    Row, STATUS, Version, WriteRequest,
    write::{Kind, write},
};
use api::field::Error;
use k8s_openapi::api::certificates::v1::{PodCertificateRequest, PodCertificateRequestStatus};

pub(crate) static ROW: Row = Row {
    prefix: "/registry/podcertificaterequests",
    unconditional: false,
    on_demand: &[Version::same("v1beta1")],
    subresources: &[STATUS],
    fields: &["spec.signerName", "spec.podName", "spec.nodeName"],
    ..Row::usual(
        "certificates.k8s.io",
        "PodCertificateRequest",
        "podcertificaterequests",
        "podcertificaterequest",
        write::<PodCertificateRequest>,
    )
};

impl Kind for PodCertificateRequest {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        self.spec.max_expiration_seconds.get_or_insert(86400);
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(PodCertificateRequestStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        if self.spec != old.spec {
            errors.push(Error::invalid("spec", &self.spec, "field is immutable"));
        }
    }
}
