//! Names and labels that stay with an ordinal.

use super::{Look, claims};
use crate::{
    views::{Meta, Seen, Template},
    workloads::{
        fields::Fields,
        pods::NewPod,
        revisions::REVISION_LABEL,
        views::{StatefulSet, StatefulSetSpec},
    },
};
use api::Object;
use serde::Serialize;
use std::ops::Range;

pub(super) const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
pub(super) const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// The ordinals that should have a pod.
pub(super) fn range(spec: &StatefulSetSpec) -> Range<i64> {
    let start = spec.ordinals.start;
    start..start + i64::from(spec.replicas.max(0))
}

/// The name of the set whose pod has this name.
pub(super) fn parent(pod: &str) -> Option<&str> {
    let (parent, ordinal) = pod.rsplit_once('-')?;
    let number = !ordinal.is_empty() && ordinal.bytes().all(|b| b.is_ascii_digit());
    number.then_some(parent)
}

/// The ordinal of a pod of `set`.
pub(super) fn ordinal(set: &str, pod: &str) -> Option<i64> {
    parent(pod).filter(|parent| *parent == set)?;
    pod.rsplit_once('-')?.1.parse().ok()
}

/// Whether the pod of this ordinal is still to be of the current revision.
fn wants_current(set: &StatefulSet, ordinal: i64) -> bool {
    let spec = &set.spec;
    let old = match &spec.update_strategy.rolling_update {
        _ if spec.update_strategy.r#type != "RollingUpdate" => 0,
        None => set.status.current_replicas,
        Some(rolling) => rolling.partition,
    };
    ordinal < spec.ordinals.start + i64::from(old)
}

/// The pod that an ordinal should have.
pub(super) fn pod(look: &Look<'_>, ordinal: i64) -> NewPod {
    let version = if wants_current(&look.set.view, ordinal) {
        &look.current
    } else {
        &look.update
    };
    let owner = &look.set.object;
    let mut pod = NewPod::of(owner, &version.template);
    pod.metadata.generate_name.clear();
    pod.metadata.name = format!("{}-{ordinal}", owner.name());
    let labels = &mut pod.metadata.labels;
    labels.insert(NAME_LABEL.to_owned(), pod.metadata.name.clone());
    labels.insert(INDEX_LABEL.to_owned(), ordinal.to_string());
    labels.insert(REVISION_LABEL.to_owned(), version.name.to_owned());
    pod.spec = spec(look.set, &version.template, ordinal);
    pod
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClaimSource {
    claim_name: String,
}

/// The template's spec with the ordinal's host name and volumes. A volume of a claim template takes the place of one
/// of the same name.
fn spec(set: &Seen<StatefulSet>, template: &Template, ordinal: i64) -> Box<serde_json::value::RawValue> {
    let mut spec = Fields::of(&template.spec);
    let name = set.object.name();
    spec.set("hostname", &format!("{name}-{ordinal}"));
    spec.set("subdomain", &set.view.spec.service_name);
    let templates = &set.view.spec.volume_claim_templates;
    let mut volumes: Vec<Fields> = spec.get("volumes");
    let replaced = |volume: &Fields| {
        let name: String = volume.get("name");
        templates.iter().any(|t| t.metadata.name == name)
    };
    volumes.retain(|volume| !replaced(volume));
    for template in templates {
        let mut volume = Fields::default();
        volume.set("name", &template.metadata.name);
        let source = ClaimSource {
            claim_name: claims::name(template, name, ordinal),
        };
        volume.set("persistentVolumeClaim", &source);
        volumes.push(volume);
    }
    if !volumes.is_empty() {
        spec.set("volumes", &volumes);
    }
    spec.text()
}

#[derive(Serialize)]
pub(super) struct LabelPatch {
    metadata: Meta,
}

/// The patch that gives an adopted pod the labels of its ordinal; none if it has them.
pub(super) fn missing_labels(pod: &Object, ordinal: i64) -> Option<LabelPatch> {
    let index = ordinal.to_string();
    let wanted = [(NAME_LABEL, pod.name()), (INDEX_LABEL, index.as_str())];
    let missing = wanted
        .into_iter()
        .filter(|(key, value)| pod.label(key) != Some(value));
    let labels: std::collections::BTreeMap<_, _> = missing
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    (!labels.is_empty()).then(|| LabelPatch {
        metadata: Meta {
            uid: pod.uid().to_owned(),
            labels,
            ..Meta::default()
        },
    })
}
