//! RoleBinding.

use crate::{
    Row,
    names::{self, NameRule},
    write::{Kind, write},
};
use api::field::Error;
use k8s_openapi::api::rbac::v1::RoleBinding;

pub(crate) static ROW: Row = Row {
    namespaced: true,
    prefix: "/registry/rolebindings",
    create_on_update: true,
    columns: super::BINDING_COLUMNS,
    cells: super::binding_cells,
    ..Row::usual(
        super::GROUP,
        "RoleBinding",
        "rolebindings",
        "rolebinding",
        write::<RoleBinding>,
    )
};

impl Kind for RoleBinding {
    const ROW: &'static Row = &ROW;
    const NAMES: NameRule = names::path_segment;

    fn defaults(&mut self) {
        super::default_binding(&mut self.role_ref, &mut self.subjects);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        super::validate_binding(
            &self.role_ref,
            self.subjects.as_ref(),
            &["Role", "ClusterRole"],
            true,
            errors,
        );
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        super::validate_role_ref(&self.role_ref, &old.role_ref, errors);
    }
}
