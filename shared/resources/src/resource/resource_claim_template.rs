//! ResourceClaimTemplate.

use super::resource_claim;
use crate::{
    Row, cells,
    write::{Kind, write},
};
use k8s_openapi::api::resource::v1::ResourceClaimTemplate;

pub(crate) static ROW: Row = Row {
    prefix: "/registry/resourceclaimtemplates",
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
}
