//! CSIDriver.

use crate::{
    Cell, Row, cells, encode, rules,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::CSIDriver;
use serde::Deserialize;
use std::collections::BTreeSet;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/csidrivers",
    unconditional: false,
    columns: &[
        cells::NAME,
        cells::column(
            "AttachRequired",
            "boolean",
            "Whether volumes are attached before they are mounted.",
        ),
        cells::column(
            "PodInfoOnMount",
            "boolean",
            "Whether the driver is told of the pod.",
        ),
        cells::column(
            "StorageCapacity",
            "boolean",
            "Whether the driver says how much room there is.",
        ),
        cells::column(
            "TokenRequests",
            "string",
            "Audiences of the tokens that the driver gets.",
        ),
        cells::column(
            "RequiresRepublish",
            "boolean",
            "Whether volumes are published again and again.",
        ),
        cells::column("Modes", "string", "What volumes the driver offers."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "storage.k8s.io",
        "CSIDriver",
        "csidrivers",
        "csidriver",
        write::<CSIDriver>,
    )
};

impl Kind for CSIDriver {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        let spec = &mut self.spec;
        spec.attach_required.get_or_insert(true);
        spec.pod_info_on_mount.get_or_insert(false);
        spec.storage_capacity.get_or_insert(false);
        spec.fs_group_policy
            .get_or_insert_with(|| "ReadWriteOnceWithFSType".to_owned());
        spec.requires_republish.get_or_insert(false);
        spec.se_linux_mount.get_or_insert(false);
        let modes = spec.volume_lifecycle_modes.get_or_insert_default();
        if modes.is_empty() {
            modes.push("Persistent".to_owned());
        }
    }

    /// The generation counts from the first change.
    fn prepare_update(&mut self, old: &Self) {
        if !encode::same(&self.spec, &old.spec) {
            self.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let spec = &self.spec;
        let name = self.metadata.name.as_deref().unwrap_or_default();
        if name.len() > 63 {
            errors.push(Error::too_long("metadata.name", 63));
        }
        let policies = ["File", "None", "ReadWriteOnceWithFSType"];
        rules::one_of(
            spec.fs_group_policy.as_deref(),
            &policies,
            "spec.fsGroupPolicy",
            errors,
        );
        for mode in spec.volume_lifecycle_modes.iter().flatten() {
            let modes = ["Ephemeral", "Persistent"];
            rules::one_of(Some(mode), &modes, "spec.volumeLifecycleModes", errors);
        }
        let mut seen = BTreeSet::new();
        for (i, token) in spec.token_requests.iter().flatten().enumerate() {
            let path = field::index("spec.tokenRequests", i);
            if !seen.insert(&token.audience) {
                errors.push(Error::duplicate(field::child(&path, "audience"), &token.audience));
                continue;
            }
            let path = field::child(&path, "expirationSeconds");
            match token.expiration_seconds {
                Some(seconds) if seconds < 600 => {
                    let why = "may not specify a duration less than 10 minutes";
                    errors.push(Error::invalid(path, seconds, why));
                }
                Some(seconds) if seconds > 1 << 32 => {
                    let why = "may not specify a duration larger than 2^32 seconds";
                    errors.push(Error::invalid(path, seconds, why));
                }
                _ => {}
            }
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        let (new, old) = (&self.spec, &old.spec);
        rules::immutable(
            "spec.attachedRequired",
            &new.attach_required,
            &old.attach_required,
            errors,
        );
        let (new_modes, old_modes) = (&new.volume_lifecycle_modes, &old.volume_lifecycle_modes);
        rules::immutable("spec.volumeLifecycleModes", new_modes, old_modes, errors);
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecView {
    attach_required: Option<bool>,
    pod_info_on_mount: bool,
    storage_capacity: bool,
    token_requests: Option<Vec<TokenView>>,
    requires_republish: bool,
    volume_lifecycle_modes: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenView {
    audience: String,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let spec = cells::view::<View>(object).spec;
    let audiences = spec.token_requests.map(|tokens| {
        let list: Vec<String> = tokens.into_iter().map(|token| token.audience).collect();
        list.join(",")
    });
    vec![
        cells::name(object),
        Cell::Bool(spec.attach_required.unwrap_or(true)),
        Cell::Bool(spec.pod_info_on_mount),
        Cell::Bool(spec.storage_capacity),
        cells::or_unset(audiences),
        Cell::Bool(spec.requires_republish),
        cells::or_none(&spec.volume_lifecycle_modes.join(",")),
        cells::age(object, now),
    ]
}
