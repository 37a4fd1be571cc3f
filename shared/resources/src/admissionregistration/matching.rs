//! Which requests webhooks and policies are asked about.

use super::expressions;
use crate::{meta, names, rules, selector};
use api::{field, field::Error};
use k8s_openapi::{
    api::admissionregistration::v1::{
        MatchCondition, MatchResources, NamedRuleWithOperations, ParamKind, ParamRef, RuleWithOperations,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use std::collections::BTreeSet;

const ALL_SCOPES: &str = "*";

/// Defaults of a webhook's rules.
pub(super) fn default_rules(rules: &mut Option<Vec<RuleWithOperations>>) {
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

/// The lists of a rule.
pub(super) struct Lists<'a> {
    pub operations: Option<&'a [String]>,
    pub groups: Option<&'a [String]>,
    pub versions: Option<&'a [String]>,
    pub resources: Option<&'a [String]>,
    pub scope: Option<&'a str>,
}

impl Lists<'_> {
    /// Rules for a rule.
    pub(super) fn validate(&self, path: &str, errors: &mut Vec<Error>) {
        let at = |name: &str| field::child(path, name);
        let lists = [
            ("operations", self.operations, "operations"),
            ("apiGroups", self.groups, "API groups"),
            ("apiVersions", self.versions, "API versions"),
        ];
        for (name, list, words) in lists {
            let list = list.unwrap_or_default();
            if list.is_empty() {
                errors.push(Error::required(at(name), ""));
            }
            if list.len() > 1 && list.iter().any(|item| item == "*") {
                let why = format!("if '*' is present, must not specify other {words}");
                errors.push(Error::invalid(at(name), list, why));
            }
            for (i, _) in list
                .iter()
                .enumerate()
                .filter(|(_, item)| item.is_empty() && name == "apiVersions")
            {
                errors.push(Error::required(field::index(&at(name), i), ""));
            }
        }
        let supported = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
        for (i, operation) in self.operations.unwrap_or_default().iter().enumerate() {
            if !supported.contains(&operation.as_str()) {
                let path = field::index(&at("operations"), i);
                errors.push(Error::not_supported(path, operation, &supported));
            }
        }
        let resources = self.resources.unwrap_or_default();
        if resources.is_empty() {
            errors.push(Error::required(at("resources"), ""));
        }
        for (i, _) in resources
            .iter()
            .enumerate()
            .filter(|(_, resource)| resource.is_empty())
        {
            errors.push(Error::required(field::index(&at("resources"), i), ""));
        }
        let has = |name: &str| resources.iter().any(|resource| resource == name);
        if resources.len() > 1 && has("*/*") {
            let why = "if '*/*' is present, must not specify other resources";
            errors.push(Error::invalid(at("resources"), resources, why));
        }
        if has("*")
            && resources
                .iter()
                .any(|resource| resource != "*" && !resource.contains('/'))
        {
            let why = "if '*' is present, must not specify other resources without subresources";
            errors.push(Error::invalid(at("resources"), resources, why));
        }
        let scopes = ["*", "Cluster", "Namespaced"];
        rules::one_of(self.scope, &scopes, &at("scope"), errors);
    }
}

/// Rules for the conditions of a webhook or policy; `params`: they may name the parameters.
pub(super) fn conditions(list: &[MatchCondition], params: bool, path: &str, errors: &mut Vec<Error>) {
    rules::at_most(path, list.len(), 64, errors);
    let mut seen = BTreeSet::new();
    for (i, condition) in list.iter().enumerate() {
        let path = field::index(path, i);
        rules::required(
            &field::child(&path, "expression"),
            condition.expression.trim(),
            errors,
        );
        if !condition.expression.trim().is_empty() {
            let path = field::child(&path, "expression");
            expressions::condition(&condition.expression, params, path, errors);
        }
        let name = field::child(&path, "name");
        rules::required(&name, &condition.name, errors);
        if !condition.name.is_empty() {
            meta::invalid(
                errors,
                &name,
                &condition.name,
                names::qualified_name(&condition.name),
            );
            if !seen.insert(&condition.name) {
                errors.push(Error::duplicate(name, &condition.name));
            }
        }
    }
}

/// Rules for a policy's constraints.
pub(super) fn constraints(matching: &MatchResources, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    let policies = ["Equivalent", "Exact"];
    rules::one_of(
        matching.match_policy.as_deref(),
        &policies,
        &at("matchPolicy"),
        errors,
    );
    for (name, wanted) in [
        ("namespaceSelector", &matching.namespace_selector),
        ("objectSelector", &matching.object_selector),
    ] {
        if let Some(wanted) = wanted {
            selector::validate(wanted, &at(name), errors);
        }
    }
    for (name, list) in [
        ("resourceRules", &matching.resource_rules),
        ("excludeResourceRules", &matching.exclude_resource_rules),
    ] {
        for (i, rule) in list.iter().flatten().enumerate() {
            named(rule).validate(&field::index(&at(name), i), errors);
        }
    }
}

fn named(rule: &NamedRuleWithOperations) -> Lists<'_> {
    Lists {
        operations: rule.operations.as_deref(),
        groups: rule.api_groups.as_deref(),
        versions: rule.api_versions.as_deref(),
        resources: rule.resources.as_deref(),
        scope: rule.scope.as_deref(),
    }
}

/// Rules for a binding: the policy, its parameters, where it holds.
pub(super) fn binding(
    policy: &str,
    param: Option<&ParamRef>,
    matching: Option<&MatchResources>,
    errors: &mut Vec<Error>,
) {
    if policy.is_empty() {
        errors.push(Error::required("spec.policyName", ""));
    } else {
        meta::invalid(errors, "spec.policyName", policy, names::dns_subdomain(policy));
    }
    if let Some(param) = param {
        let path = "spec.paramRef";
        match (param.name.as_deref().unwrap_or_default(), &param.selector) {
            ("", None) => {
                let why = "one of name or selector must be specified";
                errors.push(Error::required(path, why));
            }
            (name, Some(_)) if !name.is_empty() => {
                let why = "name and selector are mutually exclusive";
                errors.push(Error::forbidden("spec.paramRef.name", why));
            }
            _ => {}
        }
        let actions = ["Allow", "Deny"];
        let action = param.parameter_not_found_action.as_deref();
        rules::one_of(action, &actions, "spec.paramRef.parameterNotFoundAction", errors);
    }
    if let Some(matching) = matching {
        constraints(matching, "spec.matchResources", errors);
    }
}

/// Rules for the kind of a policy's parameters.
pub(super) fn param_kind(kind: Option<&ParamKind>, errors: &mut Vec<Error>) {
    const VERSION: &str = "spec.paramKind.apiVersion";
    const KIND: &str = "spec.paramKind.kind";
    let Some(kind) = kind else { return };
    let version = kind.api_version.as_deref().unwrap_or_default();
    match version.split('/').collect::<Vec<_>>().as_slice() {
        [""] => errors.push(Error::required(VERSION, "")),
        [name] => meta::invalid(errors, VERSION, name, names::dns_1035_label(name)),
        [_, ""] => errors.push(Error::invalid(VERSION, version, "version must be specified")),
        [group, name] => {
            meta::invalid(errors, VERSION, name, names::dns_1035_label(name));
            if !group.is_empty() {
                meta::invalid(errors, VERSION, group, names::dns_subdomain(group));
            }
        }
        _ => {
            let why = format!("unexpected GroupVersion string: {version}");
            errors.push(Error::invalid(VERSION, version, why));
        }
    }
    let kind = kind.kind.as_deref().unwrap_or_default();
    if kind.is_empty() {
        errors.push(Error::required(KIND, ""));
        return;
    }
    let wrong = names::dns_1035_label(&kind.to_ascii_lowercase());
    if !wrong.is_empty() {
        let why = format!(
            "may have mixed case, but should otherwise match: {}",
            wrong.join(",")
        );
        errors.push(Error::invalid(KIND, kind, why));
    }
}

/// Rules for what policies of both sorts have.
pub(super) fn policy(
    matching: Option<&MatchResources>,
    failure: Option<&str>,
    match_conditions: &[MatchCondition],
    params: bool,
    errors: &mut Vec<Error>,
) {
    rules::one_of(failure, &["Fail", "Ignore"], "spec.failurePolicy", errors);
    match matching {
        None => errors.push(Error::required("spec.matchConstraints", "")),
        Some(matching) => {
            if matching.resource_rules.as_ref().is_none_or(Vec::is_empty) {
                errors.push(Error::required("spec.matchConstraints.resourceRules", ""));
            }
            constraints(matching, "spec.matchConstraints", errors);
        }
    }
    conditions(match_conditions, params, "spec.matchConditions", errors);
}
