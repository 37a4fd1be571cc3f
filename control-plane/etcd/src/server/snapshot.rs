//! A snapshot as etcd's own tools read it: a bbolt file of what is stored, and its SHA-256.
//!
//! It holds the keys as they are now, each as its newest revision wrote it, the leases, the member and the numbers by
//! which etcd knows a whole file. Older revisions are not in it, so that it is compacted at its own revision.

use super::{bolt, convert};
use crate::{Engine, Error, RangeRequest, Store, replica::auth::Auth};
use bytes::Bytes;
use prost::Message;
use ring::digest;

/// Bytes of one answer.
pub const PART: usize = 32 << 10;

/// The protobuf of a lease as etcd keeps it: ID, TTL, remaining TTL.
#[derive(Clone, PartialEq, prost::Message)]
struct Lease {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(int64, tag = "2")]
    ttl: i64,
    #[prost(int64, tag = "3")]
    remaining: i64,
}

/// The file.
pub async fn file(engine: &Engine) -> Result<Bytes, Error> {
    let all = RangeRequest {
        start: Bytes::from_static(&[0]),
        end: Bytes::from_static(&[0]),
        ..RangeRequest::default()
    };
    let found = engine.range(all).await?;
    let mut kvs = found.kvs;
    kvs.sort_by_key(|kv| kv.mod_revision);
    let mut keys = Vec::with_capacity(kvs.len());
    let (mut sub, mut last) = (0u64, 0);
    for kv in kvs {
        sub = if kv.mod_revision == last { sub + 1 } else { 0 };
        last = kv.mod_revision;
        let mut key = last.to_be_bytes().to_vec();
        key.push(b'_');
        key.extend(sub.to_be_bytes());
        keys.push((key, convert::key_value(kv).encode_to_vec()));
    }
    let revision = found.revision.max(last);
    if last < revision {
        // The newest change was a removal: etcd takes the revision from the newest record.
        let mut key = revision.to_be_bytes().to_vec();
        key.push(b'_');
        key.extend(0u64.to_be_bytes());
        key.push(b't');
        let tombstone = etcd_proto::mvccpb::KeyValue {
            key: Bytes::from_static(b"\0"),
            ..Default::default()
        };
        keys.push((key, tombstone.encode_to_vec()));
    }
    let leases = engine.leases().into_iter().filter_map(|id| {
        let lease = engine.lease(id)?;
        let ttl = lease.ttl.as_secs() as i64;
        let kept = Lease {
            id,
            ttl,
            remaining: 0,
        };
        Some((id.to_be_bytes().to_vec(), kept.encode_to_vec()))
    });
    let mut leases: Vec<_> = leases.collect();
    leases.sort();
    let meta = vec![
        (b"consistent_index".to_vec(), revision.to_be_bytes().to_vec()),
        (b"finishedCompactRev".to_vec(), revision_key(revision)),
        (b"scheduledCompactRev".to_vec(), revision_key(revision)),
    ];
    let auth = Auth::of(&engine.meta_all());
    let auth = auth.map_err(|error| Error::Unavailable(format!("the table of users: {error}")))?;
    let mut flags = vec![(b"authRevision".to_vec(), auth.revision().to_be_bytes().to_vec())];
    if auth.is_enabled() {
        flags.insert(0, (b"authEnabled".to_vec(), vec![1]));
    }
    let roles = auth
        .roles()
        .map(|role| (role.name.to_vec(), role.encode_to_vec()));
    let users = auth
        .users()
        .map(|user| (user.name.to_vec(), user.encode_to_vec()));
    let cluster = vec![(b"clusterVersion".to_vec(), b"3.4.0".to_vec())];
    let buckets = vec![
        (b"alarm".to_vec(), Vec::new()),
        (b"auth".to_vec(), flags),
        (b"authRoles".to_vec(), roles.collect()),
        (b"authUsers".to_vec(), users.collect()),
        (b"cluster".to_vec(), cluster),
        (b"key".to_vec(), keys),
        (b"lease".to_vec(), leases),
        (b"members".to_vec(), Vec::new()),
        (b"members_removed".to_vec(), Vec::new()),
        (b"meta".to_vec(), meta),
    ];
    let mut bytes = bolt::file(&buckets);
    let sum = digest::digest(&digest::SHA256, &bytes);
    bytes.extend_from_slice(sum.as_ref());
    Ok(bytes.into())
}

fn revision_key(revision: u64) -> Vec<u8> {
    let mut key = revision.to_be_bytes().to_vec();
    key.push(b'_');
    key.extend(0u64.to_be_bytes());
    key
}
