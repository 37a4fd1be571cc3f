//! DeviceTaintRule.

use crate::{
    Row, STATUS, Version, WriteRequest, cells, encode,
    write::{Kind, write},
};
use k8s_openapi::{
    api::resource::v1::{DeviceTaintRule, DeviceTaintRuleStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/devicetaintrules",
    on_demand: &[Version::same("v1beta2"), Version::same("v1alpha3")],
    subresources: &[STATUS],
    columns: &[cells::NAME, cells::AGE],
    cells: super::name_and_age,
    ..Row::usual(
        super::GROUP,
        "DeviceTaintRule",
        "devicetaintrules",
        "devicetaintrule",
        write::<DeviceTaintRule>,
    )
};

impl Kind for DeviceTaintRule {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, request: &WriteRequest<'_>) {
        self.status = Some(DeviceTaintRuleStatus::default());
        self.spec.taint.time_added.get_or_insert(Time(request.now));
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
        let added = &mut self.spec.taint.time_added;
        *added = added.take().or_else(|| old.spec.taint.time_added.clone());
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}
