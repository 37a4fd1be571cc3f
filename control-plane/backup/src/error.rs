//! What can go wrong.

use std::{io, path::Path};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{place}: {source}")]
    Io {
        /// Which file.
        place: String,
        /// What the file system said.
        source: io::Error,
    },
    /// A snapshot is cut off, was changed, or is none.
    #[error("{0}")]
    Damaged(String),
    /// There is a store already.
    #[error(
        "data-dir {0:?} not empty or could not be read: there is a store in it (--replace puts it aside)"
    )]
    Occupied(String),
    /// Another process has the store.
    #[error("the store in {0} is in use: stop the server first")]
    InUse(String),
    /// The store could not be made.
    #[error(transparent)]
    Load(#[from] etcd::LoadError),
    /// The store does not open.
    #[error(transparent)]
    Open(#[from] etcd::OpenError),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] etcd::Error),
    /// The members that are given do not fit.
    #[error(transparent)]
    Members(#[from] etcd::replica::StartError),
    /// A server that keeps or gives snapshots refused, or could not be reached.
    #[error("{0}")]
    Server(String),
    /// What was asked for cannot be done.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// Says which file it was.
    pub(crate) fn io(place: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let place = place.display().to_string();
        move |source| Self::Io { place, source }
    }
}
