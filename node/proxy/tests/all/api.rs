//! An API server of the test's own: nothing at first, then the changes that the test tells.

use api::{Object, Status};
use client::{
    Client, List, ListParams, Target, Transport, WatchEvent, WatchParams, WatchStream, Write, WriteOptions,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A way for events of one resource.
type Way = (UnboundedSender<WatchEvent>, Option<UnboundedReceiver<WatchEvent>>);

#[derive(Default)]
pub(crate) struct Api {
    ways: Mutex<HashMap<String, Way>>,
    version: Mutex<u64>,
}

impl Api {
    pub(crate) fn client(self: &Arc<Self>) -> Client {
        Client::new(self.clone(), "test")
    }

    fn way<T>(&self, resource: &str, with: impl FnOnce(&mut Way) -> T) -> T {
        let mut ways = self.ways.lock().expect("the ways");
        with(ways.entry(resource.to_owned()).or_insert_with(|| {
            let (sender, receiver) = unbounded_channel();
            (sender, Some(receiver))
        }))
    }

    fn object(&self, json: &str) -> Arc<Object> {
        let mut version = self.version.lock().expect("the version");
        *version += 1;
        Arc::new(Object::parse(json.to_owned().into(), *version, &[]).expect("an object"))
    }

    pub(crate) fn apply(&self, resource: &str, json: &str) {
        let object = self.object(json);
        self.way(resource, |way| {
            way.0.send(WatchEvent::Added(object)).expect("a watch")
        });
    }

    pub(crate) fn delete(&self, resource: &str, json: &str) {
        let object = self.object(json);
        self.way(resource, |way| {
            way.0.send(WatchEvent::Deleted(object)).expect("a watch")
        });
    }
}

impl Transport for Api {
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
            .expect("one watch of each resource");
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
