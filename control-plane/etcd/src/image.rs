//! A state that came from elsewhere, as a [`Dump`](crate::Dump) would tell it: what a backup is restored from.

use crate::{
    Error, KeyValue, Revision,
    checkpoint::Summary,
    dump::{FORMAT, MAGIC},
    record::{Kind, Record},
};
use bytes::Bytes;
use crc32fast::Hasher;
use futures::{Stream, stream};

/// The term and index of the entry that a store begins with which was made of an image.
const FIRST: u64 = 1;
/// Bytes of a chunk, about.
const CHUNK: usize = 1 << 20;

/// A version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The key was written.
    Put(KeyValue),
    /// The key was removed at this revision.
    Removed(Bytes, Revision),
}

/// What a state is besides its keys.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The newest revision.
    pub revision: Revision,
    /// The oldest that can be read.
    pub compacted: Revision,
    /// The leases with their TTL in milliseconds.
    pub leases: Vec<(i64, u64)>,
    /// The table beside the key space.
    pub table: Vec<(Bytes, Bytes)>,
}

impl Image {
    /// The bytes of the state with these versions (by key, the oldest first) as [`crate::Engine::load`] reads them; `salt` is a
    /// random number.
    pub fn chunks(
        self,
        salt: u32,
        versions: impl Iterator<Item = Result<Kept, Error>> + Send,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        let mut hasher = Hasher::new();
        let mut first = Some(head(&self, salt));
        let mut records = 0;
        let mut versions = versions;
        let mut ended = false;
        stream::iter(std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let mut out = first.take().unwrap_or_default();
            for version in versions.by_ref() {
                records += 1;
                match version {
                    Ok(version) => one(&version, salt, &mut out),
                    Err(error) => {
                        ended = true;
                        return Some(Err(error));
                    }
                }
                if out.len() >= CHUNK {
                    hasher.update(&out);
                    return Some(Ok(out.into()));
                }
            }
            ended = true;
            hasher.update(&out);
            let sum = u64::from(std::mem::take(&mut hasher).finalize());
            say(Kind::Passed, (sum, records, 0, 0), (&[], &[]), salt, &mut out);
            Some(Ok(out.into()))
        }))
    }
}

fn head(image: &Image, salt: u32) -> Vec<u8> {
    let mut head = Vec::new();
    for number in [FIRST, FIRST, image.revision, image.compacted] {
        head.extend_from_slice(&number.to_le_bytes());
    }
    let summary = Summary {
        lost: Vec::new(),
        leases: image.leases.clone(),
        meta: image.table.clone(),
    };
    summary.write(&mut head);
    let mut out = MAGIC.to_vec();
    let sum = crc32fast::hash(&head);
    for number in [FORMAT, salt, head.len() as u32, sum] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&head);
    out
}

fn one(version: &Kept, salt: u32, out: &mut Vec<u8>) {
    match version {
        Kept::Put(kv) => {
            let facts = (kv.mod_revision, kv.create_revision, kv.version, kv.lease);
            say(Kind::Put, facts, (&kv.key, &kv.value), salt, out);
        }
        Kept::Removed(key, revision) => say(Kind::Delete, (*revision, 0, 0, 0), (key, &[]), salt, out),
    }
}

fn say(
    kind: Kind,
    (revision, detail, version, lease): (u64, u64, u64, i64),
    (key, value): (&[u8], &[u8]),
    salt: u32,
    out: &mut Vec<u8>,
) {
    Record {
        kind,
        more: false,
        term: FIRST,
        version,
        index: FIRST,
        durable: FIRST,
        revision,
        detail,
        lease,
        key,
        value,
    }
    .encode(salt, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, MemoryFiles, Options, RangeRequest, Store};
    use component::Env;
    use std::{sync::Arc, time::Duration};

    fn put(key: &'static str, revision: u64, lease: i64) -> Kept {
        Kept::Put(KeyValue {
            key: key.into(),
            value: format!("{key}{revision}").into(),
            mod_revision: revision,
            create_revision: 3,
            version: 2,
            lease,
        })
    }

    #[tokio::test]
    async fn a_directory_is_made_of_an_image() {
        let image = Image {
            revision: 9,
            compacted: 6,
            leases: vec![(77, 60_000)],
            table: vec![("a".into(), "b".into())],
        };
        let versions = [
            put("a", 7, 77),
            put("b", 5, 0),
            put("b", 8, 0),
            put("c", 4, 0),
            Kept::Removed("c".into(), 9),
        ];
        let (env, files) = (Env::simulated(1), Arc::new(MemoryFiles::new()));
        let loaded =
            Engine::load_in(files.clone(), image.chunks(5, versions.into_iter().map(Ok)), &env).await;
        assert_eq!(loaded.unwrap(), (1, 1));
        let options = Options {
            spare_bytes: 0,
            ..Options::default()
        };
        let engine = Engine::open_in(files, options, env).unwrap();
        let all = |revision| RangeRequest {
            start: Bytes::from_static(b"\0"),
            end: Bytes::from_static(b"\0"),
            revision,
            ..RangeRequest::default()
        };
        let found = async |revision| {
            let found = engine.range(all(revision)).await.unwrap();
            let told = found
                .kvs
                .iter()
                .map(|kv| String::from_utf8_lossy(&kv.value).into_owned());
            told.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found(0).await, "a7 b8");
        assert_eq!(found(6).await, "b5 c4");
        let compacted = engine.range(all(5)).await.unwrap_err();
        assert!(matches!(compacted, Error::Compacted(6)), "{compacted}");
        assert_eq!(engine.lease(77).unwrap().ttl, Duration::from_secs(60));
        assert_eq!(engine.lease(77).unwrap().keys, ["a"]);
        assert_eq!(engine.meta(b"a").unwrap(), "b");
        assert_eq!(engine.visible(), 9);
    }
}
