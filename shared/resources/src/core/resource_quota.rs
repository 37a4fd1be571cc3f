//! ResourceQuota.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells, meta, names, rules,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        ResourceQuota, ResourceQuotaSpec, ResourceQuotaStatus, ScopedResourceSelectorRequirement,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(crate) static ROW: Row = Row {
    short_names: &["quota"],
    prefix: "/registry/resourcequotas",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Request", "string", "Objects and requests: used and allowed."),
        cells::column("Limit", "string", "Limits: used and allowed."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "",
        "ResourceQuota",
        "resourcequotas",
        "resourcequota",
        write::<ResourceQuota>,
    )
};

impl Kind for ResourceQuota {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        self.spec.get_or_insert_default();
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(ResourceQuotaStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        amounts(spec.hard.as_ref(), "spec.hard", errors);
        for scope in spec.scopes.iter().flatten() {
            if !SCOPES.contains(&scope.as_str()) {
                errors.push(Error::invalid("spec.scopes", &spec.scopes, "unsupported scope"));
            }
        }
        let scopes = spec.scopes.as_deref().unwrap_or_default();
        conflicts(scopes.iter().map(String::as_str), spec, errors);
        if let Some(selector) = &spec.scope_selector {
            let terms = selector.match_expressions.as_deref().unwrap_or_default();
            conflicts(terms.iter().map(|term| term.scope_name.as_str()), spec, errors);
            for term in terms {
                validate_term(term, "spec.scopeSelector.matchExpressions", errors);
            }
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        let scopes = |quota: &Self| {
            let mut scopes = quota
                .spec
                .as_ref()
                .and_then(|spec| spec.scopes.clone())
                .unwrap_or_default();
            scopes.sort();
            scopes
        };
        rules::immutable("spec.scopes", &scopes(self), &scopes(old), errors);
    }

    fn validate_status(&self, _: &Self, errors: &mut Vec<Error>) {
        let Some(status) = &self.status else { return };
        amounts(status.hard.as_ref(), "status.hard", errors);
        amounts(status.used.as_ref(), "status.used", errors);
    }
}

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

/// What a quota can limit without a group in its name.
const STANDARD: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

fn amounts(list: Option<&BTreeMap<String, Quantity>>, path: &str, errors: &mut Vec<Error>) {
    for (name, quantity) in list.into_iter().flatten() {
        let path = field::key(path, name);
        let words = names::qualified_name(name);
        let known = STANDARD.contains(&name.as_str())
            || name.starts_with("hugepages-")
            || name.starts_with("requests.hugepages-");
        if words.is_empty() && !name.contains('/') && !known {
            let why = "must be a standard resource for quota";
            errors.push(Error::invalid(&path, name, why));
        }
        meta::invalid(errors, &path, name, words);
        rules::quantity(&path, quantity, errors);
        let counted = [
            "pods",
            "resourcequotas",
            "services",
            "replicationcontrollers",
            "secrets",
            "configmaps",
        ];
        let counted = counted.contains(&name.as_str())
            || name.starts_with("services.")
            || name.starts_with("count/")
            || name == "persistentvolumeclaims";
        if counted && rules::parse(quantity).is_some_and(|quantity| quantity.millis() % 1000 != 0) {
            errors.push(Error::invalid(&path, quantity, "must be an integer"));
        }
    }
}

fn conflicts<'a>(
    scopes: impl Iterator<Item = &'a str> + Clone,
    spec: &ResourceQuotaSpec,
    errors: &mut Vec<Error>,
) {
    for (one, other) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        let has = |name: &str| scopes.clone().any(|scope| scope == name);
        if has(one) && has(other) {
            errors.push(Error::invalid("spec.scopes", &spec.scopes, "conflicting scopes"));
        }
    }
}

fn validate_term(term: &ScopedResourceSelectorRequirement, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    if !SCOPES.contains(&term.scope_name.as_str()) {
        errors.push(Error::invalid(
            at("scopeName"),
            &term.scope_name,
            "unsupported scope",
        ));
    }
    let plain = !["PriorityClass", "VolumeAttributesClass"].contains(&term.scope_name.as_str());
    if plain && term.operator != "Exists" {
        let why = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
        errors.push(Error::invalid(at("operator"), &term.operator, why));
    }
    let values = term.values.as_deref().unwrap_or_default();
    match term.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            errors.push(Error::required(at("values"), why));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            errors.push(Error::invalid(at("values"), values, why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.push(Error::invalid(
            at("operator"),
            other,
            "not a valid selector operator",
        )),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusView {
    hard: BTreeMap<String, String>,
    used: BTreeMap<String, String>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let status = cells::view::<View>(object).status;
    let list = |limits: bool| {
        let hard = status
            .hard
            .iter()
            .filter(|(name, _)| name.starts_with("limits.") == limits);
        let texts: Vec<String> = hard
            .map(|(name, hard)| {
                format!(
                    "{name}: {}/{hard}",
                    status.used.get(name).map_or("0", String::as_str)
                )
            })
            .collect();
        Cell::Text(texts.join(", "))
    };
    vec![
        cells::name(object),
        list(false),
        list(true),
        cells::age(object, now),
    ]
}
