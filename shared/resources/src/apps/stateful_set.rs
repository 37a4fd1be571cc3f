//! StatefulSet.

use super::validate_template;
use crate::{
    Cell, Row, SCALE, STATUS, ScalePaths, WriteRequest, cells,
    core::{persistent_volume_claim, pod::template},
    encode, rules,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus},
        core::v1::{PersistentVolumeClaimVolumeSource, PodTemplateSpec, Volume},
    },
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
        template::warnings(&self.spec.template)
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let spec = &self.spec;
        let policies = ["OrderedReady", "Parallel"];
        let management = spec.pod_management_policy.as_deref().unwrap_or_default();
        if !policies.contains(&management) {
            let why = "must be 'OrderedReady' or 'Parallel'";
            errors.push(Error::invalid("spec.podManagementPolicy", management, why));
        }
        validate_strategy(spec, errors);
        validate_retention(spec, errors);
        rules::count("spec.replicas", spec.replicas, errors);
        rules::count("spec.minReadySeconds", spec.min_ready_seconds, errors);
        rules::count("spec.revisionHistoryLimit", spec.revision_history_limit, errors);
        rules::count(
            "spec.ordinals.start",
            spec.ordinals.as_ref().and_then(|o| o.start),
            errors,
        );
        for (i, claim) in spec.volume_claim_templates.iter().flatten().enumerate() {
            let path = field::index("spec.volumeClaimTemplates", i);
            persistent_volume_claim::validate_spec(claim, &field::child(&path, "spec"), errors);
        }
        let template = with_claims(spec);
        validate_template(&spec.selector, &template, ("statefulset", "StatefulSet"), errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        let new = &self.spec;
        let mutable = StatefulSetSpec {
            replicas: new.replicas,
            ordinals: new.ordinals.clone(),
            template: new.template.clone(),
            update_strategy: new.update_strategy.clone(),
            revision_history_limit: new.revision_history_limit,
            persistent_volume_claim_retention_policy: new.persistent_volume_claim_retention_policy.clone(),
            min_ready_seconds: new.min_ready_seconds,
            ..old.spec.clone()
        };
        if !encode::same(new, &mutable) {
            errors.push(Error::forbidden("spec", MUTABLE));
        }
    }

    fn validate_status(&self, old: &Self, errors: &mut Vec<Error>) {
        let (Some(status), Some(old)) = (&self.status, &old.status) else {
            return;
        };
        let counts = [
            ("status.readyReplicas", status.ready_replicas),
            ("status.currentReplicas", status.current_replicas),
            ("status.updatedReplicas", status.updated_replicas),
        ];
        rules::count("status.replicas", Some(status.replicas), errors);
        for (path, count) in counts {
            rules::count(path, count, errors);
            if count.is_some_and(|count| count > status.replicas) {
                errors.push(Error::invalid(
                    path,
                    count,
                    "cannot be greater than status.replicas",
                ));
            }
        }
        if status.collision_count.unwrap_or_default() < old.collision_count.unwrap_or_default() {
            let count = status.collision_count.unwrap_or_default();
            errors.push(Error::invalid(
                "status.collisionCount",
                count,
                "cannot be decremented",
            ));
        }
    }
}

const MUTABLE: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

/// The template with the volumes that the claims will be.
fn with_claims(spec: &StatefulSetSpec) -> PodTemplateSpec {
    let mut template = spec.template.clone();
    let volumes = template
        .spec
        .get_or_insert_default()
        .volumes
        .get_or_insert_default();
    for claim in spec.volume_claim_templates.iter().flatten() {
        let name = claim.metadata.name.clone().unwrap_or_default();
        volumes.retain(|volume| volume.name != name);
        volumes.push(Volume {
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: name.clone(),
                read_only: None,
            }),
            name,
            ..Volume::default()
        });
    }
    template
}

fn validate_strategy(spec: &StatefulSetSpec, errors: &mut Vec<Error>) {
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    let path = "spec.updateStrategy.rollingUpdate";
    match (
        strategy.type_.as_deref().unwrap_or_default(),
        &strategy.rolling_update,
    ) {
        ("OnDelete", Some(rolling)) => {
            let why = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(Error::invalid(path, rolling, why));
        }
        ("OnDelete", None) | ("RollingUpdate", None) => {}
        ("RollingUpdate", Some(rolling)) => {
            rules::count(&field::child(path, "partition"), rolling.partition, errors);
            let (path, value) = (
                field::child(path, "maxUnavailable"),
                rolling.max_unavailable.as_ref(),
            );
            rules::share(&path, value, errors);
            if value.is_some() && rules::is_zero(value) {
                errors.push(Error::invalid(&path, value, "cannot be 0"));
            }
            rules::at_most_all(&path, value, errors);
        }
        _ => {
            let why = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(Error::invalid("spec.updateStrategy", &strategy, why));
        }
    }
}

fn validate_retention(spec: &StatefulSetSpec, errors: &mut Vec<Error>) {
    let retention = spec
        .persistent_volume_claim_retention_policy
        .clone()
        .unwrap_or_default();
    for (name, policy) in [
        ("whenDeleted", retention.when_deleted),
        ("whenScaled", retention.when_scaled),
    ] {
        let path = field::child("spec.persistentVolumeClaimRetentionPolicy", name);
        rules::one_of(policy.as_deref(), &["Delete", "Retain"], &path, errors);
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
