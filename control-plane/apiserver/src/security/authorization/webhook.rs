//! The webhook authorizer: another server is asked by a SubjectAccessReview (upstream
//! `apiserver/plugin/pkg/authorizer/webhook`). What it said is kept for a while.

use super::{
    config::{Connection, WebhookSettings},
    metrics::Metrics,
    review::{Answered, Blank, Judged, Metadata, Review, Spec},
};
use crate::{
    security::{Answer, Attributes, Authorizer, Decision, Rules, User, asking::Asking},
    webhook::Failure,
};
use component::Env;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// So many answers are kept.
const KEPT: usize = 8192;
/// Answers to questions longer than this, in what a client makes up, are not.
const LONGEST: usize = 10_000;

/// A server that is asked.
pub struct Webhook(Arc<Asked>);

struct Asked {
    name: String,
    settings: WebhookSettings,
    asking: Asking,
    env: Env,
    metrics: Arc<Metrics>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    answers: HashMap<String, (Instant, Judged)>,
    /// Oldest first.
    order: VecDeque<String>,
}

impl Webhook {
    /// The webhook `name`.
    ///
    /// # Errors
    /// Its kubeconfig cannot be used.
    pub(super) fn new(
        name: &str,
        settings: &WebhookSettings,
        env: &Env,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let Connection::Kubeconfig(path) = &settings.connection;
        let asking = Asking::kubeconfig(path, env)?.patience(settings.timeout);
        Ok(Self(Arc::new(Asked {
            name: name.to_owned(),
            settings: settings.clone(),
            asking,
            env: env.clone(),
            metrics,
            kept: Mutex::default(),
        })))
    }
}

impl Kept {
    fn get(&self, key: &str, now: Instant) -> Option<Judged> {
        let (until, judged) = self.answers.get(key)?;
        (*until > now).then(|| judged.clone())
    }

    fn put(&mut self, key: String, until: Instant, judged: Judged) {
        if self.answers.insert(key.clone(), (until, judged)).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.answers.remove(&oldest);
            }
        }
    }
}

impl Asked {
    fn kept<T>(&self, f: impl FnOnce(&mut Kept) -> T) -> T {
        f(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn failed(&self, why: String) -> Decision {
        let decision = if self.settings.deny {
            Decision::deny("")
        } else {
            Decision::no_opinion("")
        };
        decision.failed(why)
    }

    /// What the conditions say without asking; none: it must be asked.
    fn excluded(&self, attributes: &Attributes) -> Option<Decision> {
        let conditions = &self.settings.conditions;
        if conditions.is_empty() {
            return None;
        }
        let labels = ["Webhook", self.name.as_str()];
        let started = self.env.clock.now();
        let held = conditions.hold(attributes);
        let seconds = (self.env.clock.now() - started).as_secs_f64();
        self.metrics.condition_seconds.of(&labels).observe(seconds);
        match held {
            Ok(true) => None,
            Ok(false) => {
                self.metrics.exclusions.of(&labels).add(1);
                Some(Decision::no_opinion(""))
            }
            Err(why) => {
                self.metrics.condition_errors.of(&labels).add(1);
                tracing::warn!(webhook = self.name, why, "match conditions");
                Some(self.failed(why))
            }
        }
    }

    async fn ask(self: Arc<Self>, question: Vec<u8>, keep: Option<String>) -> Decision {
        let started = self.env.clock.now();
        let answered = self.asking.review(question.into()).await;
        let judged = answered.and_then(|body| self.read(&body).map_err(Failure::Unreached));
        let result = match &judged {
            Ok(_) => "success",
            Err(Failure::Refused(504, _)) => "timeout",
            Err(failure) if failure.to_string().contains("deadline exceeded") => "timeout",
            Err(_) => "error",
        };
        let seconds = (self.env.clock.now() - started).as_secs_f64();
        let labels = [self.name.as_str(), result];
        self.metrics.evaluations.of(&labels).add(1);
        self.metrics.durations.of(&labels).observe(seconds);
        match judged {
            Ok(judged) => {
                if let Some(key) = keep {
                    self.keep(key, &judged);
                }
                judged.decision()
            }
            Err(failure) => {
                tracing::error!(
                    webhook = self.name,
                    failure = failure.to_string(),
                    "failed to make webhook authorizer request"
                );
                if !self.settings.deny {
                    self.metrics.open.of(&labels).add(1);
                }
                self.failed(failure.to_string())
            }
        }
    }

    fn keep(&self, key: String, judged: &Judged) {
        let ttl = match judged.allowed {
            true => self.settings.authorized_ttl,
            false => self.settings.unauthorized_ttl,
        };
        if ttl > Duration::ZERO {
            let until = self.env.clock.now() + ttl;
            self.kept(|kept| kept.put(key, until, judged.clone()));
        }
    }

    /// Only a review of the version that was asked for is an answer.
    fn read(&self, body: &[u8]) -> Result<Judged, String> {
        let none = |why: String| format!("the answer is no SubjectAccessReview: {why}");
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(none("it is no object".to_owned()));
        }
        let answered: Answered = serde_json::from_slice(body).map_err(|error| none(error.to_string()))?;
        let wanted = self.settings.version.api_version();
        if answered.kind != "SubjectAccessReview" || answered.api_version != wanted {
            let (kind, version) = (&answered.kind, &answered.api_version);
            return Err(format!(
                "the answer is a {kind:?} of {version:?}, not a SubjectAccessReview of {wanted:?}"
            ));
        }
        Judged::parse(answered.status.as_deref()).map_err(none)
    }
}

/// The length of what a client makes up.
fn length(of: &Attributes) -> usize {
    let parts = [
        &of.namespace,
        &of.verb,
        &of.group,
        &of.version,
        &of.resource,
        &of.subresource,
        &of.name,
        &of.path,
    ];
    parts.iter().map(|part| part.len()).sum()
}

impl Authorizer for Webhook {
    fn authorize(&self, attributes: &Attributes) -> Answer<Decision> {
        if let Some(decision) = self.0.excluded(attributes) {
            return decision.into();
        }
        let version = self.0.settings.version;
        let spec = Spec::of(attributes, version);
        let Ok(key) = serde_json::to_string(&spec) else {
            return self.0.failed("the question cannot be written".to_owned()).into();
        };
        let now = self.0.env.clock.now();
        if let Some(known) = self.0.kept(|kept| kept.get(&key, now)) {
            return known.decision().into();
        }
        let review = Review {
            kind: "SubjectAccessReview",
            api_version: version.api_version(),
            metadata: Metadata { created: None },
            spec: &spec,
            status: Blank { allowed: false },
        };
        match serde_json::to_vec(&review) {
            Ok(question) => {
                let keep = (length(attributes) < LONGEST).then_some(key);
                Answer::Later(Box::pin(self.0.clone().ask(question, keep)))
            }
            Err(error) => self.0.failed(error.to_string()).into(),
        }
    }

    fn rules(&self, _: &User, _: &str) -> Rules {
        Rules {
            incomplete: true,
            error: "webhook authorizer does not support user rule resolution".to_owned(),
            ..Rules::default()
        }
    }
}
