//! ClusterRole.

use crate::{
    Row,
    names::{self, NameRule},
    write::{Kind, write},
};
use api::field::Error;
use k8s_openapi::api::rbac::v1::ClusterRole;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/clusterroles",
    create_on_update: true,
    ..Row::usual(
        super::GROUP,
        "ClusterRole",
        "clusterroles",
        "clusterrole",
        write::<ClusterRole>,
    )
};

impl Kind for ClusterRole {
    const ROW: &'static Row = &ROW;
    const NAMES: NameRule = names::path_segment;

    fn defaults(&mut self) {
        self.rules.get_or_insert_default();
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        super::validate_rules(self.rules.as_deref().unwrap_or_default(), false, errors);
        let Some(aggregation) = &self.aggregation_rule else {
            return;
        };
        let path = "aggregationRule.clusterRoleSelectors";
        let selectors = aggregation.cluster_role_selectors.as_deref().unwrap_or_default();
        if selectors.is_empty() {
            errors.push(Error::required(
                path,
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            ));
        }
        for (i, selector) in selectors.iter().enumerate() {
            crate::selector::validate(selector, &api::field::index(path, i), errors);
        }
    }
}
