//! The edge between the API server and its store: our engine in this crate, or any etcd v3 endpoint.

use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use std::{sync::Arc, time::Duration};

/// A store revision: one counter for the whole store, as etcd's `mod_revision`. 0 means "no such key".
pub type Revision = u64;

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The full key, such as `/registry/pods/default/web`.
    pub key: Bytes,
    /// The value as it was written.
    pub value: Bytes,
    /// The revision that last wrote the key.
    pub mod_revision: Revision,
    /// The revision that created the key.
    pub create_revision: Revision,
    /// How often the key was written since it was created.
    pub version: u64,
    /// The lease the key lives by; 0 for none.
    pub lease: i64,
}

/// What to read: the keys in `start..end` (`end` empty: the one key `start`).
#[derive(Clone, Debug, Default)]
pub struct RangeRequest {
    /// First key.
    pub start: Bytes,
    /// First key past the range; empty reads one key.
    pub end: Bytes,
    /// At most so many; 0 for all.
    pub limit: usize,
    /// The state as of this revision; 0 for now (linearizable).
    pub revision: Revision,
    /// Leave values out.
    pub keys_only: bool,
    /// Only count.
    pub count_only: bool,
}

/// An answer to a [`RangeRequest`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RangeResponse {
    /// In key order.
    pub kvs: Vec<KeyValue>,
    /// Keys in the whole range, beyond the limit too.
    pub count: u64,
    /// The revision the answer is of (the store's current one when none was asked for).
    pub revision: Revision,
}

/// How durable a write must be before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On disk.
    #[default]
    Durable,
    /// In memory; on disk with the next commit or after a minute. For Leases and Events on a single server.
    Volatile,
}

/// One conditional write: if `key` is at `expect`, do `op`.
#[derive(Clone, Debug)]
pub struct TxnRequest {
    /// The key that is compared and written.
    pub key: Bytes,
    /// The `mod_revision` the key must have; 0: must not exist; `None`: no condition.
    pub expect: Option<Revision>,
    /// What to do.
    pub op: Op,
    /// How durable.
    pub durability: Durability,
}

/// The write of a [`TxnRequest`].
#[derive(Clone, Debug)]
pub enum Op {
    /// Write `value`, living by `lease` (0: none).
    Put {
        /// The new value.
        value: Bytes,
        /// The lease; 0 for none.
        lease: i64,
    },
    /// Remove the key.
    Delete,
}

/// What became of a [`TxnRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Done, at this revision.
    Done(Revision),
    /// The condition did not hold; the key as it is (`None`: there is none), and the store's revision.
    Mismatch(Option<KeyValue>, Revision),
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The key was written; with what it was before, if it was.
    Put {
        /// The key as written.
        kv: KeyValue,
        /// The key before, when the watch asked for it and it is retained.
        prev: Option<KeyValue>,
    },
    /// The key was removed at `revision`; with what it was before.
    Delete {
        /// The key.
        key: Bytes,
        /// When.
        revision: Revision,
        /// The key before, when the watch asked for it and it is retained.
        prev: Option<KeyValue>,
    },
}

impl Event {
    /// The revision of the change.
    pub fn revision(&self) -> Revision {
        match self {
            Event::Put { kv, .. } => kv.mod_revision,
            Event::Delete { revision, .. } => *revision,
        }
    }
}

/// What to watch: the keys in `start..end`, every change after revision `after`.
#[derive(Clone, Debug, Default)]
pub struct WatchRequest {
    /// First key.
    pub start: Bytes,
    /// First key past the range; empty watches one key.
    pub end: Bytes,
    /// Changes with a greater revision are delivered; 0: from now on.
    pub after: Revision,
    /// Deliver the previous value with each event.
    pub prev: bool,
    /// Also deliver [`WatchItem::Progress`] when the watch is caught up with a newer revision.
    pub progress: bool,
}

/// An item of a watch. Items come in revision order; all events of one revision are in one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// Changes of one or more whole revisions.
    Events(Vec<Event>),
    /// Everything up to this revision was delivered.
    Progress(Revision),
}

/// Why the store did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The revision asked for is compacted; the oldest that can be read.
    #[error("required revision has been compacted (oldest is {0})")]
    Compacted(Revision),
    /// The revision asked for is not there yet.
    #[error("required revision {0} is a future revision")]
    Future(Revision),
    /// It was not written, certainly.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// It may or may not have been written: the answer was lost. Read before deciding.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The lease is not there.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// The lease is there already.
    #[error("lease already exists")]
    LeaseExists,
    /// A key whose value or lease is to stay is not there.
    #[error("key not found")]
    KeyNotFound,
    /// A transaction would change a key twice.
    #[error("duplicate key given in txn request")]
    DuplicateKey,
    /// The value is larger than the store takes.
    #[error("request is too large ({0} bytes)")]
    TooLarge(usize),
}

/// A store.
pub trait Store: Send + Sync + 'static {
    /// Reads a range.
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, Error>>;

    /// Writes one key on a condition.
    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, Result<TxnOutcome, Error>>;

    /// Watches a range. The stream ends after an error ([`Error::Compacted`] when it fell behind what is kept).
    fn watch(&self, request: WatchRequest) -> BoxStream<'static, Result<WatchItem, Error>>;

    /// Forgets revisions before `revision` (which stays readable).
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>>;

    /// Makes a lease of `ttl`; keys that live by it go when it ends.
    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<i64, Error>>;

    /// Prolongs a lease by its own TTL.
    fn keep_alive(&self, lease: i64) -> BoxFuture<'_, Result<(), Error>>;

    /// Ends a lease and removes its keys.
    fn revoke(&self, lease: i64) -> BoxFuture<'_, Result<(), Error>>;

    /// Adds an observer that a store in this process calls for each committed revision, in order and before the
    /// writer is answered, so that a cache is never behind an acknowledged write. False if the store cannot
    /// (a remote one): then consistent reads wait for [`WatchItem::Progress`].
    fn observe(&self, observer: Arc<dyn Observer>) -> bool;

    /// The newest revision.
    fn revision(&self) -> BoxFuture<'_, Result<Revision, Error>>;
}

/// Sees every committed revision; see [`Store::observe`]. Must be quick and must not call the store.
pub trait Observer: Send + Sync + 'static {
    /// All events of one revision (each with its `prev`).
    fn committed(&self, revision: Revision, events: &[Event]);
}
