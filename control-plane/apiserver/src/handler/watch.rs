//! WATCH: from the cache's ring, or from the state now.

use super::{Handler, Place};
use crate::cache::{Selection, Watcher};
use api::Status;

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchQuery {
    /// Which objects.
    pub selection: Selection,
    /// Changes after this version; `None` and `Some(0)`: the state first.
    pub resource_version: Option<u64>,
    /// The state first also when a version is given, then a marked bookmark (upstream's streaming lists).
    pub send_initial: bool,
}

impl Handler {
    /// Starts a watch.
    pub async fn watch(&self, place: &Place, query: WatchQuery) -> Result<Watcher, Status> {
        let after = match query.resource_version {
            None => {
                self.fresh().await?;
                None
            }
            Some(0) => None,
            Some(version) if query.send_initial => {
                self.wait_for(version).await?;
                None
            }
            version => version,
        };
        place.cache.watch(query.selection, place.version, after)
    }
}
