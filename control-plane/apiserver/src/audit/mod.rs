//! Audit: who did what, by a policy, to a log and a webhook (upstream `apiserver/pkg/audit` and `plugin/pkg/audit`).
//!
//! A [`Record`] goes with a request that the policy wants told. What is known of the request is noted in it; at each stage
//! an [`Event`] is made of it and given to the back ends: at once, or by a queue of bounded length. What a queue has no room
//! for is lost, counted and logged; a request never waits for a queue. Without a policy there is no record, and nothing is
//! done.

mod batch;
mod body;
mod event;
mod file;
mod latency;
mod log;
mod metrics;
mod pieces;
mod policy;
mod record;
mod settings;
#[cfg(test)]
mod stories;
mod webhook;

pub use event::{Event, Level, Stage};
pub use latency::Layer;
pub use policy::Policy;
pub use record::{AUDIT_ID, Outside, Record};
pub use settings::{Batch, Format, LogSettings, Mode, Settings, Truncate, WebhookSettings};

use crate::security::Attributes;
use batch::Queue;
use component::Env;
use futures::future::BoxFuture;
use log::Log;
use metrics::Metrics;
use std::sync::Arc;
use webhook::Hook;

/// Where events go.
trait Output: Send + Sync + 'static {
    /// Writes them in their order.
    fn write<'a>(&'a self, events: &'a [Arc<Event>]) -> BoxFuture<'a, Result<(), String>>;
}

/// A back end: where events go, and how.
struct Backend {
    name: &'static str,
    output: Arc<dyn Output>,
    truncate: Option<Truncate>,
    how: How,
}

enum How {
    Queued(Queue),
    /// A request waits until its event is written; `strict`: and fails if it is not.
    Waiting {
        strict: bool,
    },
}

/// The policy and the back ends.
pub struct Audit {
    policy: Policy,
    backends: Vec<Backend>,
    metrics: Arc<Metrics>,
    env: Env,
}

impl Audit {
    /// By its settings; none without a policy or a back end.
    ///
    /// # Errors
    /// What of the settings, the policy or the kubeconfig cannot be gone by.
    pub fn open(settings: &Settings, env: &Env) -> Result<Option<Arc<Self>>, String> {
        settings.check()?;
        let (log, webhook) = (settings.log.as_ref(), settings.webhook.as_ref());
        let Some(path) = settings.policy_file.as_deref() else {
            if log.is_some() || webhook.is_some() {
                tracing::warn!("no audit policy file provided, no events will be recorded");
            }
            return Ok(None);
        };
        let policy = Policy::read(path).map_err(|why| format!("loading audit policy file: {why}"))?;
        let metrics = Metrics::new(&env.metrics);
        let mut backends = Vec::new();
        if let Some(of) = log {
            let output = Arc::new(Log::open(of, env)?);
            backends.push(backend("log", output, &of.mode, of.truncate, &metrics, env));
        }
        if let Some(of) = webhook {
            let output = Hook::open(of, env).map_err(|why| format!("initializing audit webhook: {why}"))?;
            let output = Arc::new(output);
            backends.push(backend("webhook", output, &of.mode, of.truncate, &metrics, env));
        }
        Ok((!backends.is_empty()).then(|| {
            Arc::new(Self {
                policy,
                backends,
                metrics,
                env: env.clone(),
            })
        }))
    }

    /// The record of a request; none if the policy does not want it told.
    pub(crate) fn record(
        self: &Arc<Self>,
        asked: &Attributes,
        outside: Outside,
        long: bool,
    ) -> Option<Arc<Record>> {
        let wanted = self.policy.wants(asked);
        self.metrics.levels.of(&[wanted.level.name()]).add(1);
        (wanted.level > Level::None)
            .then(|| Arc::new(Record::new(self.clone(), wanted, asked, outside, long)))
    }

    /// Gives an event to all back ends. False: one that must have it has it not.
    async fn tell(&self, event: &Arc<Event>) -> bool {
        self.metrics.events.add(1);
        let mut told = true;
        for backend in &self.backends {
            told &= backend.tell(event, &self.metrics).await;
        }
        told
    }
}

fn backend(
    name: &'static str,
    output: Arc<dyn Output>,
    mode: &Mode,
    truncate: Option<Truncate>,
    metrics: &Arc<Metrics>,
    env: &Env,
) -> Backend {
    let how = match mode {
        Mode::Batch(batch) => {
            let most = truncate.map(|of| of.max_batch_size);
            How::Queued(Queue::start(
                name,
                output.clone(),
                *batch,
                most,
                metrics.clone(),
                env,
            ))
        }
        Mode::Blocking => How::Waiting { strict: false },
        Mode::BlockingStrict => How::Waiting { strict: true },
    };
    Backend {
        name,
        output,
        truncate,
        how,
    }
}

impl Backend {
    async fn tell(&self, event: &Arc<Event>, metrics: &Metrics) -> bool {
        let mut event = event.clone();
        if let Some(of) = self.truncate {
            let large = |event: &Event| event.json().len() > of.max_event_size;
            if large(&event) && event.level >= Level::Request {
                event = Arc::new(event.truncated());
            }
            if large(&event) {
                let why = "event is too large even after truncating";
                metrics.lost("truncate", why, std::slice::from_ref(&event));
                return true;
            }
        }
        match &self.how {
            How::Queued(queue) => {
                queue.put(event, metrics);
                true
            }
            How::Waiting { strict } => {
                let events = [event];
                match self.output.write(&events).await {
                    Ok(()) => true,
                    Err(why) => {
                        metrics.lost(self.name, &why, &events);
                        !strict
                    }
                }
            }
        }
    }
}
