//! Stories of single looks: objects in YAML, the plan as text.

mod cron_jobs;
mod daemon_sets;
mod deployments;
mod endpoints;
mod ephemeral_volumes;
mod jobs;
mod legacy_tokens;
mod nodes;
mod other_servers;
mod replica_sets;
mod service_cidrs;
mod stateful_sets;

use api::{Gvr, Key, Object, Status};
use bytes::Bytes;
use client::{
    Caches, Client, List, ListParams, Target, Transport, WatchParams, WatchStream, Write, WriteOptions,
};
use component::Env;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Outcome, Plan};
use std::{fmt::Write as _, sync::Arc};

/// A server that has some objects, for ever.
struct Still(Vec<Arc<Object>>);

/// The resource of a kind that the stories use.
fn plural(kind: &str) -> String {
    let plural = if kind.ends_with('s') { "es" } else { "s" };
    format!("{}{plural}", kind.to_lowercase())
}

impl Transport for Still {
    fn get(&self, _: Target) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        async { Err(Status::method_not_allowed()) }.boxed()
    }

    fn list(&self, target: Target, _: ListParams) -> BoxFuture<'_, Result<List, Status>> {
        let items = self
            .0
            .iter()
            .filter(|object| plural(object.kind()) == target.gvr.resource)
            .cloned()
            .collect();
        async {
            Ok(List {
                items,
                resource_version: 1000,
                continue_token: String::new(),
            })
        }
        .boxed()
    }

    fn watch(&self, _: Target, _: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>> {
        async { Ok(stream::pending().boxed()) }.boxed()
    }

    fn write(&self, _: Target, _: Write, _: WriteOptions) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        async { Err(Status::method_not_allowed()) }.boxed()
    }
}

/// Objects of a text of YAML documents, at versions 1, 2, 3, ...
fn objects(text: &str) -> Vec<Arc<Object>> {
    let documents = text.split("---\n").filter(|document| !document.trim().is_empty());
    let parse = |(index, document): (usize, &str)| {
        let json =
            schema::yaml_to_json(document.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{document}"));
        Arc::new(Object::parse(Bytes::from(json), index as u64 + 1, &[]).unwrap())
    };
    documents.enumerate().map(parse).collect()
}

/// What the controller plans for `key` when it sees those objects.
async fn plan<C: Controller>(controller: C, key: &Key, text: &str, last: &LastOutcome, now: &str) -> Plan {
    plan_of(&controller, key, text, last, now).await
}

/// The same of a controller that is asked more than once.
async fn plan_of<C: Controller>(
    controller: &C,
    key: &Key,
    text: &str,
    last: &LastOutcome,
    now: &str,
) -> Plan {
    let env = Env::simulated(1);
    let caches = Caches::new(Client::new(Arc::new(Still(objects(text))), "story"), env);
    for watch in controller.watches() {
        caches.select(&watch.gvr, watch.selector).synced().await;
    }
    let now: Timestamp = now.parse().unwrap();
    controller
        .observe(&caches, key)
        .map(|observed| controller.reconcile(&observed, last, now))
        .unwrap_or_default()
}

/// The writes of a plan, a line each.
fn told(plan: &Plan) -> String {
    let mut text = String::new();
    for write in &plan.writes {
        let (verb, body) = match &write.write {
            Write::Create(body) => ("create", body.clone()),
            Write::Update(body) => ("update", body.clone()),
            Write::Patch(_, body) => ("patch", body.clone()),
            Write::Delete(_) => ("delete", Bytes::new()),
        };
        let Target {
            gvr,
            name,
            subresource,
            ..
        } = &write.target;
        let slash = if subresource.is_empty() { "" } else { "/" };
        let line = format!(
            "{verb} {}{slash}{subresource} {name} {}",
            gvr.resource,
            String::from_utf8_lossy(&body)
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The names that a plan deletes, in order.
fn deleted(plan: &Plan) -> Vec<&str> {
    let deletes = plan
        .writes
        .iter()
        .filter(|write| matches!(write.write, Write::Delete(_)));
    deletes.map(|write| write.target.name.as_str()).collect()
}

/// That a write was refused.
fn refused(label: &'static str, status: Status) -> LastOutcome {
    LastOutcome(vec![(label, Outcome::Refused(Box::new(status)))])
}

const NOW: &str = "2030-01-01T01:00:00Z";
const SETS: Gvr = Gvr::new("apps", "v1", "replicasets");
