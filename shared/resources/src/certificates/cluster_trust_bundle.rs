//! ClusterTrustBundle: certificates that workloads trust.

use super::{trust, validation};
use crate::{
    Row, Version, cells, names,
    write::{Kind, write},
};
use api::field::Error;
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/clustertrustbundles",
    unconditional: false,
    on_demand: &[Version::same("v1beta1")],
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

    fn validate(&self, errors: &mut Vec<Error>) {
        check_names(self, errors);
        trust::bundle("spec.trustBundle", &self.spec.trust_bundle, errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        check_names(self, errors);
        if self.spec.trust_bundle != old.spec.trust_bundle {
            trust::bundle("spec.trustBundle", &self.spec.trust_bundle, errors);
        }
        if self.spec.signer_name != old.spec.signer_name {
            errors.push(Error::invalid(
                "spec.signerName",
                &self.spec.signer_name,
                "field is immutable",
            ));
        }
    }
}

/// The name says whose signer's bundle it is.
fn check_names(bundle: &ClusterTrustBundle, errors: &mut Vec<Error>) {
    let name = bundle.metadata.name.as_deref().unwrap_or_default();
    let signer = bundle.spec.signer_name.as_deref().unwrap_or_default();
    if signer.is_empty() {
        if name.contains(':') {
            let why = "ClusterTrustBundle without signer name must not have \":\" in its name";
            errors.push(Error::invalid("metadata.name", name, why));
        }
        return;
    }
    let prefix = format!("{}:", signer.replace('/', ":"));
    if !name.starts_with(&prefix) {
        let why = format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}");
        errors.push(Error::invalid("metadata.name", name, why));
    }
    validation::signer_name("spec.signerName", signer, errors);
}
