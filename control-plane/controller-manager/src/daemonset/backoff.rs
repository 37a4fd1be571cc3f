//! How long a node must wait whose pods fail again and again.

use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(15 * 60);

#[derive(Debug)]
struct Entry {
    since: Timestamp,
    delay: Duration,
}

/// Delays by set and node: from a second to a quarter of an hour; forgotten after twice as long, as upstream.
#[derive(Debug, Default)]
pub(super) struct Backoff(Mutex<BTreeMap<(String, String), Entry>>);

impl Backoff {
    /// Counts a failure, unless the last one is too fresh: then it says how long to wait.
    pub fn failed(&self, set: &str, node: &str, now: Timestamp) -> Result<(), Duration> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = |entry: &Entry| Duration::try_from(now.duration_since(entry.since)).unwrap_or_default();
        entries.retain(|_, entry| passed(entry) < 2 * MOST);
        let key = (set.to_owned(), node.to_owned());
        let delay = match entries.get(&key) {
            Some(entry) if passed(entry) < entry.delay => return Err(entry.delay - passed(entry)),
            Some(entry) => (2 * entry.delay).min(MOST),
            None => FIRST,
        };
        entries.insert(key, Entry { since: now, delay });
        Ok(())
    }
}
