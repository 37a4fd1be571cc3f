//! The whole history of a store, as text.

use component::{Clock, Env};
use etcd::{Event, Store, WatchItem, WatchRequest};
use futures::StreamExt;
use std::{
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// Every event of a store in the order of revisions, one line each. Clones are the same history.
#[derive(Clone, Debug)]
pub struct History {
    lines: Arc<Mutex<Vec<String>>>,
    length: Arc<watch::Sender<usize>>,
    clock: Clock,
}

impl History {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            lines: Arc::default(),
            length: Arc::new(watch::Sender::new(0)),
            clock,
        }
    }

    /// Follows `store` from now on.
    pub(crate) fn follow(&self, store: &Arc<dyn Store>, env: &Env) {
        let all = WatchRequest {
            start: "/".into(),
            end: "0".into(),
            ..WatchRequest::default()
        };
        let mut items = store.watch(all);
        let history = self.clone();
        env.tasks.spawn("history", async move {
            while let Some(Ok(item)) = items.next().await {
                if let WatchItem::Events(events) = item {
                    history.extend(&events);
                }
            }
        });
    }

    fn extend(&self, events: &[Event]) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend(events.iter().map(line));
        self.length.send_replace(lines.len());
    }

    /// All lines: revision, PUT or DELETE, key, value.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        *self.length.borrow()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until `done` gives something, looking after each event; panics after `limit` of virtual time.
    pub async fn until<T>(&self, what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> T {
        let mut length = self.length.subscribe();
        let waiting = async {
            loop {
                length.mark_unchanged();
                if let Some(found) = done() {
                    return found;
                }
                // The sender lives in self.
                let _ = length.changed().await;
            }
        };
        match self.clock.timeout(limit, waiting).await {
            Some(found) => found,
            None => panic!(
                "waited {limit:?} for: {what}; the last events:\n{}",
                self.tail(12)
            ),
        }
    }

    fn tail(&self, count: usize) -> String {
        // Heartbeats say nothing.
        let lines: Vec<String> = self
            .lines()
            .into_iter()
            .filter(|line| !line.contains(" /registry/leases/"))
            .collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

fn line(event: &Event) -> String {
    match event {
        Event::Put { kv, .. } => {
            let mut text = format!("{} PUT {} ", kv.mod_revision, String::from_utf8_lossy(&kv.key));
            let _ = write!(text, "{}", String::from_utf8_lossy(&kv.value));
            text
        }
        Event::Delete { key, revision, .. } => format!("{revision} DELETE {}", String::from_utf8_lossy(key)),
    }
}
