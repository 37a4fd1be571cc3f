//! A watch goes on when a snapshot takes the place of the store.

use super::Replica;
use crate::{Error, Revision, SharedItem, WatchItem, WatchRequest};
use futures::{StreamExt, stream, stream::BoxStream};
use std::sync::Arc;

struct Watching {
    replica: Replica,
    request: WatchRequest,
    engine: Arc<crate::Engine>,
    engines: tokio::sync::watch::Receiver<u64>,
    items: BoxStream<'static, Result<SharedItem, Error>>,
}

impl Replica {
    /// Watches what is applied here.
    pub fn watch(&self, request: WatchRequest) -> BoxStream<'static, Result<WatchItem, Error>> {
        let items = self.watch_shared(request);
        items.map(|item| item.map(WatchItem::from)).boxed()
    }

    /// The same, with events that watches of one range share. A server encodes them once for all of those by
    /// [`crate::SharedEvents::encoded`].
    pub fn watch_shared(&self, mut request: WatchRequest) -> BoxStream<'static, Result<SharedItem, Error>> {
        let mut engines = self.0.engines.subscribe();
        engines.mark_unchanged();
        let engine = self.engine();
        if request.after == 0 {
            request.after = engine.visible();
        }
        let items = engine.watch_shared(request.clone());
        let watching = Watching {
            replica: self.clone(),
            request,
            engine,
            engines,
            items,
        };
        stream::unfold(watching, |mut watching| async move {
            let item = watching.next().await?;
            Some((item, watching))
        })
        .boxed()
    }
}

impl Watching {
    async fn next(&mut self) -> Option<Result<SharedItem, Error>> {
        loop {
            match self.items.next().await {
                Some(Ok(item)) => {
                    self.request.after = reached(&item).max(self.request.after);
                    return Some(Ok(item));
                }
                Some(Err(_)) | None if self.engine.is_closed() && !self.replica.0.tasks.is_stopping() => {
                    self.follow().await?;
                }
                other => return other,
            }
        }
    }

    /// Goes on in the next engine; `None`: there is none.
    async fn follow(&mut self) -> Option<()> {
        let stopping = self.replica.0.tasks.clone();
        tokio::select! {
            biased;
            () = stopping.stopping() => return None,
            changed = self.engines.changed() => changed.ok()?,
        }
        self.engine = self.replica.engine();
        self.items = self.engine.watch_shared(self.request.clone());
        Some(())
    }
}

fn reached(item: &SharedItem) -> Revision {
    match item {
        SharedItem::Progress(revision) => *revision,
        SharedItem::Events(shared) => shared.revision(),
    }
}
