//! The recorder: Events about objects, in upstream's form, folded together when they repeat.

use crate::{Client, Patch};
use api::{Gvr, Key, Object, Status};
use component::Env;
use serde::Serialize;
use std::collections::HashMap;
use tokio::sync::mpsc;

/// The core Events resource.
const EVENTS: Gvr = Gvr::new("", "v1", "events");

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects, whose events stand in `default`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// The part of the object, such as `spec.containers{web}`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field_path: String,
}

impl About {
    /// The object as a whole.
    pub fn object(object: &Object) -> Self {
        Self {
            api_version: object.api_version().to_owned(),
            kind: object.kind().to_owned(),
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            uid: object.uid().to_owned(),
            field_path: String::new(),
        }
    }

    /// A part of it.
    #[must_use]
    pub fn at(mut self, field_path: impl Into<String>) -> Self {
        self.field_path = field_path.into();
        self
    }
}

/// How an event is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Someone should look.
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Note {
    about: About,
    severity: Severity,
    reason: String,
    message: String,
}

/// Writes events in the background. A full queue drops events: they are hints, never state. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Recorder(mpsc::Sender<Note>);

/// Repeats are folded into one event over so many notes remembered.
const REMEMBERED: usize = 4096;

impl Recorder {
    /// Events from `component` (such as `kubelet`) on `host`.
    pub fn start(client: &Client, component: &'static str, host: &str, env: &Env) -> Self {
        let (sender, receiver) = mpsc::channel(1000);
        let writer = Writer {
            client: client.clone(),
            component,
            host: host.to_owned(),
            env: env.clone(),
        };
        env.tasks.spawn("events", writer.run(receiver));
        Self(sender)
    }

    /// Records one.
    pub fn record(&self, about: About, severity: Severity, reason: &str, message: impl Into<String>) {
        let note = Note {
            about,
            severity,
            reason: reason.to_owned(),
            message: message.into(),
        };
        tracing::debug!(reason, message = note.message, "event");
        if self.0.try_send(note).is_err() {
            tracing::debug!(reason, "event dropped");
        }
    }
}

struct Writer {
    client: Client,
    component: &'static str,
    host: String,
    env: Env,
}

#[derive(Clone)]
struct Written {
    key: Key,
    count: u32,
}

impl Writer {
    async fn run(self, mut notes: mpsc::Receiver<Note>) {
        let mut written: HashMap<Note, Written> = HashMap::new();
        while let Some(note) = notes.recv().await {
            if written.len() >= REMEMBERED {
                written.clear();
            }
            let outcome = match written.get(&note).cloned() {
                Some(last) => match self.again(&last).await {
                    // Events expire and are deleted.
                    Err(status) if status.is_not_found() => self.first(&note).await,
                    other => other,
                },
                None => self.first(&note).await,
            };
            match outcome {
                Ok(done) => {
                    written.insert(note, done);
                }
                Err(status) => {
                    tracing::debug!(reason = note.reason, error = %status, "event not written");
                    written.remove(&note);
                }
            }
        }
    }

    async fn first(&self, note: &Note) -> Result<Written, Status> {
        let now = self.env.clock.wall();
        let namespace = if note.about.namespace.is_empty() {
            "default"
        } else {
            &note.about.namespace
        };
        let mut suffix = [0; 8];
        self.env.random.fill(&mut suffix);
        let name = format!("{}.{:016x}", note.about.name, u64::from_be_bytes(suffix));
        let seconds = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let event = Event {
            api_version: "v1",
            kind: "Event",
            metadata: Metadata {
                name: &name,
                namespace,
            },
            involved_object: &note.about,
            reason: &note.reason,
            message: &note.message,
            source: Source {
                component: self.component,
                host: &self.host,
            },
            first_timestamp: &seconds,
            last_timestamp: &seconds,
            count: 1,
            r#type: if note.severity == Severity::Normal {
                "Normal"
            } else {
                "Warning"
            },
            reporting_component: self.component,
            reporting_instance: &self.host,
        };
        self.client.create(&EVENTS, namespace, &event).await?;
        Ok(Written {
            key: Key::new(namespace, name),
            count: 1,
        })
    }

    async fn again(&self, last: &Written) -> Result<Written, Status> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Again {
            count: u32,
            last_timestamp: String,
        }
        let count = last.count + 1;
        let patch = Again {
            count,
            last_timestamp: self.env.clock.wall().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        };
        self.client
            .patch(&EVENTS, &last.key, "", Patch::Merge, &patch)
            .await?;
        Ok(Written {
            key: last.key.clone(),
            count,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata<'a>,
    involved_object: &'a About,
    reason: &'a str,
    message: &'a str,
    source: Source<'a>,
    first_timestamp: &'a str,
    last_timestamp: &'a str,
    count: u32,
    r#type: &'a str,
    reporting_component: &'a str,
    reporting_instance: &'a str,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
}

#[derive(Serialize)]
struct Source<'a> {
    component: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    host: &'a str,
}
