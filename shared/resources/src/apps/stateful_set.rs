//! StatefulSet.

use crate::{
    Cell, Row, SCALE, STATUS, ScalePaths, WriteRequest, cells,
    core::{persistent_volume_claim, pod::template},
    encode,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::{
    api::apps::v1::{StatefulSet, StatefulSetStatus},
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["sts"],
    categories: &["all"],
    prefix: "/registry/statefulsets",
    subresources: &[SCALE, STATUS],
    columns: &[
        cells::NAME,
        cells::column("Ready", "string", "Ready pods of the wished ones."),
        cells::AGE,
        cells::CONTAINERS,
        cells::IMAGES,
    ],
    cells: row_cells,
    scale: Some(ScalePaths {
        spec_replicas: "spec.replicas",
        status_replicas: "status.replicas",
        selector: "spec.selector",
    }),
    ..Row::usual(
        "apps",
        "StatefulSet",
        "statefulsets",
        "statefulset",
        write::<StatefulSet>,
    )
};

impl Kind for StatefulSet {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = &mut self.spec;
        spec.replicas.get_or_insert(1);
        spec.revision_history_limit.get_or_insert(10);
        let management = spec.pod_management_policy.get_or_insert_default();
        if management.is_empty() {
            "OrderedReady".clone_into(management);
        }
        let strategy = spec.update_strategy.get_or_insert_default();
        let kind = strategy.type_.get_or_insert_default();
        if kind.is_empty() {
            "RollingUpdate".clone_into(kind);
            let rolling = strategy.rolling_update.get_or_insert_default();
            rolling.partition.get_or_insert(0);
        }
        if kind == "RollingUpdate"
            && let Some(rolling) = &mut strategy.rolling_update
        {
            rolling.partition.get_or_insert(0);
            rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
        }
        let retention = spec
            .persistent_volume_claim_retention_policy
            .get_or_insert_default();
        for policy in [&mut retention.when_deleted, &mut retention.when_scaled] {
            let policy = policy.get_or_insert_default();
            if policy.is_empty() {
                "Retain".clone_into(policy);
            }
        }
        template::defaults(&mut spec.template);
        for claim in spec.volume_claim_templates.iter_mut().flatten() {
            persistent_volume_claim::defaults(claim);
        }
        self.status
            .get_or_insert_default()
            .available_replicas
            .get_or_insert(0);
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(StatefulSetStatus {
            available_replicas: Some(0),
            ..StatefulSetStatus::default()
        });
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn warnings(&self) -> Vec<String> {
        super::warnings(&self.spec.template)
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
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
    replicas: i64,
    template: cells::TemplateView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    ready_replicas: i64,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let [containers, images] = spec.template.cells();
    vec![
        cells::name(object),
        Cell::Text(format!("{}/{}", status.ready_replicas, spec.replicas)),
        cells::age(object, now),
        containers,
        images,
    ]
}
