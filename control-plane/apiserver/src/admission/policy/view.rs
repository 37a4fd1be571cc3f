//! Policies and bindings as they are stored.

use crate::admission::matching::MatchResources;
use api::MatchSelector;
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct PolicyView {
    pub spec: PolicySpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PolicySpec {
    pub match_constraints: MatchResources,
    pub match_conditions: Vec<Condition>,
    pub variables: Vec<Condition>,
    pub param_kind: Option<ParamKind>,
    pub failure_policy: String,
    pub validations: Vec<Validation>,
    pub audit_annotations: Vec<AuditAnnotation>,
    pub mutations: Vec<Mutation>,
    pub reinvocation_policy: String,
}

/// An expression with a name.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    pub name: String,
    pub expression: String,
}

/// What the parameters are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ParamKind {
    pub api_version: String,
    pub kind: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Validation {
    pub expression: String,
    pub message: String,
    pub message_expression: String,
    pub reason: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct AuditAnnotation {
    pub key: String,
    pub value_expression: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Mutation {
    pub patch_type: String,
    pub apply_configuration: Expression,
    pub json_patch: Expression,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Expression {
    pub expression: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct BindingView {
    pub spec: BindingSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BindingSpec {
    pub policy_name: String,
    pub param_ref: Option<ParamRef>,
    pub match_resources: MatchResources,
    pub validation_actions: Vec<String>,
}

/// Which objects are the parameters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ParamRef {
    pub name: String,
    pub namespace: String,
    pub selector: Option<MatchSelector>,
    pub parameter_not_found_action: String,
}
