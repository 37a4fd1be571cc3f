//! ClusterTrustBundle: certificates that workloads trust.

use super::validation;
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
        let name = self.metadata.name.as_deref().unwrap_or_default();
        match self
            .spec
            .signer_name
            .as_deref()
            .filter(|signer| !signer.is_empty())
        {
            None if name.contains(':') => {
                let why = "ClusterTrustBundle without signer name must not have \":\" in its name";
                errors.push(Error::invalid("metadata.name", name, why));
            }
            None => {}
            Some(signer) => {
                let prefix = format!("{}:", signer.replace('/', ":"));
                if !name.starts_with(&prefix) {
                    let why = format!(
                        "ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
                    );
                    errors.push(Error::invalid("metadata.name", name, why));
                }
                validation::signer_name("spec.signerName", signer, errors);
            }
        }
        if let Err(why) = validation::certificates(self.spec.trust_bundle.as_bytes()) {
            errors.push(Error::invalid("spec.trustBundle", "<value omitted>", why));
        }
    }

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
