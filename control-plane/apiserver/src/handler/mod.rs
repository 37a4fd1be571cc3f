//! The one handler: every resource, from its row alone. It knows no kind.

mod admit;
mod apply;
mod collection;
mod commit;
mod create;
mod decode;
mod delete;
mod list;
mod managed;
mod namespace;
mod options;
mod patch;
mod place;
#[cfg(test)]
mod stories;
mod update;
mod view;
mod watch;

pub(crate) use admit::Body;
pub(crate) use commit::Commit;
pub use decode::{Incoming, Stage, Validation, hub};
pub use list::{ListQuery, Match, Page};
pub use managed::{MANAGER_LENGTH, check_manager, merged, printable};
pub use options::{delete_options, dry_run, propagation};
pub use patch::apply as apply_patch;
pub use place::{Index, Place, Places};
pub use watch::WatchQuery;

use crate::{
    admission::{Chain, Notes, Undo},
    allocate::Allocator,
    cache::{Cache, Feed, Held},
    custom::Webhooks,
    metrics::Metrics,
    security::{Attributes, Security},
};
use api::{Object, Status};
use component::Env;
use etcd::Store;
use std::sync::Arc;

/// A write that was authorized.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Who asks for what.
    pub attributes: Attributes,
    /// Do everything but store it.
    pub dry_run: bool,
    /// What becomes of unknown and duplicate fields.
    pub validation: Validation,
    /// Who manages the fields; empty: not known.
    pub field_manager: String,
    /// Take fields from other managers (server-side apply).
    pub force: bool,
    /// What admission has to say beside yes and no.
    pub notes: Arc<Notes>,
    /// What admission did that is undone if nothing comes of the write.
    pub undo: Arc<Undo>,
    /// It is part of a request that admission was asked about as a whole, such as an eviction.
    pub admitted: bool,
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    /// Made a new object.
    Created,
    /// Changed it, or found nothing to change.
    Stored,
    /// Took it away.
    Deleted,
}

/// The answer to a write.
#[derive(Debug)]
pub struct Outcome {
    /// The object as it is now, or was last.
    pub object: Arc<Object>,
    /// What was done.
    pub did: Did,
    /// For the client.
    pub warnings: Vec<String>,
}

/// The handler and what it works on.
pub struct Handler {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) places: Arc<Places>,
    pub(crate) security: Security,
    pub(crate) admission: Chain,
    pub(crate) allocator: Arc<Allocator>,
    /// The fields whose feature gates are off.
    pub(crate) disabled: schema::Disabled,
    /// How long Events are kept.
    pub(crate) event_ttl: std::time::Duration,
    pub(crate) webhooks: Arc<Webhooks>,
    pub(crate) env: Env,
    /// The lease that Events of the last minute live by, and until when it is used.
    pub(crate) lease: tokio::sync::Mutex<Option<(i64, tokio::time::Instant)>>,
}

impl Handler {
    /// Makes sure that reads see all that was acknowledged before.
    pub async fn fresh(&self) -> Result<(), Status> {
        if self.feed.fresh(self.store.as_ref(), &self.env).await {
            Ok(())
        } else {
            Err(Status::timeout(
                "The store did not confirm the newest revision in time",
            ))
        }
    }

    /// Reads one object.
    pub async fn get(&self, place: &Place) -> Result<Arc<Object>, Status> {
        let held = self.find(place).await?;
        Ok(held.version(place.version).clone())
    }

    /// Reads one object in all its versions.
    pub async fn find(&self, place: &Place) -> Result<Held, Status> {
        self.fresh().await?;
        let held = self.current(place)?;
        self.ensure(place, std::slice::from_ref(&held)).await?;
        Ok(held)
    }

    /// The object of `place` as the cache has it.
    pub(crate) fn current(&self, place: &Place) -> Result<Held, Status> {
        let suffix = Cache::suffix(place.row(), &place.namespace, &place.name);
        place.cache.readable(Some(&suffix))?;
        let held = place.cache.get(&place.namespace, &place.name);
        held.ok_or_else(|| Status::not_found(&place.gvr(), &place.name))
    }

    /// The cache of a resource, by group and plural name.
    pub fn cache(&self, group: &str, plural: &str) -> Option<Arc<Cache>> {
        self.places.cache(group, plural)
    }
}
