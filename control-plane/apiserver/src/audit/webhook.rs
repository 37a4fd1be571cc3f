//! The webhook: batches are posted as an `EventList`. Whatever goes wrong may be better the next time.

use super::{Event, Output, WebhookSettings};
use crate::security::Asking;
use component::Env;
use futures::{FutureExt, future::BoxFuture};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// How often a batch is posted at most, and by how much longer each pause is.
const TRIES: u32 = 5;
const GROWTH: f64 = 1.5;
const JITTER: f64 = 0.2;

/// The webhook.
pub(super) struct Hook {
    asking: Asking,
    pause: Duration,
    env: Env,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Blank,
    items: Vec<&'a Event>,
}

#[derive(Serialize)]
struct Blank {}

impl Hook {
    /// Reads its kubeconfig.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn open(settings: &WebhookSettings, env: &Env) -> Result<Self, String> {
        Ok(Self {
            asking: Asking::kubeconfig(&settings.config_file, env)?,
            pause: settings.initial_backoff,
            env: env.clone(),
        })
    }

    async fn post(&self, events: &[Arc<Event>]) -> Result<(), String> {
        let list = List {
            kind: "EventList",
            api_version: "audit.k8s.io/v1",
            metadata: Blank {},
            items: events.iter().map(Arc::as_ref).collect(),
        };
        let body = bytes::Bytes::from(serde_json::to_vec(&list).map_err(|error| error.to_string())?);
        let mut pause = self.pause;
        let mut tried = 1;
        loop {
            match self.asking.review(body.clone()).await {
                Ok(_) => return Ok(()),
                Err(failure) if tried == TRIES => return Err(failure.to_string()),
                Err(failure) => tracing::debug!(%failure, "the audit webhook is asked again"),
            }
            tried += 1;
            self.env.clock.sleep(self.env.random.jitter(pause, JITTER)).await;
            pause = pause.mul_f64(GROWTH);
        }
    }
}

impl Output for Hook {
    fn write<'a>(&'a self, events: &'a [Arc<Event>]) -> BoxFuture<'a, Result<(), String>> {
        self.post(events).boxed()
    }
}
