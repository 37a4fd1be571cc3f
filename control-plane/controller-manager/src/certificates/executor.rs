//! Carries the steps of certificate signing requests out.

use super::{Condition, REQUESTS, Signers, Step, View, request::Text, step};
use crate::views::seconds;
use api::{Gvr, Key, Object, Status};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use client::{Cache, Caches, Client, DeleteOptions, Patch};
use component::Env;
use jiff::SignedDuration;
use reconcile::Queue;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const REVIEWS: Gvr = Gvr::new("authorization.k8s.io", "v1", "subjectaccessreviews");

/// So long until a request that may not be approved by itself is asked for again.
const AGAIN: Duration = Duration::from_secs(600);

/// Starts approving, cleaning and, for those of `signers`, signing.
pub(crate) fn start(client: &Client, caches: &Caches, signers: Signers, env: &Env) {
    let (cache, queue) = (caches.all(&REQUESTS), Queue::new("certificate", env));
    let (mut changes, keys) = (cache.subscribe(), queue.clone());
    env.tasks.spawn("csr-watch", async move {
        while let Some(change) = changes.recv().await {
            keys.add(change.object().key());
        }
    });
    let executor = Executor {
        client: client.clone(),
        cache,
        queue,
        signers,
        env: env.clone(),
    };
    env.tasks.spawn("csr", executor.run());
}

struct Executor {
    client: Client,
    cache: Cache,
    queue: Queue<Key>,
    signers: Signers,
    env: Env,
}

impl Executor {
    async fn run(self) {
        self.cache.synced().await;
        loop {
            let key = self.queue.next().await;
            if let Some(object) = self.cache.get(&key) {
                match self.take(&object).await {
                    Ok(None) => self.queue.forget(&key),
                    Ok(Some(wait)) => {
                        self.queue.forget(&key);
                        self.queue.add_after(key.clone(), wait);
                    }
                    Err(status) => {
                        tracing::warn!(request = %key, error = %status, "will be tried again");
                        self.queue.add_after_failure(key.clone());
                    }
                }
            }
            self.queue.done(&key);
        }
    }

    /// Takes the next step; says when to look again, if not on the next change.
    async fn take(&self, object: &Arc<Object>) -> Result<Option<Duration>, Status> {
        let Ok(view) = object.view::<View>() else {
            return Ok(None);
        };
        let now = self.env.clock.wall();
        match step(object, &view, &self.signers, now) {
            Step::Wait(wait) => Ok(Some(wait)),
            Step::Delete => {
                let options = DeleteOptions {
                    uid: Some(object.uid().to_owned()),
                    ..DeleteOptions::default()
                };
                match self.client.delete(&REQUESTS, &object.key(), options).await {
                    Err(status) if !status.is_not_found() => Err(status),
                    _ => Ok(None),
                }
            }
            Step::Ask(ways) => {
                for (subresource, message) in ways {
                    if self.may(&view, subresource).await? {
                        let condition = self.condition("Approved", "AutoApproved", message.to_owned());
                        self.write(object, &view, "approval", condition, None).await?;
                        return Ok(None);
                    }
                }
                Ok(Some(AGAIN))
            }
            Step::Fail(why) => {
                let condition = self.condition("Failed", "SignerValidationFailure", why);
                self.write(object, &view, "status", condition, None).await?;
                Ok(None)
            }
            Step::Sign(life) => self.sign(object, &view, life).await,
        }
    }

    async fn sign(
        &self,
        object: &Arc<Object>,
        view: &View,
        life: SignedDuration,
    ) -> Result<Option<Duration>, Status> {
        let Some(signer) = self.signers.of(&view.spec.signer_name) else {
            return Ok(None);
        };
        let text = BASE64.decode(&view.spec.request).map_err(Status::internal)?;
        let text = Text::new(&text).map_err(Status::internal)?;
        let request = text.request().map_err(Status::internal)?;
        let now = self.env.clock.wall();
        let signed = signer
            .authority()
            .sign(&request, &view.spec.usages, life, now, &self.env.random)
            .map_err(|why| Status::internal(format!("error auto signing csr: {why}")))?;
        let certificate = Some(BASE64.encode(signed));
        self.write(object, view, "status", None, certificate).await?;
        Ok(None)
    }

    fn condition(&self, kind: &str, reason: &str, message: String) -> Option<Condition> {
        let now = Some(seconds(self.env.clock.wall()));
        Some(Condition {
            r#type: kind.to_owned(),
            status: "True".to_owned(),
            reason: reason.to_owned(),
            message,
            last_update_time: now,
            last_transition_time: now,
        })
    }

    async fn write(
        &self,
        object: &Object,
        view: &View,
        subresource: &'static str,
        condition: Option<Condition>,
        certificate: Option<String>,
    ) -> Result<(), Status> {
        let conditions = condition.map(|condition| {
            let mut all = view.status.conditions.clone();
            all.push(condition);
            all
        });
        let patch = StatusPatch {
            metadata: PatchMeta {
                uid: object.uid(),
                resource_version: object.resource_version().to_string(),
            },
            status: PatchStatus {
                conditions,
                certificate,
            },
        };
        let key = object.key();
        let written = self
            .client
            .patch(&REQUESTS, &key, subresource, Patch::Merge, &patch)
            .await;
        match written {
            // The next event brings it here again.
            Err(status) if status.is_not_found() || status.is_conflict() => Ok(()),
            written => written.map(drop),
        }
    }

    /// Whether who asked for the certificate may have it in this way.
    async fn may(&self, view: &View, subresource: &str) -> Result<bool, Status> {
        let spec = &view.spec;
        let review = Review {
            api_version: "authorization.k8s.io/v1",
            kind: "SubjectAccessReview",
            spec: ReviewSpec {
                user: &spec.username,
                uid: &spec.uid,
                groups: &spec.groups,
                extra: &spec.extra,
                resource_attributes: ResourceAttributes {
                    group: "certificates.k8s.io",
                    resource: "certificatesigningrequests",
                    verb: "create",
                    subresource,
                },
            },
        };
        let answer = self.client.create(&REVIEWS, "", &review).await?;
        let answer: Answer = answer.view().map_err(Status::internal)?;
        Ok(answer.status.allowed)
    }
}

#[derive(Serialize)]
struct StatusPatch<'a> {
    metadata: PatchMeta<'a>,
    status: PatchStatus,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PatchMeta<'a> {
    uid: &'a str,
    resource_version: String,
}

#[derive(Serialize)]
struct PatchStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    conditions: Option<Vec<Condition>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    spec: ReviewSpec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReviewSpec<'a> {
    user: &'a str,
    uid: &'a str,
    groups: &'a [String],
    extra: &'a BTreeMap<String, Vec<String>>,
    resource_attributes: ResourceAttributes<'a>,
}

#[derive(Serialize)]
struct ResourceAttributes<'a> {
    group: &'static str,
    resource: &'static str,
    verb: &'static str,
    subresource: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    status: AnswerStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnswerStatus {
    allowed: bool,
}
