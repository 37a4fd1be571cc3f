//! ValidatingAdmissionPolicy, MutatingAdmissionPolicy and their bindings.

use super::{expressions::Judge, matching};
use crate::{
    Cell, Column, Row, STATUS, Version, WriteRequest, cells, encode, rules,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, Variable,
};
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeSet;

const GROUP: &str = "admissionregistration.k8s.io";

pub(crate) static VALIDATING: Row = Row {
    categories: &["api-extensions"],
    namespaced: false,
    prefix: "/registry/validatingadmissionpolicies",
    unconditional: false,
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Validations", "integer", "Number of rules."),
        PARAM_KIND,
        cells::AGE,
    ],
    cells: policy_cells,
    ..Row::usual(
        GROUP,
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        "validatingadmissionpolicy",
        write::<ValidatingAdmissionPolicy>,
    )
};

pub(crate) static MUTATING: Row = Row {
    categories: &["api-extensions"],
    namespaced: false,
    prefix: "/registry/mutatingadmissionpolicies",
    unconditional: false,
    on_demand: &[Version::same("v1beta1"), Version::same("v1alpha1")],
    columns: &[
        cells::NAME,
        cells::column("Mutations", "integer", "Number of changes."),
        PARAM_KIND,
        cells::AGE,
    ],
    cells: policy_cells,
    ..Row::usual(
        GROUP,
        "MutatingAdmissionPolicy",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicy",
        write::<MutatingAdmissionPolicy>,
    )
};

pub(crate) static VALIDATING_BINDING: Row = Row {
    categories: &["api-extensions"],
    namespaced: false,
    prefix: "/registry/validatingadmissionpolicybindings",
    unconditional: false,
    columns: BINDING,
    cells: binding_cells,
    ..Row::usual(
        GROUP,
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicybinding",
        write::<ValidatingAdmissionPolicyBinding>,
    )
};

pub(crate) static MUTATING_BINDING: Row = Row {
    categories: &["api-extensions"],
    namespaced: false,
    prefix: "/registry/mutatingadmissionpolicybindings",
    unconditional: false,
    on_demand: &[Version::same("v1beta1"), Version::same("v1alpha1")],
    columns: BINDING,
    cells: binding_cells,
    ..Row::usual(
        GROUP,
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        "mutatingadmissionpolicybinding",
        write::<MutatingAdmissionPolicyBinding>,
    )
};

const PARAM_KIND: Column = cells::column("ParamKind", "string", "The kind of the parameters.");
const BINDING: &[Column] = &[
    cells::NAME,
    cells::column("PolicyName", "string", "The policy."),
    cells::column("ParamRef", "string", "The parameters."),
    cells::AGE,
];

impl Kind for ValidatingAdmissionPolicy {
    const ROW: &'static Row = &VALIDATING;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.failure_policy.get_or_insert_with(|| "Fail".to_owned());
        matching::resources(&mut spec.match_constraints);
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(Default::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        let conditions = spec.match_conditions.as_deref().unwrap_or_default();
        let failure = spec.failure_policy.as_deref();
        let params = spec.param_kind.is_some();
        matching::param_kind(spec.param_kind.as_ref(), errors);
        matching::policy(
            spec.match_constraints.as_ref(),
            failure,
            conditions,
            params,
            errors,
        );
        let rules = spec.validations.as_deref().unwrap_or_default();
        if rules.is_empty() && spec.audit_annotations.as_ref().is_none_or(Vec::is_empty) {
            let why = "validations or auditAnnotations must contain at least one item";
            errors.push(Error::required("spec.validations", why));
            errors.push(Error::required("spec.auditAnnotations", why));
        }
        let mut judge = Judge::new(params, false, errors);
        judge.variables(spec.variables.as_deref().unwrap_or_default());
        let annotations = spec.audit_annotations.as_deref().unwrap_or_default();
        judge.annotations(self.metadata.name.as_deref().unwrap_or_default(), annotations);
        for (i, rule) in rules.iter().enumerate() {
            judge.validation(rule, &field::index("spec.validations", i));
        }
        for (i, rule) in rules.iter().enumerate() {
            let path = field::index("spec.validations", i);
            if rule.expression.trim().is_empty() {
                let why = "expression is not specified";
                errors.push(Error::required(field::child(&path, "expression"), why));
            }
            let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
            if let Some(reason) = &rule.reason
                && !reasons.contains(&reason.as_str())
            {
                errors.push(Error::not_supported(
                    field::child(&path, "reason"),
                    reason,
                    &reasons,
                ));
            }
        }
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}

impl Kind for MutatingAdmissionPolicy {
    const ROW: &'static Row = &MUTATING;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.failure_policy.get_or_insert_with(|| "Fail".to_owned());
        spec.reinvocation_policy.get_or_insert_with(|| "Never".to_owned());
        matching::resources(&mut spec.match_constraints);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        let conditions = spec.match_conditions.as_deref().unwrap_or_default();
        let failure = spec.failure_policy.as_deref();
        let params = spec.param_kind.is_some();
        matching::param_kind(spec.param_kind.as_ref(), errors);
        matching::policy(
            spec.match_constraints.as_ref(),
            failure,
            conditions,
            params,
            errors,
        );
        let policy = spec.reinvocation_policy.as_deref();
        rules::one_of(policy, &["IfNeeded", "Never"], "spec.reinvocationPolicy", errors);
        let mutations = spec.mutations.as_deref().unwrap_or_default();
        if mutations.is_empty() {
            let why = "mutations must contain at least one item";
            errors.push(Error::required("spec.mutations", why));
        }
        let mut judge = Judge::new(params, true, errors);
        // Variables of both sorts of policies are the same.
        let variables = spec.variables.iter().flatten().map(|of| Variable {
            name: of.name.clone(),
            expression: of.expression.clone(),
        });
        judge.variables(&variables.collect::<Vec<_>>());
        for (i, mutation) in mutations.iter().enumerate() {
            judge.mutation(mutation, &field::index("spec.mutations", i));
        }
        for (i, mutation) in mutations.iter().enumerate() {
            let path = field::index("spec.mutations", i);
            let kinds = ["ApplyConfiguration", "JSONPatch"];
            let kind = &mutation.patch_type;
            rules::one_of(Some(kind), &kinds, &field::child(&path, "patchType"), errors);
            let (name, there) = match kind.as_str() {
                "JSONPatch" => ("jsonPatch", mutation.json_patch.is_some()),
                _ => ("applyConfiguration", mutation.apply_configuration.is_some()),
            };
            if !there {
                let why = format!("must be specified when patchType is {kind}");
                errors.push(Error::required(field::child(&path, name), why));
            }
        }
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}

impl Kind for ValidatingAdmissionPolicyBinding {
    const ROW: &'static Row = &VALIDATING_BINDING;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        matching::parameters(&mut self.spec.param_ref);
        matching::resources(&mut self.spec.match_resources);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let spec = &self.spec;
        let (param, matching) = (spec.param_ref.as_ref(), spec.match_resources.as_ref());
        matching::binding(&spec.policy_name, param, matching, errors);
        let path = "spec.validationActions";
        if spec.validation_actions.is_empty() {
            errors.push(Error::required(path, ""));
        }
        let mut seen = BTreeSet::new();
        for (i, action) in spec.validation_actions.iter().enumerate() {
            let path = field::index(path, i);
            rules::one_of(Some(action), &["Audit", "Deny", "Warn"], &path, errors);
            if !seen.insert(action) {
                errors.push(Error::duplicate(path, action));
            }
        }
        if seen.contains(&"Deny".to_owned()) && seen.contains(&"Warn".to_owned()) {
            let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
            errors.push(Error::invalid(path, &spec.validation_actions, why));
        }
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}

impl Kind for MutatingAdmissionPolicyBinding {
    const ROW: &'static Row = &MUTATING_BINDING;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        matching::parameters(&mut spec.param_ref);
        matching::resources(&mut spec.match_resources);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        let policy = spec.policy_name.as_deref().unwrap_or_default();
        matching::binding(
            policy,
            spec.param_ref.as_ref(),
            spec.match_resources.as_ref(),
            errors,
        );
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PolicyView {
    spec: PolicySpecView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PolicySpecView {
    validations: Vec<IgnoredAny>,
    mutations: Vec<IgnoredAny>,
    param_kind: Option<ParamKindView>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ParamKindView {
    api_version: String,
    kind: String,
}

/// A policy has either validations or mutations.
fn policy_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let spec = cells::view::<PolicyView>(object).spec;
    let rules = if spec.mutations.is_empty() {
        &spec.validations
    } else {
        &spec.mutations
    };
    vec![
        cells::name(object),
        cells::count(rules),
        cells::or_unset(
            spec.param_kind
                .map(|of| format!("{}/{}", of.api_version, of.kind)),
        ),
        cells::age(object, now),
    ]
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BindingView {
    spec: BindingSpecView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BindingSpecView {
    policy_name: String,
    param_ref: Option<ParamRefView>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ParamRefView {
    name: String,
    namespace: String,
}

fn binding_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let spec = cells::view::<BindingView>(object).spec;
    let param = spec
        .param_ref
        .filter(|param| !param.name.is_empty())
        .map(|param| {
            let namespace = if param.namespace.is_empty() {
                "*"
            } else {
                &param.namespace
            };
            format!("{namespace}/{}", param.name)
        });
    vec![
        cells::name(object),
        Cell::Text(spec.policy_name),
        cells::or_unset(param),
        cells::age(object, now),
    ]
}
