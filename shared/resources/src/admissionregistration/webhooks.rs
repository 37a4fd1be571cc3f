//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration.

use super::{client, matching};
use crate::{
    Cell, Column, Row, cells, encode, meta, names, rules, selector,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    api::admissionregistration::v1::{
        MatchCondition, MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhookConfiguration,
        WebhookClientConfig,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeSet;

pub(crate) static MUTATING: Row = Row {
    categories: &["api-extensions"],
    namespaced: false,
    prefix: "/registry/mutatingwebhookconfigurations",
    unconditional: false,
    columns: COLUMNS,
    cells: row_cells,
    ..Row::usual(
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        "mutatingwebhookconfiguration",
        write::<MutatingWebhookConfiguration>,
    )
};

pub(crate) static VALIDATING: Row = Row {
    categories: &["api-extensions"],
    namespaced: false,
    prefix: "/registry/validatingwebhookconfigurations",
    unconditional: false,
    columns: COLUMNS,
    cells: row_cells,
    ..Row::usual(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "validatingwebhookconfiguration",
        write::<ValidatingWebhookConfiguration>,
    )
};

const COLUMNS: &[Column] = &[
    cells::NAME,
    cells::column("Webhooks", "integer", "Number of webhooks."),
    cells::AGE,
];

impl Kind for MutatingWebhookConfiguration {
    const ROW: &'static Row = &MUTATING;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        for hook in self.webhooks.iter_mut().flatten() {
            common(
                &mut hook.failure_policy,
                &mut hook.timeout_seconds,
                &mut hook.client_config,
            );
            hook.reinvocation_policy.get_or_insert_with(|| "Never".to_owned());
            matching::selectors(
                &mut hook.match_policy,
                &mut hook.namespace_selector,
                &mut hook.object_selector,
            );
            matching::default_rules(&mut hook.rules);
        }
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let mut names = BTreeSet::new();
        for (i, hook) in self.webhooks.iter().flatten().enumerate() {
            let path = field::index("webhooks", i);
            let parts = Hook {
                name: &hook.name,
                rules: hook.rules.as_deref().unwrap_or_default(),
                failure_policy: hook.failure_policy.as_deref(),
                match_policy: hook.match_policy.as_deref(),
                side_effects: &hook.side_effects,
                timeout: hook.timeout_seconds,
                selectors: [hook.namespace_selector.as_ref(), hook.object_selector.as_ref()],
                client: &hook.client_config,
                versions: &hook.admission_review_versions,
                conditions: hook.match_conditions.as_deref().unwrap_or_default(),
            };
            parts.validate(&path, errors);
            let policies = ["IfNeeded", "Never"];
            let policy = hook.reinvocation_policy.as_deref();
            rules::one_of(
                policy,
                &policies,
                &field::child(&path, "reinvocationPolicy"),
                errors,
            );
            if !names.insert(&hook.name) {
                errors.push(Error::duplicate(field::child(&path, "name"), &hook.name));
            }
        }
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.webhooks, &old.webhooks)
    }
}

impl Kind for ValidatingWebhookConfiguration {
    const ROW: &'static Row = &VALIDATING;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        for hook in self.webhooks.iter_mut().flatten() {
            common(
                &mut hook.failure_policy,
                &mut hook.timeout_seconds,
                &mut hook.client_config,
            );
            matching::selectors(
                &mut hook.match_policy,
                &mut hook.namespace_selector,
                &mut hook.object_selector,
            );
            matching::default_rules(&mut hook.rules);
        }
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let mut names = BTreeSet::new();
        for (i, hook) in self.webhooks.iter().flatten().enumerate() {
            let path = field::index("webhooks", i);
            let parts = Hook {
                name: &hook.name,
                rules: hook.rules.as_deref().unwrap_or_default(),
                failure_policy: hook.failure_policy.as_deref(),
                match_policy: hook.match_policy.as_deref(),
                side_effects: &hook.side_effects,
                timeout: hook.timeout_seconds,
                selectors: [hook.namespace_selector.as_ref(), hook.object_selector.as_ref()],
                client: &hook.client_config,
                versions: &hook.admission_review_versions,
                conditions: hook.match_conditions.as_deref().unwrap_or_default(),
            };
            parts.validate(&path, errors);
            if !names.insert(&hook.name) {
                errors.push(Error::duplicate(field::child(&path, "name"), &hook.name));
            }
        }
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.webhooks, &old.webhooks)
    }
}

fn common(policy: &mut Option<String>, timeout: &mut Option<i32>, client: &mut WebhookClientConfig) {
    policy.get_or_insert_with(|| "Fail".to_owned());
    timeout.get_or_insert(10);
    if let Some(service) = &mut client.service {
        service.port.get_or_insert(443);
    }
}

/// What both sorts of webhooks have.
struct Hook<'a> {
    name: &'a str,
    rules: &'a [RuleWithOperations],
    failure_policy: Option<&'a str>,
    match_policy: Option<&'a str>,
    side_effects: &'a str,
    timeout: Option<i32>,
    selectors: [Option<&'a LabelSelector>; 2],
    client: &'a WebhookClientConfig,
    versions: &'a [String],
    conditions: &'a [MatchCondition],
}

impl Hook<'_> {
    fn validate(&self, path: &str, errors: &mut Vec<Error>) {
        let at = |name: &str| field::child(path, name);
        if self.name.is_empty() {
            errors.push(Error::required(at("name"), ""));
        } else if self.name.split('.').count() < 3 {
            let why = "should be a domain with at least three segments separated by dots";
            errors.push(Error::invalid(at("name"), self.name, why));
        } else {
            meta::invalid(errors, &at("name"), self.name, names::dns_subdomain(self.name));
        }
        for (i, rule) in self.rules.iter().enumerate() {
            let lists = matching::Lists {
                operations: rule.operations.as_deref(),
                groups: rule.api_groups.as_deref(),
                versions: rule.api_versions.as_deref(),
                resources: rule.resources.as_deref(),
                scope: rule.scope.as_deref(),
            };
            lists.validate(&field::index(&at("rules"), i), errors);
        }
        rules::one_of(
            self.failure_policy,
            &["Fail", "Ignore"],
            &at("failurePolicy"),
            errors,
        );
        rules::one_of(
            self.match_policy,
            &["Equivalent", "Exact"],
            &at("matchPolicy"),
            errors,
        );
        if self.side_effects.is_empty() {
            let why = "must specify one of None, NoneOnDryRun";
            errors.push(Error::required(at("sideEffects"), why));
        } else {
            let supported = ["None", "NoneOnDryRun"];
            rules::one_of(Some(self.side_effects), &supported, &at("sideEffects"), errors);
        }
        if let Some(seconds) = self.timeout
            && !(1..=30).contains(&seconds)
        {
            let why = "the timeout value must be between 1 and 30 seconds";
            errors.push(Error::invalid(at("timeoutSeconds"), seconds, why));
        }
        for (name, wanted) in ["namespaceSelector", "objectSelector"].iter().zip(self.selectors) {
            if let Some(wanted) = wanted {
                selector::validate(wanted, &at(name), errors);
            }
        }
        matching::conditions(self.conditions, false, &at("matchConditions"), errors);
        client::validate(self.client, &at("clientConfig"), errors);
        self.versions(&at("admissionReviewVersions"), errors);
    }

    fn versions(&self, path: &str, errors: &mut Vec<Error>) {
        const KNOWN: [&str; 2] = ["v1", "v1beta1"];
        if self.versions.is_empty() {
            errors.push(Error::required(path, "must specify one of v1, v1beta1"));
            return;
        }
        let mut seen = BTreeSet::new();
        for (i, version) in self.versions.iter().enumerate() {
            let path = field::index(path, i);
            if seen.insert(version) {
                meta::invalid(errors, &path, version, names::dns_1035_label(version));
            } else {
                errors.push(Error::invalid(path, version, "duplicate version"));
            }
        }
        if !self
            .versions
            .iter()
            .any(|version| KNOWN.contains(&version.as_str()))
        {
            let why = "must include at least one of v1, v1beta1";
            errors.push(Error::invalid(path, self.versions, why));
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    webhooks: Vec<IgnoredAny>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let webhooks = cells::view::<View>(object).webhooks;
    vec![
        cells::name(object),
        cells::count(&webhooks),
        cells::age(object, now),
    ]
}
