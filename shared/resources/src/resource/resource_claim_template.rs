//! ResourceClaimTemplate.

use super::{admin_access, resource_claim};
use crate::{
    Row, Version, WriteRequest, cells, rules,
    write::{Kind, write},
};
use api::{Status, field::Error};
use k8s_openapi::api::resource::v1::ResourceClaimTemplate;

pub(crate) static ROW: Row = Row {
    prefix: "/registry/resourceclaimtemplates",
    on_demand: &[Version::same("v1beta2")],
    columns: &[cells::NAME, cells::AGE],
    cells: super::name_and_age,
    ..Row::usual(
        super::GROUP,
        "ResourceClaimTemplate",
        "resourceclaimtemplates",
        "resourceclaimtemplate",
        write::<ResourceClaimTemplate>,
    )
};

impl Kind for ResourceClaimTemplate {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.metadata.get_or_insert_default();
        resource_claim::defaults(spec.spec.get_or_insert_default());
    }

    fn admit(&mut self, old: Option<&Self>, request: &WriteRequest<'_>) -> Result<(), Status> {
        let spec = self.spec.as_ref().and_then(|spec| spec.spec.as_ref());
        match (spec, old) {
            (Some(spec), None) => admin_access::admit(spec, &ROW, request),
            _ => Ok(()),
        }
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        if let Some(spec) = self.spec.as_ref().and_then(|spec| spec.spec.as_ref()) {
            resource_claim::validate(spec, "spec.spec", errors);
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        rules::immutable("spec", &self.spec, &old.spec, errors);
    }
}
