//! Before a pod is bound: its claims get their volumes, and the scheduler waits until they are bound.

use crate::volumes::{Assignment, CLAIMS, VOLUMES};
use api::{
    Key, Object,
    volume::{BOUND_BY_CONTROLLER, Claim, ClaimRef, SELECTED_NODE},
};
use client::{Cache, Client, Patch};
use component::Clock;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// Upstream's `bindTimeoutSeconds`.
const LIMIT: Duration = Duration::from_secs(600);

#[derive(Serialize)]
struct Change {
    metadata: Meta,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<Spec>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    uid: String,
    resource_version: String,
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    claim_ref: ClaimRef,
}

fn change(object: &Object, annotation: &'static str, value: &str, spec: Option<Spec>) -> Change {
    let metadata = Meta {
        uid: object.uid().to_owned(),
        resource_version: object.resource_version().to_string(),
        annotations: [(annotation, value.to_owned())].into(),
    };
    Change { metadata, spec }
}

/// Gives the claims of a pod their volumes, or has these made on `node`. `Err`: why not.
pub(crate) async fn bind_volumes(
    client: &Client,
    claims: &Cache,
    assignment: &Assignment,
    node: &str,
    clock: &Clock,
) -> Result<(), String> {
    for (volume, claim) in &assignment.bind {
        let kept = volume.spec.claim_ref.as_ref();
        if kept.is_some_and(|r| r.uid == claim.object.uid()) {
            continue;
        }
        let spec = Spec {
            claim_ref: claim.reference(),
        };
        let mut patch = change(&volume.object, BOUND_BY_CONTROLLER, "yes", Some(spec));
        if kept.is_some() {
            patch.metadata.annotations.clear();
        }
        let key = volume.object.key();
        let written = client.patch(&VOLUMES, &key, "", Patch::Merge, &patch).await;
        written.map_err(|status| status.message)?;
    }
    for claim in &assignment.provision {
        if claim.object.annotation(SELECTED_NODE).as_deref() == Some(node) {
            continue;
        }
        let patch = change(&claim.object, SELECTED_NODE, node, None);
        let key = claim.object.key();
        let written = client.patch(&CLAIMS, &key, "", Patch::Merge, &patch).await;
        let version = written.map_err(|status| status.message)?.resource_version();
        // What is older than this does not know of the node yet.
        let mut versions = claims.versions();
        let seen = versions.wait_for(|v| v.is_some_and(|v| v >= version));
        if clock.timeout(LIMIT, seen).await.is_none() {
            return Err("the claim's selected node is not seen".to_owned());
        }
    }
    let all = async {
        for claim in assignment.claims() {
            wait_bound(claims, claim, node, assignment).await?;
        }
        Ok(())
    };
    let late = || Err("context deadline exceeded".to_owned());
    clock.timeout(LIMIT, all).await.unwrap_or_else(late)
}

/// Waits until the claim is bound; fails when it is gone, or is not to be bound there any more.
async fn wait_bound(
    claims: &Cache,
    claim: &Claim,
    node: &str,
    assignment: &Assignment,
) -> Result<(), String> {
    let mut versions = claims.versions();
    let key: Key = claim.object.key();
    let provisioned = assignment
        .provision
        .iter()
        .any(|c| c.object.uid() == claim.object.uid());
    loop {
        versions.borrow_and_update();
        let held = claims.get(&key).filter(|o| o.uid() == claim.object.uid());
        let Some(held) = held.and_then(Claim::new) else {
            return Err(format!("persistentvolumeclaim {:?} not found", key.name));
        };
        if held.is_bound() {
            return Ok(());
        }
        let selected = held.object.annotation(SELECTED_NODE);
        if provisioned && selected.as_deref() != Some(node) {
            return Err(format!("selectedNode annotation reset for PVC {:?}", key.name));
        }
        if versions.changed().await.is_err() {
            return Err("the claims are not watched any more".to_owned());
        }
    }
}
