//! Backup and moving: snapshots of the store, in the one format that etcd's own tools read and write.
//!
//! [`Snapshot`] is such a file, read and verified; [`restore()`] makes a data directory of it. [`Place`] is where
//! snapshots are kept: a folder, or a bucket of S3-compatible storage. [`Plan`] takes them by a schedule and forgets the
//! oldest. [`kine::read`] reads what k3s keeps in SQLite. Of a snapshot only pieces are in memory at any
//! time. It never decodes a value.

mod bolt;
mod content;
mod endpoint;
mod error;
pub mod kine;
mod name;
mod part;
mod place;
mod plan;
mod restore;
pub mod s3;
mod snapshot;
pub mod socket;
pub mod sqlite;
mod stream;

pub use content::{Content, Values, Version, What};
pub use endpoint::fetch;
pub use error::Error;
pub use name::Name;
pub use part::Part;
pub use place::{Place, Stored};
pub use plan::{Plan, Source};
pub use restore::{Bump, Restored, restore};
pub use snapshot::{Facts, Snapshot};
pub use stream::{Chunks, Taken};
