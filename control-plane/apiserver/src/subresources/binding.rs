//! `pods/binding` and `bindings`: puts a pod on a node, once.

use crate::{
    Server,
    handler::{Call, Did, Incoming, Outcome, Place},
};
use api::{Object, Status, field, scan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const TRIES: usize = 32;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Binding {
    metadata: Meta,
    target: Target,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    name: String,
    namespace: String,
    uid: String,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Target {
    kind: String,
    name: String,
}

/// What a binding adds to the pod, as a strategic merge patch.
#[derive(Serialize)]
struct Bound<'a> {
    metadata: BoundMeta<'a>,
    spec: BoundSpec<'a>,
    status: BoundStatus,
}

#[derive(Serialize)]
struct BoundMeta<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BoundSpec<'a> {
    node_name: &'a str,
}

#[derive(Serialize)]
struct BoundStatus {
    conditions: [Condition; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: &'static str,
    status: &'static str,
    last_transition_time: String,
}

/// POST of a `v1 Binding` for the pod at `place` (or, for `bindings`, the pod that it names).
pub async fn create(server: &Server, place: &Place, call: &Call, body: &[u8]) -> Result<Outcome, Status> {
    let unusable =
        |error| Status::bad_request(format!("Binding in version \"v1\" cannot be handled as a Binding: {error}"));
    let binding: Binding = serde_json::from_slice(body).map_err(unusable)?;
    check(place, &binding)?;
    let place = Place {
        name: if place.name.is_empty() { binding.metadata.name.clone() } else { place.name.clone() },
        subresource: "binding".to_owned(),
        ..place.clone()
    };
    let now = server.handler.env.clock.wall().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = Condition { r#type: "PodScheduled", status: "True", last_transition_time: now };
    let bound = Bound {
        metadata: BoundMeta { annotations: &binding.metadata.annotations },
        spec: BoundSpec { node_name: &binding.target.name },
        status: BoundStatus { conditions: [condition] },
    };
    let patch = serde_json::to_vec(&bound).map_err(Status::internal)?;
    let outcome = server.handler.transact(&place, call, TRIES, |held| {
        let old = held.hub();
        check_free(&place, &binding, old)?;
        let of = ("", "v1", place.row().kind);
        let text = crate::handler::apply_patch(client::Patch::Strategic, of, old.body(), &patch)?;
        let object = Object::parse(text.into(), 0, place.row().fields).map_err(Status::internal)?;
        Ok(Incoming { object, warnings: Vec::new() })
    });
    outcome.await?;
    Ok(Outcome { object: super::success(None)?, did: Did::Created, warnings: Vec::new() })
}

fn check(place: &Place, binding: &Binding) -> Result<(), Status> {
    let Meta { name, namespace, .. } = &binding.metadata;
    if !place.name.is_empty() && !name.is_empty() && *name != place.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    if !namespace.is_empty() && *namespace != place.namespace {
        return Err(Status::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
    }
    let mut errors = Vec::new();
    let Target { kind, name } = &binding.target;
    if !kind.is_empty() && kind != "Node" {
        errors.push(field::Error::not_supported("target.kind", kind, &["Node", "<empty>"]));
    }
    if name.is_empty() {
        errors.push(field::Error::required("target.name", ""));
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid("", "Binding", &binding.metadata.name, errors)) }
}

fn check_free(place: &Place, binding: &Binding, pod: &Object) -> Result<(), Status> {
    let conflict = |why: String| {
        let gvr = api::Gvr::new("", "v1", "pods/binding");
        Err(Status::conflict(&gvr, &place.name, &why))
    };
    let uid = &binding.metadata.uid;
    if !uid.is_empty() && uid != pod.uid() {
        let found = pod.uid();
        return conflict(format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"));
    }
    if pod.deletion_timestamp().is_some() {
        return conflict(format!("pod {} is being deleted, cannot be assigned to a host", pod.name()));
    }
    let node = scan::scalar(pod.body(), "spec.nodeName").unwrap_or_default();
    if !node.is_empty() {
        return conflict(format!("pod {} is already assigned to node {node:?}", pod.name()));
    }
    Ok(())
}
