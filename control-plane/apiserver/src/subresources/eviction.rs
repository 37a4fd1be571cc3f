//! `pods/eviction`: a delete that asks the pod's disruption budget first (upstream
//! `pkg/registry/core/pod/storage/eviction.go`).

use crate::{
    Server,
    admission::Operation,
    handler::{Body, Call, Did, Incoming, Outcome, Place, Stage, delete_options},
    security::User,
    splice,
};
use api::{Gvk, Gvr, MatchSelector, Object, Status, scan};
use bytes::Bytes;
use client::DeleteOptions;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

const BUDGETS: Gvr = Gvr::new("policy", "v1", "poddisruptionbudgets");
const TRIES: usize = 32;

/// A budget that waits for so many evicted pods to go lets no other be evicted.
const MOST_DISRUPTED: usize = 2000;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    phase: String,
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Budget {
    spec: Spec,
    status: BudgetStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    selector: Option<MatchSelector>,
    unhealthy_pod_eviction_policy: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BudgetStatus {
    observed_generation: i64,
    disruptions_allowed: i64,
    current_healthy: i64,
    desired_healthy: i64,
    disrupted_pods: BTreeMap<String, String>,
    conditions: Vec<Condition>,
}

/// An eviction under way.
struct Eviction<'a> {
    server: &'a Server,
    /// The pod itself.
    place: Place,
    call: Call,
    options: DeleteOptions,
}

/// POST of a `policy/v1 Eviction`.
pub async fn create(server: &Server, place: &Place, call: &Call, body: &[u8]) -> Result<Outcome, Status> {
    let unusable = |error| Status::bad_request(format!("unable to decode Eviction: {error}"));
    let name = scan::scalar(body, "metadata.name").map_err(unusable)?;
    if !name.is_empty() && name != place.name {
        return Err(Status::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let what = Body {
        operation: Operation::Create,
        place: Some(place),
        kind: Gvk::new("policy", "v1", "Eviction"),
        name: &place.name,
        json: Bytes::copy_from_slice(body),
        old: None,
    };
    let body = &server.handler.admit_body(call, what).await?;
    let options = scan::find(body, "deleteOptions")
        .map_err(unusable)?
        .map_or(&b""[..], |range| &body[range]);
    let (options, dry_run) = delete_options(options)?;
    let eviction = Eviction {
        server,
        place: Place {
            subresource: String::new(),
            ..place.clone()
        },
        call: Call {
            dry_run: dry_run || call.dry_run,
            admitted: true,
            ..call.clone()
        },
        options,
    };
    let outcome = eviction.run().await?;
    Ok(Outcome {
        object: super::success(None, Some(201))?,
        did: Did::Created,
        ..outcome
    })
}

impl Eviction<'_> {
    async fn run(&self) -> Result<Outcome, Status> {
        for _ in 0..TRIES {
            let pod = self.server.handler.find(&self.place).await?.hub().clone();
            let view: Pod = pod.view().map_err(Status::internal)?;
            let going = pod.deletion_timestamp().is_some();
            let over = matches!(view.status.phase.as_str(), "Succeeded" | "Failed");
            // What does not run disrupts nobody. One that is about to run must still be as it was seen.
            if over || going || view.status.phase == "Pending" {
                match self.delete(&pod, !over && !going).await {
                    Err(status) if status.is_conflict() && self.options.resource_version.is_none() => {
                        continue;
                    }
                    answer => return answer,
                }
            }
            let Some(budget) = self.budget_of(&pod)? else {
                return self.delete(&pod, false).await;
            };
            if is_free(&view.status, &budget)? {
                // It is not counted as healthy; if it has become so meanwhile, the budget is asked.
                let free = self.options.resource_version.is_none();
                return match self.delete(&pod, true).await {
                    Err(status) if free && status.is_conflict() => Err(processing(budget.name())),
                    answer => answer,
                };
            }
            self.take_from(budget.name()).await?;
            return self.delete(&pod, false).await;
        }
        Err(Status::modified(&self.place.gvr(), &self.place.name))
    }

    /// The budget that the pod counts for.
    fn budget_of(&self, pod: &Object) -> Result<Option<Arc<Object>>, Status> {
        let Some(cache) = self.server.handler.cache(&BUDGETS.group, &BUDGETS.resource) else {
            return Ok(None);
        };
        let all = cache.snapshot().hubs(cache.row, pod.namespace());
        let covers = |budget: &Arc<Object>| {
            let selector = budget.view::<Budget>().ok().and_then(|b| b.spec.selector);
            let selector = selector.and_then(|s| s.selector().ok());
            selector.is_some_and(|s| s.matches(|key| pod.label(key)))
        };
        let mut found = all.into_iter().filter(covers);
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            _ => Err(Status {
                code: 500,
                message:
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
                        .to_owned(),
                ..Status::default()
            }),
        }
    }

    /// Takes one disruption from the budget, if it has one, and notes for whom.
    async fn take_from(&self, name: &str) -> Result<(), Status> {
        let handler = &self.server.handler;
        let place = handler
            .places
            .find(&BUDGETS, &self.place.namespace, name, "status")?;
        // The right to evict is enough: the server itself writes the budget.
        let user = User::new("system:apiserver", &["system:masters"]);
        let call = Call {
            attributes: Server::attributes(&Arc::new(user), "update", &place),
            dry_run: self.call.dry_run,
            ..Call::default()
        };
        let now = handler
            .env
            .clock
            .wall()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        let taken = handler.transact(&place, &call, TRIES, |held| {
            let text = take(held.hub(), &self.place.name, &now)?;
            let object = Object::parse(text.into(), held.hub().resource_version(), place.row().fields);
            Ok(Incoming {
                object: object.map_err(Status::internal)?.at(0),
                warnings: Vec::new(),
                stage: Stage::Sent,
            })
        });
        taken.await.map(drop)
    }

    /// Deletes the pod, with a condition that says why. `as_seen`: only if nobody has changed it since.
    async fn delete(&self, pod: &Object, as_seen: bool) -> Result<Outcome, Status> {
        let mut options = self.options.clone();
        if as_seen && options.resource_version.is_none() {
            options.resource_version = Some(pod.resource_version());
        }
        if pod.deletion_timestamp().is_none() && !self.call.dry_run {
            let marked = self.mark(&options).await?;
            if options.resource_version.is_some() {
                options.resource_version = Some(marked);
            }
        }
        self.server
            .handler
            .delete(&self.place, &self.call, &options)
            .await
    }

    /// Writes the condition `DisruptionTarget`; the version of the pod with it.
    async fn mark(&self, options: &DeleteOptions) -> Result<u64, Status> {
        let handler = &self.server.handler;
        let now = handler
            .env
            .clock
            .wall()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        let place = Place {
            subresource: "status".to_owned(),
            ..self.place.clone()
        };
        let marked = handler.transact(&place, &self.call, TRIES, |held| {
            let pod = held.hub();
            if options.uid.as_deref().is_some_and(|uid| uid != pod.uid())
                || options
                    .resource_version
                    .is_some_and(|v| v != pod.resource_version())
            {
                return Err(Status::modified(&self.place.gvr(), &self.place.name));
            }
            let object = Object::parse(with_condition(pod, &now)?.into(), 0, place.row().fields);
            Ok(Incoming {
                object: object.map_err(Status::internal)?,
                warnings: Vec::new(),
                stage: Stage::Sent,
            })
        });
        marked.await.map(|outcome| outcome.object.resource_version())
    }
}

/// Whether a pod may go without asking: it is not ready, and the budget holds without it or does not count it.
fn is_free(pod: &PodStatus, budget: &Object) -> Result<bool, Status> {
    let budget: Budget = budget.view().map_err(Status::internal)?;
    let ready = pod
        .conditions
        .iter()
        .any(|c| c.r#type == "Ready" && c.status == "True");
    let status = &budget.status;
    let holds = status.current_healthy >= status.desired_healthy && status.desired_healthy > 0;
    Ok(!ready && (budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow" || holds))
}

const VIOLATED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

fn processing(name: &str) -> Status {
    let cause = format!("The disruption budget {name} is still being processed by the server.");
    Status::too_many_requests(VIOLATED, 10).with_cause("DisruptionBudget", cause, "")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exhausted<'a> {
    last_transition_time: &'a str,
    message: &'a str,
    observed_generation: i64,
    reason: &'a str,
    status: &'a str,
    r#type: &'a str,
}

/// The budget with one disruption less, which was for the pod.
fn take(budget: &Object, pod: &str, now: &str) -> Result<Vec<u8>, Status> {
    let name = budget.name();
    let refused = |why: &str| {
        let resource = Gvr::new("policy", "", "poddisruptionbudget");
        Err(Status::forbidden(&resource, name, why))
    };
    let Budget { status, .. } = budget.view().map_err(Status::internal)?;
    if status.observed_generation < budget.generation() {
        return Err(processing(name));
    }
    if status.disruptions_allowed < 0 {
        return refused("pdb disruptions allowed is negative");
    }
    if status.disrupted_pods.len() > MOST_DISRUPTED {
        return refused("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if status.disruptions_allowed == 0 {
        let failed = status
            .conditions
            .iter()
            .find(|c| c.r#type == "DisruptionAllowed" && c.reason == "SyncFailed");
        let cause = match failed {
            Some(condition) => format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
                condition.message
            ),
            None => format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                status.desired_healthy, status.current_healthy
            ),
        };
        return Err(Status::too_many_requests(VIOLATED, 0).with_cause("DisruptionBudget", cause, ""));
    }
    let mut disrupted = status.disrupted_pods;
    disrupted.insert(pod.to_owned(), now.to_owned());
    let disrupted = serde_json::to_vec(&disrupted).map_err(Status::internal)?;
    let left = status.disruptions_allowed - 1;
    let set =
        |text: &[u8], path, value: &[u8]| splice::set(text, path, Some(value)).map_err(Status::internal);
    let mut text = set(budget.body(), "status.disruptedPods", &disrupted)?;
    text = set(&text, "status.disruptionsAllowed", left.to_string().as_bytes())?;
    if left == 0 {
        let exhausted = Exhausted {
            last_transition_time: now,
            message: "",
            observed_generation: budget.generation(),
            reason: "InsufficientPods",
            status: "False",
            r#type: "DisruptionAllowed",
        };
        let conditions = serde_json::to_vec(&[exhausted]).map_err(Status::internal)?;
        text = set(&text, "status.conditions", &conditions)?;
    }
    Ok(text)
}

/// A pod with the condition that says who ends it; it stands behind the others.
fn with_condition(pod: &Object, now: &str) -> Result<Vec<u8>, Status> {
    let body = pod.body();
    let mut conditions: Vec<&[u8]> = Vec::new();
    let status = scan::find(body, "status").map_err(Status::internal)?;
    let held = match &status {
        Some(status) => scan::find(&body[status.clone()], "conditions").map_err(Status::internal)?,
        None => None,
    };
    if let (Some(status), Some(held)) = (&status, held) {
        for range in scan::elements(body, status.start + held.start).map_err(Status::internal)? {
            let is = scan::scalar(&body[range.clone()], "type").map_err(Status::internal)?;
            if is != "DisruptionTarget" {
                conditions.push(&body[range]);
            }
        }
    }
    let target = format!(
        r#"{{"lastTransitionTime":"{now}","message":"Eviction API: evicting","observedGeneration":{},"reason":"EvictionByEvictionAPI","status":"True","type":"DisruptionTarget"}}"#,
        pod.generation()
    );
    conditions.push(target.as_bytes());
    let list = [b"[", conditions.join(&b","[..]).as_slice(), b"]"].concat();
    let body = match status {
        Some(_) => body.to_vec(),
        None => splice::set(body, "status", Some(b"{}")).map_err(Status::internal)?,
    };
    splice::set(&body, "status.conditions", Some(&list)).map_err(Status::internal)
}
