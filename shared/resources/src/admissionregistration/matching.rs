//! Which requests webhooks and policies are asked about.

use k8s_openapi::{
    api::admissionregistration::v1::{MatchResources, ParamRef, RuleWithOperations},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

const ALL_SCOPES: &str = "*";

/// Defaults of a webhook's rules.
pub(super) fn rules(rules: &mut Option<Vec<RuleWithOperations>>) {
    for rule in rules.iter_mut().flatten() {
        rule.scope.get_or_insert_with(|| ALL_SCOPES.to_owned());
    }
}

/// Defaults of the policy and the two selectors: an empty selector matches everything.
pub(super) fn selectors(
    policy: &mut Option<String>,
    namespaces: &mut Option<LabelSelector>,
    objects: &mut Option<LabelSelector>,
) {
    policy.get_or_insert_with(|| "Equivalent".to_owned());
    namespaces.get_or_insert_default();
    objects.get_or_insert_default();
}

/// Defaults of a policy's constraints.
pub(super) fn resources(matching: &mut Option<MatchResources>) {
    let Some(matching) = matching else { return };
    selectors(
        &mut matching.match_policy,
        &mut matching.namespace_selector,
        &mut matching.object_selector,
    );
    let rules = matching
        .resource_rules
        .iter_mut()
        .chain(&mut matching.exclude_resource_rules);
    for rule in rules.flatten() {
        rule.scope.get_or_insert_with(|| ALL_SCOPES.to_owned());
    }
}

/// Defaults of a binding's parameters.
pub(super) fn parameters(param: &mut Option<ParamRef>) {
    if let Some(param) = param {
        param
            .parameter_not_found_action
            .get_or_insert_with(|| "Deny".to_owned());
    }
}
