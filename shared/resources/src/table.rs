//! The table itself.

use crate::{Row, apps, autoscaling, coordination, core, discovery, rbac, scheduling};

/// All built-in resources.
static TABLE: &[&Row] = &[
    &core::namespace::ROW,
    &core::node::ROW,
    &core::pod::ROW,
    &core::service::ROW,
    &core::endpoints::ROW,
    &core::config_map::ROW,
    &core::secret::ROW,
    &core::service_account::ROW,
    &core::event::ROW,
    &apps::deployment::ROW,
    &apps::replica_set::ROW,
    &autoscaling::horizontal_pod_autoscaler::ROW,
    &coordination::ROW,
    &discovery::ROW,
    &rbac::cluster_role::ROW,
    &rbac::cluster_role_binding::ROW,
    &rbac::role::ROW,
    &rbac::role_binding::ROW,
    &scheduling::ROW,
];

/// All built-in resources.
pub fn table() -> &'static [&'static Row] {
    TABLE
}

fn serves(row: &Row, group: &str) -> bool {
    row.versions
        .iter()
        .any(|version| version.group.unwrap_or(row.group) == group)
}

/// The resource `plural` of `group` (of any group in which it is served).
pub fn find(group: &str, plural: &str) -> Option<&'static Row> {
    TABLE
        .iter()
        .copied()
        .find(|row| row.plural == plural && serves(row, group))
}

/// The resource of `kind` in `group`.
pub fn by_kind(group: &str, kind: &str) -> Option<&'static Row> {
    TABLE
        .iter()
        .copied()
        .find(|row| row.kind == kind && serves(row, group))
}
