//! ClusterRoleBinding.

use crate::{
    Row,
    names::{self, NameRule},
    write::{Kind, write},
};
use api::field::Error;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/clusterrolebindings",
    create_on_update: true,
    columns: super::BINDING_COLUMNS,
    cells: super::binding_cells,
    ..Row::usual(
        super::GROUP,
        "ClusterRoleBinding",
        "clusterrolebindings",
        "clusterrolebinding",
        write::<ClusterRoleBinding>,
    )
};

impl Kind for ClusterRoleBinding {
    const ROW: &'static Row = &ROW;
    const NAMES: NameRule = names::path_segment;

    fn defaults(&mut self) {
        super::default_binding(&mut self.role_ref, &mut self.subjects);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        super::validate_binding(
            &self.role_ref,
            self.subjects.as_ref(),
            &["ClusterRole"],
            false,
            errors,
        );
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        super::validate_role_ref(&self.role_ref, &old.role_ref, errors);
    }
}
