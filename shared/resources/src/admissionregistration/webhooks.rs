//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration.

use super::matching;
use crate::{
    Cell, Column, Row, cells, encode,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use serde::{Deserialize, de::IgnoredAny};

pub(crate) static MUTATING: Row = Row {
    categories: &["api-extensions"],
    namespaced: false,
    prefix: "/registry/mutatingwebhookconfigurations",
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
            matching::rules(&mut hook.rules);
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
            matching::rules(&mut hook.rules);
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
