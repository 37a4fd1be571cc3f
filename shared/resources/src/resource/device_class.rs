//! DeviceClass.

use crate::{
    Row, Version, cells, encode,
    write::{Kind, write},
};
use k8s_openapi::api::resource::v1::DeviceClass;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/deviceclasses",
    on_demand: &[Version::same("v1beta2")],
    columns: &[cells::NAME, cells::AGE],
    cells: super::name_and_age,
    ..Row::usual(
        super::GROUP,
        "DeviceClass",
        "deviceclasses",
        "deviceclass",
        write::<DeviceClass>,
    )
};

impl Kind for DeviceClass {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        self.spec.get_or_insert_default();
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}
