//! What k3s keeps in SQLite: the table `kine`, a row for each change of a key, whose number is the revision.

use crate::{
    Content, Error, Values,
    content::{Version, What},
    sqlite::{Database, Place, Row, Table, Value},
};
use bytes::Bytes;
use etcd::{Image, KeyValue};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
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
    place: Place,
}

/// The table, and where its columns are.
#[derive(Debug)]
pub struct Kine {
    database: Database,
    table: Table,
    places: [usize; COLUMNS.len()],
}

const COLUMNS: [&str; 8] = [
    "id",
    "name",
    "created",
    "deleted",
    "create_revision",
    "prev_revision",
    "lease",
    "value",
];

/// Reads the database at `path` (`/var/lib/rancher/k3s/server/db/state.db`), with its write-ahead log if there is one. What
/// is in memory of it is a list of the changes; a value is read when it is its turn.
pub fn read(path: &Path) -> Result<Content, Error> {
    let kine = Kine::open(path)?;
    let mut history = History::default();
    kine.database.rows_of(&kine.table, &mut |row| {
        history.add(kine.change(&row).ok_or_else(odd)?);
        Ok(())
    })?;
    kine.check_unchanged()?;
    Ok(history.content(kine))
}

fn odd() -> Error {
    Error::Damaged("a row of table kine is of another kind".to_owned())
}

impl Kine {
    fn open(path: &Path) -> Result<Self, Error> {
        let database = Database::open(path)?;
        let table = database.table("kine")?;
        let mut places = [0; COLUMNS.len()];
        for (place, name) in places.iter_mut().zip(COLUMNS) {
            let found = table.columns.iter().position(|column| column == name);
            *place = found.ok_or_else(|| Error::Damaged(format!("table kine has no column {name}")))?;
        }
        Ok(Self {
            database,
            table,
            places,
        })
    }

    fn change(&self, row: &Row) -> Option<Change> {
        let [id, name, created, deleted, create, prev, lease, value] =
            self.places.map(|at| row.values.get(at));
        let number = |value: Option<&Value>| value.and_then(Value::integer);
        let positive = |value| u64::try_from(number(value)?).ok();
        value?.bytes()?;
        Some(Change {
            id: positive(id)?,
            name: Bytes::copy_from_slice(name?.bytes()?),
            created: number(created)? != 0,
            deleted: number(deleted)? != 0,
            create_revision: positive(create)?,
            prev_revision: positive(prev)?,
            lease: number(lease)?,
            place: row.place,
        })
    }

    /// The value in the row of a revision.
    pub fn value(&self, place: Place, revision: u64) -> Result<Bytes, Error> {
        let mut row = self.database.row_of(&self.table, place)?;
        if u64::try_from(row.number) != Ok(revision) {
            self.check_unchanged()?;
            return Err(odd());
        }
        let [.., value] = self.places;
        match row.values.get_mut(value).map(std::mem::take) {
            Some(Value::Blob(bytes)) => Ok(bytes.into()),
            Some(Value::Text(text)) => Ok(text.into_bytes().into()),
            Some(Value::Null) => Ok(Bytes::new()),
            _ => Err(odd()),
        }
    }

    /// An error if somebody wrote to it meanwhile.
    pub fn check_unchanged(&self) -> Result<(), Error> {
        self.database.check_unchanged()
    }
}

/// The state that the changes make. A lease of kine is a number of seconds, which is its name too.
#[derive(Default)]
struct History {
    image: Image,
    versions: Vec<Version>,
    /// How often each key was written since it was created, if it is there.
    counts: BTreeMap<Bytes, u64>,
    leases: BTreeSet<i64>,
}

impl History {
    fn add(&mut self, change: Change) {
        let image = &mut self.image;
        image.revision = image.revision.max(change.id);
        if change.name == COMPACTED {
            image.compacted = image.compacted.max(change.prev_revision);
            return;
        }
        if change.name.starts_with(GAP) {
            return;
        }
        let (key, revision) = (change.name, change.id);
        if change.deleted {
            self.counts.remove(&key);
            let what = What::Removed;
            return self.versions.push(Version { key, revision, what });
        }
        if change.lease > 0 {
            self.leases.insert(change.lease);
        }
        let create_revision = match change.created || change.create_revision == 0 {
            true => change.id,
            false => change.create_revision,
        };
        // Kine counts no versions; those that it forgot were one at least.
        let version = match self.counts.get(&key) {
            _ if create_revision == change.id => 1,
            Some(before) => before + 1,
            _ => 2,
        };
        self.counts.insert(key.clone(), version);
        let kv = KeyValue {
            key: key.clone(),
            value: Bytes::new(),
            mod_revision: change.id,
            create_revision,
            version,
            lease: change.lease.max(0),
        };
        let what = What::Row(Box::new(kv), change.place);
        self.versions.push(Version { key, revision, what });
    }

    fn content(self, kine: Kine) -> Content {
        let mut image = self.image;
        let leases = self.leases.into_iter();
        image.leases = leases.map(|seconds| (seconds, seconds as u64 * 1000)).collect();
        image.compacted = image.compacted.min(image.revision);
        Content::new(image, self.versions, Values::Kine(Arc::new(kine)))
    }
}
