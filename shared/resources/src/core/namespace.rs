//! Namespace. It lingers until its `spec.finalizers` are gone, which only `/finalize` may change.

use crate::{
    Cell, Row, STATUS, Subresource, WriteRequest, cells, meta, names,
    write::{Kind, write},
};
use api::{Object, field::Error, scan};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceSpec};

/// The label that holds the name, so that selectors can choose by it.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(crate) static ROW: Row = Row {
    short_names: &["ns"],
    namespaced: false,
    prefix: "/registry/namespaces",
    verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
    subresources: &[
        Subresource {
            name: "finalize",
            kind: ("", "", ""),
            verbs: &["update"],
        },
        STATUS,
    ],
    fields: &["status.phase"],
    columns: &[
        cells::NAME,
        cells::column("Status", "string", "The phase of the namespace."),
        cells::AGE,
    ],
    cells: row_cells,
    lingers: |object| !finalized(object),
    ..Row::usual("", "Namespace", "namespaces", "namespace", write::<Namespace>)
};

impl Kind for Namespace {
    const ROW: &'static Row = &ROW;
    const NAMES: names::NameRule = names::dns_label;

    fn defaults(&mut self) {
        if let Some(name) = &self.metadata.name {
            self.metadata
                .labels
                .get_or_insert_default()
                .insert(NAME_LABEL.to_owned(), name.clone());
        }
        self.spec.get_or_insert_default();
        let phase = if self.metadata.deletion_timestamp.is_some() {
            "Terminating"
        } else {
            "Active"
        };
        self.status.get_or_insert_default().phase = Some(phase.to_owned());
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = None;
        let finalizers = self
            .spec
            .get_or_insert_default()
            .finalizers
            .get_or_insert_default();
        if !finalizers.iter().any(|f| f == "kubernetes") {
            finalizers.push("kubernetes".to_owned());
        }
        self.defaults();
    }

    fn prepare_update(&mut self, old: &Self) {
        self.spec.get_or_insert_default().finalizers = finalizers(old);
        self.status.clone_from(&old.status);
        self.defaults();
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
        self.defaults();
    }

    fn prepare_subresource(&mut self, _: &str, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let list = finalizers(self).unwrap_or_default();
        meta::validate_finalizers(&list, "spec.finalizers", errors);
    }
}

fn finalizers(namespace: &Namespace) -> Option<Vec<String>> {
    namespace
        .spec
        .as_ref()
        .and_then(|NamespaceSpec { finalizers }| finalizers.clone())
}

fn finalized(object: &Object) -> bool {
    let body = object.body();
    let Ok(Some(list)) = scan::find(body, "spec.finalizers") else {
        return true;
    };
    scan::elements(body, list.start).is_ok_and(|elements| elements.is_empty())
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    vec![
        cells::name(object),
        cells::text(object.field(0)),
        cells::age(object, now),
    ]
}
