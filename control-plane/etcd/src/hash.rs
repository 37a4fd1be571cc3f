//! A checksum of what is stored, by which members see whether they are the same.

use crate::{
    Error, KeyValue, Revision,
    engine::{Core, Engine, load},
    segment::Found,
};
use bytes::Bytes;
use crc32fast::Hasher;

/// Keys that are looked at while the lock is held.
const STEP: usize = 256;

impl Engine {
    /// A checksum of all keys with their values as of a revision (0: now), and that revision: the same on all members.
    pub async fn hash(&self, revision: Revision) -> Result<(u32, Revision), Error> {
        let core = self.core();
        let revision = if revision == 0 { self.visible() } else { revision };
        let mut hasher = Hasher::new();
        let mut last = None;
        while let Some(found) = page(core, &mut last, revision)? {
            for kv in load(core, found).await? {
                add(&mut hasher, &kv);
            }
        }
        Ok((hasher.finalize(), revision))
    }
}

/// The next keys as of a revision; `None`: there are no more.
fn page(core: &Core, last: &mut Option<Bytes>, revision: Revision) -> Result<Option<Vec<Found>>, Error> {
    let shared = core.read();
    if revision > shared.visible {
        return Err(Error::Future(revision));
    }
    shared.state.readable(revision)?;
    let keys = shared.state.keys_after(last.as_ref(), STEP);
    let Some((key, _)) = keys.last() else {
        return Ok(None);
    };
    *last = Some(key.clone());
    let found = keys.into_iter().filter_map(|(key, versions)| {
        let version = versions
            .into_iter()
            .rfind(|version| version.revision <= revision)?;
        (!version.is_removal()).then(|| shared.find(&key, version))
    });
    Ok(Some(found.collect()))
}

fn add(hasher: &mut Hasher, kv: &KeyValue) {
    let KeyValue {
        key,
        value,
        mod_revision,
        create_revision,
        version,
        lease,
    } = kv;
    for number in [*mod_revision, *create_revision, *version, *lease as u64] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
}
