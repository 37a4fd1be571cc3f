//! CustomResourceDefinition, and the resources that it defines.

mod approval;
mod conditions;
mod custom;
mod intern;
mod selectable;
mod validation;
mod write;

pub use conditions::{Names, decide, established, names, released, terminating};
pub use custom::{Client, Custom, CustomColumn, CustomVersion, by_priority};
pub use intern::room;

use crate::{
    Cell, Row, STATUS, WriteRequest, cells, encode,
    write::{Kind, write as write_kind},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionCondition,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use serde::Deserialize;
use validation::parse_schema;

/// What holds a definition until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(crate) static ROW: Row = Row {
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    namespaced: false,
    prefix: "/registry/apiextensions.k8s.io/customresourcedefinitions",
    unconditional: false,
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Scope", "string", "Cluster/Namespaced"),
        cells::column("Versions", "string", "Served versions"),
        cells::CREATED,
        cells::wide("Group", "API group"),
        cells::wide("Kind", "CustomResource kind"),
        cells::wide("ShortNames", "Short names"),
        crate::Column {
            kind: "boolean",
            ..cells::wide("Established", "Established status")
        },
    ],
    cells: row_cells,
    // Its finalizer is set by the delete itself.
    lingers: |object| condition(object, "Terminating").is_none(),
    ..Row::usual(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "customresourcedefinition",
        write_kind::<CustomResourceDefinition>,
    )
};

impl Kind for CustomResourceDefinition {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let names = &mut self.spec.names;
        if names.singular.as_deref().unwrap_or_default().is_empty() {
            names.singular = Some(names.kind.to_lowercase());
        }
        if names.list_kind.as_deref().unwrap_or_default().is_empty() && !names.kind.is_empty() {
            names.list_kind = Some(format!("{}List", names.kind));
        }
        let conversion = self
            .spec
            .conversion
            .get_or_insert_with(|| CustomResourceConversion {
                strategy: "None".to_owned(),
                webhook: None,
            });
        let webhook = conversion.webhook.as_mut().and_then(|w| w.client_config.as_mut());
        if let Some(service) = webhook.and_then(|client| client.service.as_mut()) {
            service.port.get_or_insert(443);
        }
        self.store_version(true);
        self.begin_end();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = None;
        self.store_version(false);
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
        self.store_version(false);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec = old.spec.clone();
        self.metadata.labels.clone_from(&old.metadata.labels);
        self.metadata.annotations.clone_from(&old.metadata.annotations);
        self.metadata
            .owner_references
            .clone_from(&old.metadata.owner_references);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        validation::create(self, errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        validation::update(self, old, errors);
    }

    fn validate_status(&self, _: &Self, errors: &mut Vec<Error>) {
        validation::status(self, errors);
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }

    fn warnings(&self) -> Vec<String> {
        let schemas = self.spec.versions.iter().filter_map(parse_schema);
        let mut warnings = Vec::new();
        for schema in schemas {
            let formats = schema.unknown_formats().into_iter();
            warnings.extend(formats.map(|format| format!("unrecognized format {format:?}")));
            warnings.extend(schema.odd_sets().into_iter().map(|ty| {
                format!(
                    "x-kubernetes-list-type: set for items of type {ty:?} is not supported by server-side apply or \
                     CEL validation rules"
                )
            }));
        }
        warnings
    }
}

/// What a definition becomes beside its fields.
trait Definition {
    /// Notes the version that is stored; `only_first`: unless one was noted before.
    fn store_version(&mut self, only_first: bool);
    /// Begins the end of a definition that is being deleted.
    fn begin_end(&mut self);
}

impl Definition for CustomResourceDefinition {
    fn store_version(&mut self, only_first: bool) {
        let Some(version) = self.spec.versions.iter().find(|v| v.storage) else {
            return;
        };
        let stored = &mut self.status.get_or_insert_default().stored_versions;
        let stored = stored.get_or_insert_default();
        let noted = if only_first {
            !stored.is_empty()
        } else {
            stored.contains(&version.name)
        };
        if !noted {
            stored.push(version.name.clone());
        }
    }

    fn begin_end(&mut self) {
        let Some(at) = self.metadata.deletion_timestamp.clone() else {
            return;
        };
        let conditions = &mut self.status.get_or_insert_default().conditions;
        let conditions = conditions.get_or_insert_default();
        if conditions.iter().any(|c| c.type_ == "Terminating") {
            return;
        }
        conditions.push(CustomResourceDefinitionCondition {
            last_transition_time: Some(Time(at.0)),
            message: Some(
                "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
                    .to_owned(),
            ),
            reason: Some("InstanceDeletionPending".to_owned()),
            status: "True".to_owned(),
            type_: "Terminating".to_owned(),
            ..CustomResourceDefinitionCondition::default()
        });
        let finalizers = self.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|f| f == CLEANUP) {
            finalizers.push(CLEANUP.to_owned());
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecView {
    group: String,
    scope: String,
    names: Names,
    versions: Vec<VersionView>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct VersionView {
    name: String,
    served: bool,
    storage: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusView {
    conditions: Vec<ConditionView>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConditionView {
    r#type: String,
    status: String,
}

/// The status of a condition; none when it is not there.
fn condition(object: &Object, ty: &str) -> Option<String> {
    let view: View = cells::view(object);
    let mut conditions = view.status.conditions.into_iter();
    conditions.find(|c| c.r#type == ty).map(|c| c.status)
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let view: View = cells::view(object);
    let served = view.spec.versions.iter().filter(|v| v.served);
    let label = |v: &VersionView| format!("{}{}", v.name, if v.storage { "(storage)" } else { "" });
    let mut versions: Vec<String> = served.map(label).collect();
    versions.sort();
    let created = cells::name_and_date(object, now).pop().unwrap_or(Cell::Nothing);
    let is_established = view
        .status
        .conditions
        .iter()
        .any(|c| c.r#type == "Established" && c.status == "True");
    vec![
        cells::name(object),
        cells::text(view.spec.scope),
        cells::text(versions.join(",")),
        created,
        cells::text(view.spec.group),
        cells::text(view.spec.names.kind),
        cells::text(view.spec.names.short_names.join(",")),
        Cell::Bool(is_established),
    ]
}
