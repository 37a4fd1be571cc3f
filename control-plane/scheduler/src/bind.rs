//! What the scheduler writes: bindings, the PodScheduled condition, events, decision records.

use crate::{
    metrics::Attempt,
    prebind::bind_volumes,
    schedule::Diagnosis,
    views::{PODS, Pod},
    volumes::Assignment,
};
use api::{
    Key, Status,
    decision::{Reason, Record, Ring, Verdict},
};
use client::{About, Cache, Client, Patch, Recorder, Severity, Target, Write};
use component::Env;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What became of a binding.
pub(crate) struct Bound {
    pub pod: Arc<Pod>,
    pub node: String,
    pub volumes: Assignment,
    pub attempt: Option<Attempt>,
    pub done: bool,
}

/// Writes in the background. Clones share the recorder.
#[derive(Clone)]
pub(crate) struct Binder {
    client: Client,
    recorder: Recorder,
    records: Ring,
    claims: Cache,
    env: Env,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Binding<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: BindingMeta<'a>,
    target: BindingTarget<'a>,
}

#[derive(Serialize)]
struct BindingMeta<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
}

#[derive(Serialize)]
struct BindingTarget<'a> {
    kind: &'static str,
    name: &'a str,
}

impl Binder {
    pub fn new(client: &Client, scheduler_name: &str, records: Ring, claims: Cache, env: &Env) -> Self {
        // Events of the default scheduler carry its name, whatever profiles are called.
        let host = if scheduler_name == "default-scheduler" {
            ""
        } else {
            scheduler_name
        };
        let recorder = Recorder::start(client, "default-scheduler", host, env);
        Self {
            client: client.clone(),
            recorder,
            records,
            claims,
            env: env.clone(),
        }
    }

    fn record(&self, pod: &Pod, verdict: Verdict, reasons: Vec<Reason>, unblock: &str) {
        let mut record = Record::new(
            self.env.clock.wall(),
            crate::NAME,
            &PODS,
            &pod.object.key(),
            verdict,
        );
        record.resource_version = pod.object.resource_version();
        record.reasons = reasons;
        record.unblock = unblock.to_owned();
        self.records.push(record);
    }

    /// Does what `wanted` says: binds its pod to its node, once the pod has its volumes, and tells `bound`.
    pub fn bind(&self, wanted: Bound, bound: mpsc::UnboundedSender<Bound>) {
        let binder = self.clone();
        self.env.tasks.spawn("bind", async move {
            let Bound {
                pod, node, volumes, ..
            } = &wanted;
            let done = match binder.prepare_and_bind(pod, node, volumes).await {
                Ok(()) => {
                    let key = pod.object.key();
                    let message = format!("Successfully assigned {key} to {node}");
                    binder.recorder.record(
                        About::object(&pod.object),
                        Severity::Normal,
                        "Scheduled",
                        message,
                    );
                    binder.record(
                        pod,
                        Verdict::Done,
                        vec![Reason::new("Scheduled").with("node", node)],
                        "",
                    );
                    true
                }
                Err(message) => {
                    binder.recorder.record(
                        About::object(&pod.object),
                        Severity::Warning,
                        "FailedScheduling",
                        message.clone(),
                    );
                    let reason = Reason::new("BindingRejected")
                        .with("node", node)
                        .with("message", &message);
                    binder.record(pod, Verdict::Failed, vec![reason], "");
                    false
                }
            };
            // The receiver lives as long as the scheduler.
            let _ = bound.send(Bound { done, ..wanted });
        });
    }

    /// `Err`: upstream's words for what went wrong.
    async fn prepare_and_bind(&self, pod: &Pod, node: &str, volumes: &Assignment) -> Result<(), String> {
        if !volumes.is_empty() {
            let bound = bind_volumes(&self.client, &self.claims, volumes, node, &self.env.clock).await;
            bound
                .map_err(|why| format!("running PreBind plugin \"VolumeBinding\": binding volumes: {why}"))?;
        }
        let written = self.write_binding(pod, node).await;
        written.map_err(|status| format!("binding rejected: {status}"))
    }

    async fn write_binding(&self, pod: &Pod, node: &str) -> Result<(), Status> {
        let object = &pod.object;
        let binding = Binding {
            api_version: "v1",
            kind: "Binding",
            metadata: BindingMeta {
                name: object.name(),
                namespace: object.namespace(),
                uid: object.uid(),
            },
            target: BindingTarget {
                kind: "Node",
                name: node,
            },
        };
        let body = serde_json::to_vec(&binding).map_err(Status::internal)?;
        let target = Target::object(&PODS, &object.key()).sub("binding");
        self.client
            .write(target, Write::Create(body.into()))
            .await
            .map(drop)
    }

    /// Says that no node does, and why.
    pub fn refuse(&self, pod: Arc<Pod>, diagnosis: &Diagnosis) {
        let message = diagnosis.message();
        let about = About::object(&pod.object);
        self.recorder
            .record(about, Severity::Warning, "FailedScheduling", message.clone());
        let mut reasons = Vec::new();
        for (node, rejections) in &diagnosis.rejections {
            for rejection in rejections {
                reasons.push(Reason {
                    cause: format!("nodes {node}"),
                    ..rejection.reason.clone()
                });
            }
        }
        self.record(&pod, Verdict::Blocked, reasons, "a node that takes the pod");
        let current = pod.status.conditions.iter().find(|c| c.r#type == "PodScheduled");
        let told = current
            .is_some_and(|c| c.status == "False" && c.reason == "Unschedulable" && c.message == message);
        if !told {
            let binder = self.clone();
            self.env.tasks.spawn("unschedulable", async move {
                binder.write_condition(&pod, message).await
            });
        }
    }

    async fn write_condition(&self, pod: &Pod, message: String) {
        let since = pod
            .status
            .conditions
            .iter()
            .find(|c| c.r#type == "PodScheduled")
            .is_none_or(|c| c.status != "False");
        let condition = Condition {
            r#type: "PodScheduled",
            status: "False",
            reason: "Unschedulable",
            message,
            last_transition_time: since
                .then(|| self.env.clock.wall().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        };
        let patch = ConditionPatch {
            metadata: UidMeta {
                uid: pod.object.uid(),
            },
            status: ConditionStatus {
                conditions: [condition],
            },
        };
        let key: Key = pod.object.key();
        if let Err(error) = self
            .client
            .patch(&PODS, &key, "status", Patch::Strategic, &patch)
            .await
        {
            tracing::debug!(pod = %key, %error, "condition not written");
        }
    }
}

#[derive(Serialize)]
struct ConditionPatch<'a> {
    metadata: UidMeta<'a>,
    status: ConditionStatus,
}

#[derive(Serialize)]
struct UidMeta<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct ConditionStatus {
    conditions: [Condition; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_transition_time: Option<String>,
}
