//! ClusterTrustBundle: certificates that workloads trust.

use crate::{
    Row, cells, names,
    write::{Kind, write},
};
use api::field::Error;
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/clustertrustbundles",
    fields: &["spec.signerName"],
    columns: &[
        cells::NAME,
        cells::column("SignerName", "string", "Whose certificates they are."),
    ],
    cells: |object, _| vec![cells::name(object), cells::or_none(object.field(0))],
    ..Row::usual(
        "certificates.k8s.io",
        "ClusterTrustBundle",
        "clustertrustbundles",
        "clustertrustbundle",
        write::<ClusterTrustBundle>,
    )
};

impl Kind for ClusterTrustBundle {
    const ROW: &'static Row = &ROW;
    const NAMES: names::NameRule = names::path_segment;

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        if self.spec.signer_name != old.spec.signer_name {
            errors.push(Error::invalid(
                "spec.signerName",
                &self.spec.signer_name,
                "field is immutable",
            ));
        }
    }
}
