//! The table itself.

use crate::{
    Row, admissionregistration, apiextensions, apiregistration, apps, autoscaling, batch, certificates,
    coordination, core, discovery, flowcontrol, networking, node, policy, rbac, resource, scheduling,
    storage, storagemigration,
};

/// All built-in resources.
static TABLE: &[&Row] = &[
    &core::namespace::ROW,
    &core::node::ROW,
    &core::pod::ROW,
    &core::service::ROW,
    &core::endpoints::ROW,
    &core::component_status::ROW,
    &core::config_map::ROW,
    &core::secret::ROW,
    &core::service_account::ROW,
    &core::event::ROW,
    &core::limit_range::ROW,
    &core::persistent_volume::ROW,
    &core::persistent_volume_claim::ROW,
    &core::pod_template::ROW,
    &core::replication_controller::ROW,
    &core::resource_quota::ROW,
    &admissionregistration::admission_policies::MUTATING,
    &admissionregistration::admission_policies::MUTATING_BINDING,
    &admissionregistration::admission_policies::VALIDATING,
    &admissionregistration::admission_policies::VALIDATING_BINDING,
    &admissionregistration::webhooks::MUTATING,
    &admissionregistration::webhooks::VALIDATING,
    &apiextensions::ROW,
    &apiregistration::ROW,
    &apps::controller_revision::ROW,
    &apps::daemon_set::ROW,
    &apps::deployment::ROW,
    &apps::replica_set::ROW,
    &apps::stateful_set::ROW,
    &autoscaling::horizontal_pod_autoscaler::ROW,
    &batch::cron_job::ROW,
    &batch::job::ROW,
    &certificates::certificate_signing_request::ROW,
    &certificates::cluster_trust_bundle::ROW,
    &certificates::pod_certificate_request::ROW,
    &coordination::ROW,
    &discovery::ROW,
    &flowcontrol::flow_schema::ROW,
    &flowcontrol::priority_level_configuration::ROW,
    &networking::ingress::ROW,
    &networking::ingress_class::ROW,
    &networking::ip_address::ROW,
    &networking::network_policy::ROW,
    &networking::service_cidr::ROW,
    &node::ROW,
    &policy::ROW,
    &rbac::cluster_role::ROW,
    &rbac::cluster_role_binding::ROW,
    &rbac::role::ROW,
    &rbac::role_binding::ROW,
    &resource::device_class::ROW,
    &resource::device_taint_rule::ROW,
    &resource::resource_claim::ROW,
    &resource::resource_claim_template::ROW,
    &resource::resource_slice::ROW,
    &scheduling::ROW,
    &storage::csi_driver::ROW,
    &storage::csi_node::ROW,
    &storage::csi_storage_capacity::ROW,
    &storage::storage_class::ROW,
    &storage::volume_attachment::ROW,
    &storage::volume_attributes_class::ROW,
    &storagemigration::ROW,
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
