//! The store: a deterministic state machine over a segmented log, behind the trait that the API server writes to.
//!
//! [`state::apply`] is the whole meaning of the store and does no I/O. Around it: [`mod@record`] is the format on disk,
//! `commit` the one writer that applies, logs and publishes, `watch` a cursor over the retained changes, `checkpoint`
//! the dump of the index that makes opening fast, `reclaim` what gives space back, `recovery` what opens a directory.
//! It never decodes a value and knows no Kubernetes kind.
//!
//! A directory holds `version` (the format), `lock`, `checkpoint`, `spare` (space kept aside), `log-N.seg` (the log, which is the data) and
//! `live-N.seg` (live records that were copied out of old log segments). See [`mod@record`] for their bytes.

mod checkpoint;
mod commit;
mod compactor;
mod dump;
mod edge;
pub mod engine;
mod files;
mod hash;
mod image;
mod lease;
mod load;
mod memory;
mod reclaim;
pub mod record;
mod recovery;
pub mod remote;
pub mod replica;
mod segment;
pub mod server;
mod spare;
pub mod state;
pub mod txn;
mod unsynced;
mod watch;

pub use commit::{Answer, Answers, Committed};
pub use compactor::Compactor;
pub use dump::Dump;
pub use edge::*;
pub use engine::{Engine, Options};
pub use files::{Disk, File, Files, Locked};
pub use image::{Image, Kept};
pub use load::LoadError;
pub use memory::MemoryFiles;
pub use recovery::OpenError;
pub use remote::{Endpoints, Remote};
pub use unsynced::Unsynced;
pub use watch::{SharedEvents, SharedItem};
