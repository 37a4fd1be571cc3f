//! StorageClass.

use crate::{
    Cell, Row, cells, meta, names, rules,
    write::{Kind, write},
};
use api::{Gvr, Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::StorageClass;
use serde::Deserialize;
use std::collections::BTreeMap;

pub(crate) static ROW: Row = Row {
    short_names: &["sc"],
    namespaced: false,
    prefix: "/registry/storageclasses",
    columns: &[
        cells::NAME,
        cells::column("Provisioner", "string", "Who makes its volumes."),
        cells::column(
            "ReclaimPolicy",
            "string",
            "What becomes of a volume when its claim goes.",
        ),
        cells::column("VolumeBindingMode", "string", "When a claim is bound."),
        cells::column(
            "AllowVolumeExpansion",
            "string",
            "Whether claims may ask for more.",
        ),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "storage.k8s.io",
        "StorageClass",
        "storageclasses",
        "storageclass",
        write::<StorageClass>,
    )
};

/// Resource of the row.
pub(crate) const RESOURCE: Gvr = Gvr::new("storage.k8s.io", "v1", "storageclasses");

impl Kind for StorageClass {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        self.reclaim_policy.get_or_insert_with(|| "Delete".to_owned());
        self.volume_binding_mode
            .get_or_insert_with(|| "Immediate".to_owned());
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        rules::required("provisioner", &self.provisioner, errors);
        if !self.provisioner.is_empty() {
            let words = names::qualified_name(&self.provisioner.to_lowercase());
            meta::invalid(errors, "provisioner", &self.provisioner, words);
        }
        parameters(self.parameters.as_ref(), errors);
        let policies = ["Delete", "Retain"];
        rules::one_of(self.reclaim_policy.as_deref(), &policies, "reclaimPolicy", errors);
        let modes = ["Immediate", "WaitForFirstConsumer"];
        let mode = self.volume_binding_mode.as_deref();
        rules::one_of(mode, &modes, "volumeBindingMode", errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        for (path, same) in [
            ("parameters", self.parameters == old.parameters),
            ("provisioner", self.provisioner == old.provisioner),
            ("reclaimPolicy", self.reclaim_policy == old.reclaim_policy),
        ] {
            if !same {
                errors.push(Error::forbidden(
                    path,
                    format!("updates to {path} are forbidden."),
                ));
            }
        }
        let (new, old) = (&self.volume_binding_mode, &old.volume_binding_mode);
        rules::immutable("volumeBindingMode", new, old, errors);
    }
}

const PARAMETERS: usize = 512;
const PARAMETERS_SIZE: usize = 256 * 1024;

/// Rules for the parameters of a class.
pub(super) fn parameters(parameters: Option<&BTreeMap<String, String>>, errors: &mut Vec<Error>) {
    let Some(parameters) = parameters else { return };
    if parameters.len() > PARAMETERS {
        errors.push(Error::too_long("parameters", PARAMETERS));
        return;
    }
    if parameters.contains_key("") {
        errors.push(Error::invalid("parameters", "", "field can not be empty."));
    }
    let size: usize = parameters
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if size > PARAMETERS_SIZE {
        errors.push(Error::too_long("parameters", PARAMETERS_SIZE));
    }
}

/// Whether claims without a class get this one.
pub(crate) fn is_default(class: &Object) -> bool {
    [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ]
    .iter()
    .any(|key| class.annotation(key).as_deref() == Some("true"))
}

/// Whether its claims may grow.
pub(crate) fn allows_expansion(class: &Object) -> bool {
    cells::view::<View>(class).allow_volume_expansion
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct View {
    provisioner: String,
    reclaim_policy: String,
    volume_binding_mode: String,
    allow_volume_expansion: bool,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let view: View = cells::view(object);
    let mark = if is_default(object) { " (default)" } else { "" };
    vec![
        Cell::Text(format!("{}{mark}", object.name())),
        Cell::Text(view.provisioner),
        Cell::Text(view.reclaim_policy),
        Cell::Text(view.volume_binding_mode),
        Cell::Bool(view.allow_volume_expansion),
        cells::age(object, now),
    ]
}
