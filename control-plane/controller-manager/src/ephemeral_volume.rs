//! Claims of generic ephemeral volumes: each is made from the template in the pod's volume, is owned by the pod and goes
//! with it (upstream: `pkg/controller/volume/ephemeral`).

use crate::{
    views::{Meta, PODS, controller_ref},
    workloads::views::CLAIMS,
};
use api::{Gvr, Key, Object};
use client::{About, Caches, Change};
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Note, Plan, Watch, own_key, owner_key};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Makes the claims of pods' ephemeral volumes.
#[derive(Debug)]
pub struct EphemeralVolumeController;

/// A pod with the volumes that need a claim.
#[derive(Debug)]
pub struct Wanting {
    pod: Arc<Object>,
    /// The volume, the name of its claim and what is to be in it; or why there cannot be one.
    claims: Vec<(String, String, Result<Template, String>)>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
    status: Status,
}

impl Default for Pod {
    fn default() -> Self {
        Self {
            spec: Spec { volumes: Vec::new() },
            status: Status { phase: String::new() },
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    volumes: Vec<Volume>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Volume {
    name: String,
    ephemeral: Option<Ephemeral>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ephemeral {
    volume_claim_template: Template,
}

/// What a claim is made from.
#[derive(Debug, Deserialize)]
struct Template {
    #[serde(default)]
    metadata: Meta,
    spec: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Claim<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta,
    spec: &'a RawValue,
}

fn of_pod(change: &Change, _: &Caches) -> Vec<Key> {
    owner_key(change, "Pod")
}

impl Controller for EphemeralVolumeController {
    type Observed = Wanting;

    fn name(&self) -> &'static str {
        "ephemeral-volume-controller"
    }

    fn queue(&self) -> &'static str {
        "ephemeral_volume"
    }

    fn primary(&self) -> Gvr {
        PODS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(PODS, own_key), Watch::all(CLAIMS, of_pod)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Wanting> {
        let object = caches.all(&PODS).get(key)?;
        let pod: Pod = object.view().ok()?;
        let over = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
        if over || object.deletion_timestamp().is_some() {
            return None;
        }
        let mut claims = Vec::new();
        for volume in pod.spec.volumes {
            let Some(ephemeral) = volume.ephemeral else {
                continue;
            };
            let name = format!("{}-{}", object.name(), volume.name);
            let found = caches.all(&CLAIMS).get(&Key::new(object.namespace(), &name));
            let ours = found
                .as_ref()
                .map(|claim| claim.controller().is_some_and(|owner| owner.uid == object.uid()));
            let wanted = match ours {
                Some(true) => continue,
                Some(false) => Err(format!(
                    "PVC {namespace}/{name} was not created for pod {namespace}/{} (pod is not owner)",
                    object.name(),
                    namespace = object.namespace()
                )),
                None => Ok(ephemeral.volume_claim_template),
            };
            claims.push((volume.name, name, wanted));
        }
        (!claims.is_empty()).then_some(Wanting { pod: object, claims })
    }

    fn reconcile(&self, observed: &Wanting, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let about = || About::object(&observed.pod);
        for (volume, name, wanted) in &observed.claims {
            let failed = |why: &str| {
                Note::warning(
                    about(),
                    "FailedBinding",
                    format!("ephemeral volume {volume}: {why}"),
                )
            };
            match wanted {
                Err(why) => plan.event(failed(why)),
                Ok(template) => {
                    let metadata = Meta {
                        name: name.clone(),
                        namespace: observed.pod.namespace().to_owned(),
                        labels: template.metadata.labels.clone(),
                        annotations: template.metadata.annotations.clone(),
                        owner_references: vec![controller_ref(&observed.pod)],
                        ..Meta::default()
                    };
                    let claim = Claim {
                        api_version: "v1",
                        kind: "PersistentVolumeClaim",
                        metadata,
                        spec: &template.spec,
                    };
                    plan.create("create", &CLAIMS, observed.pod.namespace(), &claim);
                    plan.noting(None, Some(failed(&format!("create PVC {name}: {{error}}"))));
                }
            }
        }
        plan
    }
}
