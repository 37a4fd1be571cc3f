//! The end of a definition: its objects go first.

use super::definitions::{call, write};
use crate::{
    Server,
    cache::{Cache, Selection},
    handler::Place,
};
use api::{Object, Status};
use client::DeleteOptions;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long objects may take to go before they are deleted again.
const AGAIN: Duration = Duration::from_secs(5);

/// The definitions whose objects are being deleted, by UID.
#[derive(Default)]
pub struct Ending(Mutex<BTreeSet<String>>);

impl Ending {
    /// Whether it had not begun.
    fn begin(&self, uid: &str) -> bool {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert(uid.to_owned())
    }

    fn end(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Begins to delete all objects of a definition; when they are gone, so is what holds the definition.
pub(super) fn begin(server: &Arc<Server>, definition: &Arc<Object>, cache: Option<Arc<Cache>>) {
    // Each change of the definition comes here; the work is begun by the first.
    let begun = definition
        .finalizers()
        .any(|finalizer| finalizer == resources::CLEANUP);
    if !begun || !server.ending.begin(definition.uid()) {
        return;
    }
    let (server, definition) = (server.clone(), definition.clone());
    let tasks = server.handler.env.tasks.clone();
    tasks.spawn("custom-resource-clean-up", async move {
        while let Err(status) = end(&server, &definition, cache.as_ref()).await {
            if status.is_not_found() {
                break;
            }
            tracing::debug!(definition = definition.name(), %status, "clean-up");
            server.handler.env.clock.sleep(AGAIN).await;
        }
        server.ending.end(definition.uid());
    });
}

async fn end(server: &Arc<Server>, definition: &Object, cache: Option<&Arc<Cache>>) -> Result<(), Status> {
    if let Some(cache) = cache {
        if cache.len() > 0 {
            report(server, definition, cache.len()).await?;
        }
        while cache.len() > 0 {
            delete_all(server, cache).await?;
            gone(server, cache).await;
        }
    }
    report(server, definition, 0).await?;
    let now = current(server, definition)?;
    let released = resources::released(&now)?;
    let object = Object::parse(released.into(), now.resource_version(), &[]).map_err(Status::internal)?;
    write(&server.handler, &object, "").await
}

fn current(server: &Server, definition: &Object) -> Result<Arc<Object>, Status> {
    let place = super::definitions::place(&server.handler, definition.name(), "")?;
    let held = server.handler.current(&place)?;
    if held.hub().uid() != definition.uid() {
        return Err(Status::not_found(&place.gvr(), definition.name()));
    }
    Ok(held.hub().clone())
}

/// Writes into the status how far it is.
async fn report(server: &Server, definition: &Object, left: usize) -> Result<(), Status> {
    let now = current(server, definition)?;
    let told = resources::terminating(&now, left, server.handler.env.clock.wall())?;
    if told == *now.body() {
        return Ok(());
    }
    let object = Object::parse(told.into(), now.resource_version(), &[]).map_err(Status::internal)?;
    write(&server.handler, &object, "status").await
}

async fn delete_all(server: &Server, cache: &Arc<Cache>) -> Result<(), Status> {
    for object in cache.snapshot().hubs(cache.row, "") {
        let place = Place {
            cache: cache.clone(),
            version: 0,
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            subresource: String::new(),
        };
        let call = call("delete", &place);
        match server
            .handler
            .delete(&place, &call, &DeleteOptions::default())
            .await
        {
            Err(status) if !status.is_not_found() && !status.is_conflict() => return Err(status),
            _ => {}
        }
    }
    Ok(())
}

/// Waits until there are none, for a while: what finalizers hold goes in its own time.
async fn gone(server: &Server, cache: &Arc<Cache>) {
    let Ok(mut watcher) = cache.watch(Selection::default(), 0, None) else {
        return;
    };
    let empty = async { while cache.len() > 0 && watcher.next().await.is_some() {} };
    let _ = server.handler.env.clock.timeout(AGAIN, empty).await;
}
