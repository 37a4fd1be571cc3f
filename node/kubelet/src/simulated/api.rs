//! An API server in memory that knows as much as a kubelet needs, for tests.
#![expect(clippy::disallowed_types, reason = "a test double may hold objects as values")]

use api::{Gvr, Object, Status};
use client::{
    Client, DeleteOptions, List, ListParams, Patch, Target, Transport, WatchEvent, WatchParams, WatchStream,
    Write, WriteOptions,
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::watch;

type ObjectKey = (String, String, String);

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<ObjectKey, Value>,
    log: Vec<(u64, &'static str, String, Value)>,
    writes: usize,
    /// It does not answer.
    cut: bool,
}

#[derive(Clone)]
pub(crate) struct FakeApi {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
}

impl FakeApi {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Arc::default(),
            changed: Arc::new(watch::Sender::new(0)),
        })
    }

    pub fn client(self: &Arc<Self>) -> Client {
        Client::new(self.clone(), "kubelet")
    }

    /// Writes without counting as the kubelet's.
    pub fn put(&self, resource: &str, object: Value) {
        let mut state = self.state.lock().unwrap();
        let text = |p: &str| {
            object
                .pointer(p)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let key = (
            resource.to_owned(),
            text("/metadata/namespace"),
            text("/metadata/name"),
        );
        let verb = if state.objects.contains_key(&key) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        state.store(verb, key, object);
        self.changed.send_replace(state.revision);
    }

    pub fn get_value(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.state.lock().unwrap().objects.get(&key).cloned()
    }

    pub fn all(&self, resource: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        state
            .objects
            .iter()
            .filter(|((r, ..), _)| r == resource)
            .map(|(_, o)| o.clone())
            .collect()
    }

    pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
        let mut state = self.state.lock().unwrap();
        state.remove((resource.to_owned(), namespace.to_owned(), name.to_owned()));
        self.changed.send_replace(state.revision);
    }

    /// Makes it not answer, or answer again. Watches that stand go on.
    pub fn cut(&self, cut: bool) {
        self.state.lock().unwrap().cut = cut;
    }

    fn refusal(&self) -> Option<Status> {
        let cut = self.state.lock().unwrap().cut;
        cut.then(|| Status::unavailable("the server is cut off"))
    }

    /// All that happened, in order, as text.
    pub fn history(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state
            .log
            .iter()
            .map(|(revision, verb, resource, object)| format!("{revision} {verb} {resource} {object}"))
            .collect()
    }

    pub fn writes(&self) -> usize {
        self.state.lock().unwrap().writes
    }

    /// Waits until `seen` of the named object (null when it is not there).
    pub async fn wait(&self, what: &str, resource: &str, name: &str, seen: impl Fn(&Value) -> bool) -> Value {
        let namespace = if resource == "nodes" { "" } else { "shop" };
        let mut changed = self.changed.subscribe();
        let look = async {
            loop {
                let object = self.get_value(resource, namespace, name).unwrap_or(Value::Null);
                if seen(&object) {
                    return object;
                }
                changed.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(Duration::from_secs(900), look).await {
            Ok(object) => object,
            Err(_) => panic!(
                "waited for {what}; now: {:#}",
                self.get_value(resource, namespace, name).unwrap_or(Value::Null)
            ),
        }
    }

    /// Waits until an event of that reason was written whose message contains `message`.
    pub async fn event(&self, reason: &str, message: &str) -> Value {
        let mut changed = self.changed.subscribe();
        let look = async {
            loop {
                let is_it =
                    |e: &Value| e["reason"] == reason && e["message"].as_str().unwrap().contains(message);
                if let Some(event) = self.all("events").into_iter().find(is_it) {
                    return event;
                }
                changed.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(900), look).await;
        let told = || {
            self.all("events")
                .iter()
                .map(|e| format!("{} {}", e["reason"], e["message"]))
                .collect::<Vec<_>>()
        };
        found.unwrap_or_else(|_| panic!("waited for event {reason} {message}; there are {:#?}", told()))
    }
}

impl State {
    fn store(&mut self, verb: &'static str, key: ObjectKey, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.revision));
        }
        self.log
            .push((self.revision, verb, key.0.clone(), object.clone()));
        self.objects.insert(key, object.clone());
        object
    }

    fn remove(&mut self, key: ObjectKey) -> Option<Value> {
        let object = self.objects.remove(&key)?;
        self.revision += 1;
        self.log.push((self.revision, "DELETED", key.0, object.clone()));
        Some(object)
    }

    fn write(&mut self, target: &Target, write: Write) -> Result<Value, Status> {
        self.writes += 1;
        let resource = target.gvr.resource.to_string();
        let key = (resource.clone(), target.namespace.clone(), target.name.clone());
        let absent = || Status::not_found(&target.gvr, &target.name);
        match write {
            Write::Create(_) if target.subresource == "token" => Ok(json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
                "status": {"token": format!("token-{}", self.writes)}
            })),
            Write::Create(bytes) => {
                let mut object: Value = serde_json::from_slice(&bytes).unwrap();
                if let Some(prefix) = object["metadata"]["generateName"].as_str() {
                    object["metadata"]["name"] = json!(format!("{prefix}{}", self.revision));
                }
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                let key = (resource, target.namespace.clone(), name.clone());
                if self.objects.contains_key(&key) {
                    return Err(Status::already_exists(&target.gvr, &name));
                }
                Ok(self.store("ADDED", key, object))
            }
            Write::Patch(kind, bytes) => {
                let mut object = self.objects.get(&key).cloned().ok_or_else(absent)?;
                let patch: Value = serde_json::from_slice(&bytes).unwrap();
                let uid = &patch["metadata"]["uid"];
                if !uid.is_null() && *uid != object["metadata"]["uid"] {
                    return Err(Status::conflict(&target.gvr, &target.name, "uid differs"));
                }
                merge(&mut object, patch, kind == Patch::Strategic);
                Ok(self.store("MODIFIED", key, object))
            }
            Write::Delete(options) => self.delete(target, key, &options),
            Write::Update(_) => Err(Status::method_not_allowed()),
        }
    }

    fn delete(&mut self, target: &Target, key: ObjectKey, options: &DeleteOptions) -> Result<Value, Status> {
        let mut object = self
            .objects
            .get(&key)
            .cloned()
            .ok_or_else(|| Status::not_found(&target.gvr, &target.name))?;
        if options
            .uid
            .as_deref()
            .is_some_and(|uid| object["metadata"]["uid"] != uid)
        {
            return Err(Status::conflict(&target.gvr, &target.name, "uid differs"));
        }
        let grace = options.grace_period_seconds.unwrap_or(30);
        if grace == 0 {
            return Ok(self.remove(key).unwrap());
        }
        object["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
        object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        Ok(self.store("MODIFIED", key, object))
    }
}

/// Merges a patch; lists of named things by their names when it is strategic.
fn merge(object: &mut Value, patch: Value, strategic: bool) {
    match patch {
        Value::Object(fields) => {
            if !object.is_object() {
                *object = json!({});
            }
            for (name, value) in fields {
                if value.is_null() {
                    object.as_object_mut().unwrap().remove(&name);
                } else {
                    merge_field(object, &name, value, strategic);
                }
            }
        }
        other => *object = other,
    }
}

fn merge_field(object: &mut Value, name: &str, value: Value, strategic: bool) {
    let key = match name {
        "conditions" | "addresses" if strategic => "type",
        "podIPs" | "hostIPs" if strategic => "ip",
        _ => return merge(&mut object[name], value, strategic),
    };
    if !object[name].is_array() {
        object[name] = json!([]);
    }
    let list = object[name].as_array_mut().unwrap();
    for element in value.as_array().unwrap() {
        if element["$patch"] == "delete" {
            list.retain(|old| old[key] != element[key]);
            continue;
        }
        match list.iter_mut().find(|old| old[key] == element[key]) {
            Some(old) => merge(old, element.clone(), strategic),
            None => {
                let mut fresh = json!({});
                merge(&mut fresh, element.clone(), strategic);
                list.push(fresh);
            }
        }
    }
}

fn matches(object: &Value, namespace: &str, fields: &str) -> bool {
    let in_namespace = namespace.is_empty() || object["metadata"]["namespace"] == namespace;
    in_namespace
        && fields.split(',').filter(|f| !f.is_empty()).all(|field| {
            let (path, wanted) = field.split_once('=').unwrap();
            object
                .pointer(&format!("/{}", path.replace('.', "/")))
                .and_then(Value::as_str)
                == Some(wanted)
        })
}

fn encode(value: &Value) -> Arc<Object> {
    Arc::new(Object::parse_any(serde_json::to_vec(value).unwrap().into(), &[]).unwrap())
}

impl Transport for FakeApi {
    fn get(&self, target: Target) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        if let Some(refusal) = self.refusal() {
            return futures::future::ready(Err(refusal)).boxed();
        }
        let found = self.get_value(&target.gvr.resource, &target.namespace, &target.name);
        futures::future::ready(
            found
                .map(|o| encode(&o))
                .ok_or_else(|| Status::not_found(&target.gvr, &target.name)),
        )
        .boxed()
    }

    fn list(&self, target: Target, params: ListParams) -> BoxFuture<'_, Result<List, Status>> {
        if let Some(refusal) = self.refusal() {
            return futures::future::ready(Err(refusal)).boxed();
        }
        let state = self.state.lock().unwrap();
        let of = |(r, ..): &ObjectKey| *r == target.gvr.resource;
        let items = state
            .objects
            .iter()
            .filter(|(k, o)| of(k) && matches(o, &target.namespace, &params.field_selector));
        let items = items.map(|(_, o)| encode(o)).collect();
        let list = List {
            items,
            resource_version: state.revision.max(1),
            continue_token: String::new(),
        };
        futures::future::ready(Ok(list)).boxed()
    }

    fn watch(&self, target: Target, params: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>> {
        let stream = Watch {
            gvr: target.gvr,
            namespace: target.namespace,
            params,
            changed: self.changed.subscribe(),
        };
        futures::future::ready(Ok(stream.run(self))).boxed()
    }

    fn write(
        &self,
        target: Target,
        write: Write,
        _: WriteOptions,
    ) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        if let Some(refusal) = self.refusal() {
            return futures::future::ready(Err(refusal)).boxed();
        }
        let mut state = self.state.lock().unwrap();
        let written = state.write(&target, write).map(|o| encode(&o));
        self.changed.send_replace(state.revision);
        futures::future::ready(written).boxed()
    }
}

struct Watch {
    gvr: Gvr,
    namespace: String,
    params: WatchParams,
    changed: watch::Receiver<u64>,
}

impl Watch {
    fn run(self, api: &FakeApi) -> WatchStream {
        let state = api.state.clone();
        futures::stream::unfold((self, state), |(mut watch, state)| async move {
            loop {
                let next = state
                    .lock()
                    .unwrap()
                    .log
                    .iter()
                    .find(|(revision, _, resource, object)| {
                        *revision > watch.params.resource_version
                            && *resource == watch.gvr.resource
                            && matches(object, &watch.namespace, &watch.params.field_selector)
                    })
                    .cloned();
                if let Some((revision, verb, _, object)) = next {
                    watch.params.resource_version = revision;
                    let object = encode(&object);
                    let event = match verb {
                        "ADDED" => WatchEvent::Added(object),
                        "DELETED" => WatchEvent::Deleted(object),
                        _ => WatchEvent::Modified(object),
                    };
                    return Some((Ok(event), (watch, state)));
                }
                watch.changed.changed().await.ok()?;
            }
        })
        .boxed()
    }
}
