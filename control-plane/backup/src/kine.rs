//! What k3s keeps in SQLite: the table `kine`, a row for each change of a key, whose number is the revision.

use crate::{
    Content, Error,
    content::{Version, What},
    sqlite::{Database, Row, Value},
};
use bytes::Bytes;
use etcd::{Image, KeyValue};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// The row of this name says how far the table is compacted.
const COMPACTED: &[u8] = b"compact_rev_key";
/// Rows whose names begin so fill numbers that were never used.
const GAP: &[u8] = b"gap-";

/// A change, as a row tells it.
struct Change {
    id: u64,
    name: Bytes,
    created: bool,
    deleted: bool,
    create_revision: u64,
    prev_revision: u64,
    lease: i64,
    value: Bytes,
}

/// Reads the database at `path` (`/var/lib/rancher/k3s/server/db/state.db`), with its write-ahead log if there is one.
pub fn read(path: &Path) -> Result<Content, Error> {
    let database = Database::open(path)?;
    let table = database.table("kine")?;
    let mut places = [0; 8];
    let names = [
        "id",
        "name",
        "created",
        "deleted",
        "create_revision",
        "prev_revision",
        "lease",
        "value",
    ];
    for (place, name) in places.iter_mut().zip(names) {
        let found = table.columns.iter().position(|column| column == name);
        *place = found.ok_or_else(|| Error::Damaged(format!("table kine has no column {name}")))?;
    }
    let rows = database.rows_of(&table)?.into_iter();
    let changes = rows.map(|row| change(&row, places));
    let changes: Vec<Change> = changes
        .collect::<Option<_>>()
        .ok_or_else(|| Error::Damaged("a row of table kine is of another kind".to_owned()))?;
    Ok(content(changes))
}

fn change((_, values): &Row, places: [usize; 8]) -> Option<Change> {
    let [id, name, created, deleted, create, prev, lease, value] = places.map(|at| values.get(at));
    let number = |value: Option<&Value>| value.and_then(Value::integer);
    let positive = |value| u64::try_from(number(value)?).ok();
    let bytes = |value: Option<&Value>| Some(Bytes::copy_from_slice(value?.bytes()?));
    Some(Change {
        id: positive(id)?,
        name: bytes(name)?,
        created: number(created)? != 0,
        deleted: number(deleted)? != 0,
        create_revision: positive(create)?,
        prev_revision: positive(prev)?,
        lease: number(lease)?,
        value: bytes(value)?,
    })
}

/// The state that the changes make. A lease of kine is a number of seconds, which is its name too.
fn content(changes: Vec<Change>) -> Content {
    let mut image = Image::default();
    let mut versions = Vec::new();
    // How often each key was written since it was created, if it is there.
    let mut counts: BTreeMap<Bytes, u64> = BTreeMap::new();
    let mut leases = BTreeSet::new();
    for change in changes {
        image.revision = image.revision.max(change.id);
        if change.name == COMPACTED {
            image.compacted = image.compacted.max(change.prev_revision);
            continue;
        }
        if change.name.starts_with(GAP) {
            continue;
        }
        let (key, revision) = (change.name.clone(), change.id);
        if change.deleted {
            counts.remove(&key);
            let what = What::Removed;
            versions.push(Version { key, revision, what });
            continue;
        }
        if change.lease > 0 {
            leases.insert(change.lease);
        }
        let create_revision = match change.created || change.create_revision == 0 {
            true => change.id,
            false => change.create_revision,
        };
        // Kine counts no versions; those that it forgot were one at least.
        let version = match counts.get(&key) {
            _ if create_revision == change.id => 1,
            Some(before) => before + 1,
            _ => 2,
        };
        counts.insert(key.clone(), version);
        let kv = KeyValue {
            key: change.name,
            value: change.value,
            mod_revision: change.id,
            create_revision,
            version,
            lease: change.lease.max(0),
        };
        let what = What::Here(Box::new(kv));
        versions.push(Version { key, revision, what });
    }
    image.leases = leases
        .into_iter()
        .map(|seconds| (seconds, seconds as u64 * 1000))
        .collect();
    image.compacted = image.compacted.min(image.revision);
    Content::new(image, versions, None)
}
