//! An API server of the test's own: nothing at first, then the changes that the test tells.

use api::{Object, Status};
use client::{
    Client, List, ListParams, Target, Transport, WatchEvent, WatchParams, WatchStream, Write, WriteOptions,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A way for events of one resource.
type Way = (UnboundedSender<WatchEvent>, Option<UnboundedReceiver<WatchEvent>>);

/// Such a server. A resource can be watched once.
#[derive(Debug, Default)]
pub struct ScriptedApi {
    ways: Mutex<HashMap<String, Way>>,
    version: Mutex<u64>,
}

impl ScriptedApi {
    /// A client of it.
    pub fn client(self: &Arc<Self>) -> Client {
        Client::new(self.clone(), "test")
    }

    fn way<T>(&self, resource: &str, with: impl FnOnce(&mut Way) -> T) -> T {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        with(ways.entry(resource.to_owned()).or_insert_with(|| {
            let (sender, receiver) = unbounded_channel();
            (sender, Some(receiver))
        }))
    }

    fn object(&self, json: &str) -> Arc<Object> {
        let mut version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        *version += 1;
        let object = Object::parse(json.to_owned().into(), *version, &[]);
        Arc::new(object.unwrap_or_else(|error| panic!("not an object: {error}: {json}")))
    }

    /// Tells that an object of `resource` is there, or is another now.
    pub fn apply(&self, resource: &str, json: &str) {
        self.tell(resource, WatchEvent::Added(self.object(json)));
    }

    /// Tells that an object of `resource` is gone.
    pub fn delete(&self, resource: &str, json: &str) {
        self.tell(resource, WatchEvent::Deleted(self.object(json)));
    }

    fn tell(&self, resource: &str, event: WatchEvent) {
        let told = self.way(resource, |way| way.0.send(event));
        assert!(told.is_ok(), "nobody watches {resource} any more");
    }
}

impl Transport for ScriptedApi {
    fn get(&self, target: Target) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        async move { Err(Status::not_found(&target.gvr, &target.name)) }.boxed()
    }

    fn list(&self, _: Target, _: ListParams) -> BoxFuture<'_, Result<List, Status>> {
        async {
            Ok(List {
                resource_version: 1,
                ..List::default()
            })
        }
        .boxed()
    }

    fn watch(&self, target: Target, _: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>> {
        let receiver = self
            .way(&target.gvr.resource, |way| way.1.take())
            .unwrap_or_else(|| panic!("a second watch of {}", target.gvr.resource));
        let next = |mut receiver: UnboundedReceiver<WatchEvent>| async {
            let event = receiver.recv().await?;
            Some((Ok(event), receiver))
        };
        async move { Ok(stream::unfold(receiver, next).boxed()) }.boxed()
    }

    fn write(&self, target: Target, _: Write, _: WriteOptions) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        async move { Err(Status::not_found(&target.gvr, &target.name)) }.boxed()
    }
}
