//! Binding a pod to a node.

use crate::{encode, write};
use api::{Gvr, Object, Status, field::Error};
use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Binding, Pod, PodCondition},
    apimachinery::pkg::apis::meta::v1::Time,
};

const BINDINGS: Gvr = Gvr::new("", "v1", "pods/binding");

/// The pod `old`, bound as `binding` (a JSON Binding) says: its stored bytes.
pub fn bind(old: &Object, binding: &[u8], now: Timestamp) -> Result<Bytes, Status> {
    let binding: Binding = write::decode(binding)?;
    validate(&binding)?;
    let mut pod: Pod = old.view().map_err(Status::internal)?;
    let name = old.name();
    let refuse = |why: &str| Status::conflict(&BINDINGS, name, why);
    if let Some(uid) = binding
        .metadata
        .uid
        .as_deref()
        .filter(|uid| !uid.is_empty() && *uid != old.uid())
    {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            old.uid()
        );
        return Err(refuse(&why));
    }
    if old.deletion_timestamp().is_some() {
        return Err(refuse(&format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        )));
    }
    let spec = pod.spec.get_or_insert_default();
    if let Some(node) = spec.node_name.as_deref().filter(|node| !node.is_empty()) {
        return Err(refuse(&format!(
            "pod {name} is already assigned to node {node:?}"
        )));
    }
    if spec
        .scheduling_gates
        .as_ref()
        .is_some_and(|gates| !gates.is_empty())
    {
        return Err(refuse(&format!("pod {name} has non-empty .spec.schedulingGates")));
    }
    spec.node_name = binding.target.name;
    for (key, value) in binding.metadata.annotations.into_iter().flatten() {
        pod.metadata
            .annotations
            .get_or_insert_default()
            .insert(key, value);
    }
    for (key, value) in binding.metadata.labels.into_iter().flatten() {
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.entry(key).or_insert(value);
    }
    let conditions = pod
        .status
        .get_or_insert_default()
        .conditions
        .get_or_insert_default();
    conditions.retain(|condition| condition.type_ != "PodScheduled");
    conditions.push(PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "True".to_owned(),
        last_transition_time: Some(Time(now)),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    });
    Ok(encode::canonical(&pod)?.into())
}

fn validate(binding: &Binding) -> Result<(), Status> {
    let mut errors = Vec::new();
    let kind = binding.target.kind.as_deref().unwrap_or_default();
    if !["", "Node"].contains(&kind) {
        errors.push(Error::not_supported("target.kind", kind, &["Node", "<empty>"]));
    }
    if binding.target.name.as_deref().unwrap_or_default().is_empty() {
        errors.push(Error::required("target.name", ""));
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(
        "",
        "Binding",
        binding.metadata.name.as_deref().unwrap_or_default(),
        errors,
    ))
}
