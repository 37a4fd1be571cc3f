//! Role.

use crate::{
    Row,
    names::{self, NameRule},
    write::{Kind, write},
};
use api::field::Error;
use k8s_openapi::api::rbac::v1::Role;

pub(crate) static ROW: Row = Row {
    namespaced: true,
    prefix: "/registry/roles",
    create_on_update: true,
    ..Row::usual(super::GROUP, "Role", "roles", "role", write::<Role>)
};

impl Kind for Role {
    const ROW: &'static Row = &ROW;
    const NAMES: NameRule = names::path_segment;

    fn defaults(&mut self) {
        self.rules.get_or_insert_default();
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        super::validate_rules(self.rules.as_deref().unwrap_or_default(), true, errors);
    }
}
