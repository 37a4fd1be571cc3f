//! PriorityClass, of the scheduling group.

use crate::{
    Cell, Row, WriteRequest, cells,
    write::{Kind, write},
};
use api::{Gvr, Object, Status, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["pc"],
    namespaced: false,
    prefix: "/registry/priorityclasses",
    columns: &[
        cells::NAME,
        cells::column("Value", "integer", "The priority."),
        cells::column(
            "Global-Default",
            "boolean",
            "Whether pods without a class get it.",
        ),
        cells::AGE,
        cells::column("PreemptionPolicy", "string", "Whether its pods displace others."),
    ],
    cells: row_cells,
    ..Row::usual(
        "scheduling.k8s.io",
        "PriorityClass",
        "priorityclasses",
        "priorityclass",
        write::<PriorityClass>,
    )
};

/// Resource of the row.
pub(crate) const RESOURCE: Gvr = Gvr::new("scheduling.k8s.io", "v1", "priorityclasses");
/// Users' classes end here; system classes begin above.
const HIGHEST: i32 = 1_000_000_000;
/// The classes that every cluster has.
pub(crate) const SYSTEM: [(&str, i32); 2] = [
    ("system-cluster-critical", 2 * HIGHEST),
    ("system-node-critical", 2 * HIGHEST + 1000),
];

impl Kind for PriorityClass {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        self.preemption_policy
            .get_or_insert_with(|| "PreemptLowerPriority".to_owned());
        self.value.get_or_insert(0);
    }

    /// Only one class may be the default of the cluster.
    fn admit(&mut self, _: Option<&Self>, request: &WriteRequest<'_>) -> Result<(), Status> {
        if self.global_default != Some(true) || !request.cluster.admits("Priority") {
            return Ok(());
        }
        for other in request.cluster.list(&RESOURCE, "") {
            let default = other.view::<View>().is_ok_and(|view| view.global_default);
            if default && other.name() != request.name {
                let why = format!(
                    "PriorityClass {} is already marked as default. Only one default can exist",
                    other.name()
                );
                return Err(Status::forbidden(&RESOURCE, request.name, &why));
            }
        }
        Ok(())
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let (name, value) = (
            self.metadata.name.as_deref().unwrap_or_default(),
            self.value.unwrap_or_default(),
        );
        if name.starts_with("system-") {
            let known = SYSTEM.iter().any(|(known, at)| *known == name && *at == value);
            if !known {
                let why = "priority class names with 'system-' prefix are reserved for system use only";
                errors.push(Error::forbidden("metadata.name", why));
            }
        } else if value > HIGHEST {
            let why = format!("maximum allowed value of a user defined priority is {HIGHEST}");
            errors.push(Error::forbidden("value", why));
        }
        let policy = self.preemption_policy.as_deref().unwrap_or_default();
        if !["Never", "PreemptLowerPriority"].contains(&policy) {
            errors.push(Error::not_supported(
                "preemptionPolicy",
                policy,
                &["Never", "PreemptLowerPriority"],
            ));
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        if self.value != old.value {
            errors.push(Error::forbidden("value", "may not be changed in an update."));
        }
        if self.preemption_policy != old.preemption_policy {
            errors.push(Error::invalid(
                "preemptionPolicy",
                &self.preemption_policy,
                "field is immutable",
            ));
        }
    }
}

/// What pods ask of a class.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct View {
    /// The priority.
    pub value: i64,
    /// The default of the cluster.
    pub global_default: bool,
    /// Whether its pods displace others.
    pub preemption_policy: String,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let view: View = cells::view(object);
    vec![
        cells::name(object),
        Cell::Int(view.value),
        Cell::Bool(view.global_default),
        cells::age(object, now),
        Cell::Text(view.preemption_policy),
    ]
}
