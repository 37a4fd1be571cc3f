//! Snapshots on their way from one place to another, a chunk at a time.

use crate::Error;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};

/// The bytes of a snapshot, in order.
pub type Chunks = BoxStream<'static, Result<Bytes, Error>>;

/// A snapshot on its way.
pub struct Taken {
    /// How many bytes will come.
    pub bytes: u64,
    /// They.
    pub chunks: Chunks,
}

impl From<etcd::server::Snapshot> for Taken {
    fn from(snapshot: etcd::server::Snapshot) -> Self {
        let chunks = snapshot.chunks.map(|chunk| chunk.map_err(Error::from));
        Self {
            bytes: snapshot.bytes,
            chunks: chunks.boxed(),
        }
    }
}
