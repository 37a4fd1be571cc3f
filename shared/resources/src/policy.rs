//! PodDisruptionBudget, of the policy group.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells, encode, rules, selector,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus},
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["pdb"],
    prefix: "/registry/poddisruptionbudgets",
    unconditional: false,
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Min Available", "string", "The pods that must stay."),
        cells::column("Max Unavailable", "string", "The pods that may be missing."),
        cells::column(
            "Allowed Disruptions",
            "integer",
            "The pods that may be evicted now.",
        ),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "policy",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        "poddisruptionbudget",
        write::<PodDisruptionBudget>,
    )
};

impl Kind for PodDisruptionBudget {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        self.spec.get_or_insert_default();
        complete(self.status.get_or_insert_default());
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = None;
        self.defaults();
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        if spec.min_available.is_some() && spec.max_unavailable.is_some() {
            let why = "minAvailable and maxUnavailable cannot be both set";
            errors.push(Error::invalid("spec", spec, why));
        }
        for (path, value) in [
            ("spec.minAvailable", spec.min_available.as_ref()),
            ("spec.maxUnavailable", spec.max_unavailable.as_ref()),
        ] {
            rules::share(path, value, errors);
            rules::at_most_all(path, value, errors);
        }
        if let Some(wanted) = &spec.selector {
            selector::validate(wanted, "spec.selector", errors);
        }
        let policies = ["AlwaysAllow", "IfHealthyBudget"];
        if let Some(policy) = &spec.unhealthy_pod_eviction_policy
            && !policies.contains(&policy.as_str())
        {
            let path = "spec.unhealthyPodEvictionPolicy";
            errors.push(Error::not_supported(path, policy, &policies));
        }
    }

    fn validate_status(&self, _: &Self, errors: &mut Vec<Error>) {
        let Some(status) = &self.status else { return };
        for (path, count) in [
            ("status.disruptionsAllowed", status.disruptions_allowed),
            ("status.currentHealthy", status.current_healthy),
            ("status.desiredHealthy", status.desired_healthy),
            ("status.expectedPods", status.expected_pods),
        ] {
            rules::count(path, count, errors);
        }
    }
}

/// Counts are always written.
fn complete(status: &mut PodDisruptionBudgetStatus) {
    for count in [
        &mut status.current_healthy,
        &mut status.desired_healthy,
        &mut status.disruptions_allowed,
        &mut status.expected_pods,
    ] {
        count.get_or_insert(0);
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecView {
    min_available: Option<IntOrString>,
    max_unavailable: Option<IntOrString>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    disruptions_allowed: i64,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let amount = |amount: Option<IntOrString>| match amount {
        Some(IntOrString::Int(number)) => Cell::Text(number.to_string()),
        Some(IntOrString::String(text)) => Cell::Text(text),
        None => cells::text("N/A"),
    };
    vec![
        cells::name(object),
        amount(spec.min_available),
        amount(spec.max_unavailable),
        Cell::Int(status.disruptions_allowed),
        cells::age(object, now),
    ]
}
