//! ImagePolicyWebhook: a server of somebody else says which images may run (upstream `plugin/pkg/admission/imagepolicy`).

mod configuration;

pub use configuration::Configuration;

use super::{Attributes, Operation, Parts, Remote};
use crate::security::Asking;
use api::Status;
use component::Clock;
use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// So many answers are remembered.
const REMEMBERED: usize = 1024;

/// What annotations of audit start with.
const PREFIX: &str = "imagepolicywebhook.image-policy.k8s.io/";

/// The plugin.
pub struct ImagePolicy {
    asking: Result<Asking, String>,
    configuration: Configuration,
    clock: Clock,
    known: Mutex<BTreeMap<String, (Instant, Answer)>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Meta,
    spec: PodSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    ephemeral_containers: Vec<Container>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Container {
    image: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    spec: &'a Spec<'a>,
}

#[derive(Serialize)]
struct Spec<'a> {
    containers: Vec<Container>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    namespace: &'a str,
}

#[derive(Deserialize)]
struct Answered {
    status: Answer,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    allowed: bool,
    reason: String,
    audit_annotations: BTreeMap<String, String>,
}

impl ImagePolicy {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        let configuration = parts.configuration.image_policy.clone();
        let asking = Asking::kubeconfig(Path::new(&configuration.kube_config_file), &parts.env);
        if let Err(why) = &asking {
            tracing::error!(why, "ImagePolicyWebhook has nobody to ask");
        }
        Self {
            asking: asking.map(|asking| asking.pause(configuration.retry_backoff())),
            configuration,
            clock: parts.env.clock.clone(),
            known: Mutex::default(),
        }
    }

    async fn review(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let Some(object) = &request.object else {
            return Ok(());
        };
        let pod: Pod = object.view().map_err(Status::internal)?;
        let of = request.request();
        let containers = if of.subresource == "ephemeralcontainers" {
            pod.spec.ephemeral_containers
        } else {
            pod.spec
                .containers
                .into_iter()
                .chain(pod.spec.init_containers)
                .collect()
        };
        let mut annotations = pod.metadata.annotations.unwrap_or_default();
        annotations.retain(|key, _| key.contains(".image-policy.k8s.io/"));
        let spec = Spec {
            containers,
            annotations,
            namespace: &of.namespace,
        };
        let review = Review {
            api_version: "imagepolicy.k8s.io/v1alpha1",
            kind: "ImageReview",
            spec: &spec,
        };
        let question = serde_json::to_string(&review).map_err(Status::internal)?;
        let answer = match self.answer(question).await {
            Ok(answer) => answer,
            Err(why) => {
                tracing::warn!(
                    why,
                    allowed = self.configuration.default_allow,
                    "error contacting webhook backend"
                );
                if !self.configuration.default_allow {
                    return Err(request.forbidden(&why));
                }
                request.notes().annotate(format!("{PREFIX}failed-open"), "true");
                return Ok(());
            }
        };
        for (key, value) in answer.audit_annotations {
            request.notes().annotate(format!("{PREFIX}{key}"), value);
        }
        if answer.allowed {
            return Ok(());
        }
        Err(request.forbidden(&match answer.reason.as_str() {
            "" => "one or more images rejected by webhook backend".to_owned(),
            reason => format!("image policy webhook backend denied one or more images: {reason}"),
        }))
    }

    async fn answer(&self, question: String) -> Result<Answer, String> {
        let now = self.clock.now();
        if let Some(answer) = self.remembered(&question, now) {
            return Ok(answer);
        }
        let asking = self.asking.as_ref().map_err(Clone::clone)?;
        let text = asking.review(question.clone().into()).await;
        let text = text.map_err(|failure| failure.to_string())?;
        let Answered { status } = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        let life = if status.allowed {
            self.configuration.allow_ttl()
        } else {
            self.configuration.deny_ttl()
        };
        self.remember(question, now, life, status.clone());
        Ok(status)
    }

    fn remembered(&self, question: &str, now: Instant) -> Option<Answer> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, answer) = known.get(question)?;
        (*until > now).then(|| answer.clone())
    }

    fn remember(&self, question: String, now: Instant, life: Duration, answer: Answer) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, (until, _)| *until > now);
        }
        if known.len() >= REMEMBERED {
            known.pop_first();
        }
        known.insert(question, (now + life, answer));
    }
}

impl Remote for ImagePolicy {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        let of = request.request();
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let concerned = matches!(of.subresource.as_str(), "" | "ephemeralcontainers");
        writes && of.group.is_empty() && of.resource == "pods" && concerned
    }

    fn validate<'a>(&'a self, request: &'a Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        self.review(request).boxed()
    }
}
