//! Events, in upstream's words: a bounded queue, one writer, equal events counted on one object.

use crate::{pod::timestamp, resources::EVENTS, view::Pod};
use api::Key;
use client::{Client, Patch};
use component::Env;
use serde::Serialize;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// How serious an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// As it should be.
    Normal,
    /// Not so.
    Warning,
}

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    name: String,
    uid: String,
    api_version: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    field_path: String,
}

impl About {
    /// A pod.
    pub fn pod(pod: &Pod) -> Self {
        let meta = &pod.metadata;
        Self {
            kind: "Pod",
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            api_version: "v1",
            field_path: String::new(),
        }
    }

    /// A container of a pod.
    pub fn container(pod: &Pod, name: &str) -> Self {
        let init = pod.spec.init_containers.iter().any(|c| c.name == name);
        let list = if init { "initContainers" } else { "containers" };
        Self {
            field_path: format!("spec.{list}{{{name}}}"),
            ..Self::pod(pod)
        }
    }

    /// A node.
    pub fn node(name: &str) -> Self {
        Self {
            kind: "Node",
            name: name.to_owned(),
            uid: name.to_owned(),
            api_version: "",
            ..Self::default()
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    about: About,
    kind: Kind,
    reason: &'static str,
    message: String,
}

/// Where events are put. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Recorder(mpsc::Sender<Event>);

const DEPTH: usize = 1000;
const REMEMBERED: usize = 4096;

impl Recorder {
    /// Starts the writer.
    pub fn start(client: Client, env: &Env, node: String) -> Self {
        let (sender, receiver) = mpsc::channel(DEPTH);
        let writer = Writer {
            client,
            env: env.clone(),
            node,
            seen: BTreeMap::new(),
            serial: 0,
        };
        env.tasks.spawn("events", writer.run(receiver));
        Self(sender)
    }

    /// Records an event. When the queue is full it is lost: events never hold anything up.
    pub fn event(&self, about: About, kind: Kind, reason: &'static str, message: impl Into<String>) {
        let event = Event {
            about,
            kind,
            reason,
            message: message.into(),
        };
        tracing::debug!(reason, message = event.message, "event");
        if self.0.try_send(event).is_err() {
            tracing::debug!("event queue is full");
        }
    }
}

struct Writer {
    client: Client,
    env: Env,
    node: String,
    seen: BTreeMap<Event, (String, u32)>,
    serial: i128,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    involved_object: &'a About,
    reason: &'a str,
    message: &'a str,
    source: Source<'a>,
    first_timestamp: &'a str,
    last_timestamp: &'a str,
    count: u32,
    r#type: Kind,
    reporting_component: &'static str,
    reporting_instance: &'a str,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
}

#[derive(Serialize)]
struct Source<'a> {
    component: &'static str,
    host: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Again<'a> {
    count: u32,
    last_timestamp: &'a str,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Event>) {
        while let Some(event) = queue.recv().await {
            if let Err(status) = self.write(&event).await {
                tracing::debug!(error = %status, reason = event.reason, "event not written");
            }
        }
    }

    async fn write(&mut self, event: &Event) -> Result<(), api::Status> {
        let now = timestamp(self.env.clock.wall());
        let namespace = if event.about.namespace.is_empty() {
            "default"
        } else {
            &event.about.namespace
        };
        if let Some((name, count)) = self.seen.get_mut(event) {
            *count += 1;
            let again = Again {
                count: *count,
                last_timestamp: &now,
            };
            let written = self
                .client
                .patch(
                    &EVENTS,
                    &Key::new(namespace, name.as_str()),
                    "",
                    Patch::Strategic,
                    &again,
                )
                .await;
            match written {
                Err(status) if status.is_not_found() => {}
                other => return other.map(drop),
            }
        }
        self.serial += 1;
        let name = format!(
            "{}.{:x}",
            event.about.name,
            self.env.clock.wall().as_nanosecond() + self.serial
        );
        let wire = Wire {
            api_version: "v1",
            kind: "Event",
            metadata: Metadata {
                name: &name,
                namespace,
            },
            involved_object: &event.about,
            reason: event.reason,
            message: &event.message,
            source: Source {
                component: "kubelet",
                host: &self.node,
            },
            first_timestamp: &now,
            last_timestamp: &now,
            count: 1,
            r#type: event.kind,
            reporting_component: "kubelet",
            reporting_instance: &self.node,
        };
        self.client.create(&EVENTS, namespace, &wire).await?;
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        self.seen.insert(event.clone(), (name, 1));
        Ok(())
    }
}
