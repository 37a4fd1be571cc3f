//! Where snapshots are kept.

use crate::{Chunks, Error, Name, Snapshot, part::Part, s3::Bucket};
use component::Env;
use jiff::Timestamp;
use serde::Serialize;
use std::{
    fmt, fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A folder or a bucket.
#[derive(Clone)]
pub enum Place {
    /// A folder of this machine; made when something is put into it.
    Folder(PathBuf),
    /// A folder of a bucket; empty: the bucket itself.
    Bucket(Arc<Bucket>, String),
}

/// A snapshot that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// When it was taken, as its name says, or was written.
    pub taken: Timestamp,
    /// Its newest revision, if its name says that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Bucket(bucket, folder) => write!(f, "s3://{}/{folder}", bucket.name()),
        }
    }
}

impl Place {
    /// Keeps a snapshot, and reads it again before it says so. Without a name it gets one of its time and revision.
    pub async fn put(
        &self,
        name: Option<&str>,
        chunks: Chunks,
        env: &Env,
    ) -> Result<(String, Snapshot), Error> {
        let (folder, inner) = match self {
            Self::Folder(folder) => (folder.clone(), None),
            Self::Bucket(bucket, inner) => (bucket.scratch().to_owned(), Some((bucket, inner))),
        };
        let (hidden, apart) = (inner.is_some(), env.clone());
        let create = move || {
            let mut builder = fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(&folder);
            made.map_err(Error::io(&folder))?;
            match hidden {
                true => Part::hidden(&folder, &apart),
                false => Part::create(&folder, &apart),
            }
        };
        let part = blocking(env, create).await?;
        part.fill(chunks, env).await?;
        let verify = move || Ok((part.verify(false)?, part));
        let (snapshot, part) = blocking(env, verify).await?;
        let named = Name {
            taken: env.clock.wall(),
            revision: snapshot.facts().revision,
        };
        let name = name.map_or_else(|| named.to_string(), str::to_owned);
        let Some((bucket, inner)) = inner else {
            let to = name.clone();
            blocking(env, move || part.keep(&to)).await?;
            return Ok((name, snapshot));
        };
        let key = key(inner, &name);
        bucket.put(&key, snapshot.file(), snapshot.bytes()).await?;
        let read = self.down(bucket, &key, false, env).await?;
        match read.is_as(&snapshot) {
            true => Ok((name, snapshot)),
            false => Err(Error::Damaged(format!(
                "{self}: what was read again is not what was written"
            ))),
        }
    }

    /// A snapshot that is kept here, verified.
    pub async fn get(&self, name: &str, skip_hash_check: bool, env: &Env) -> Result<Snapshot, Error> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                blocking(env, move || Snapshot::open(&path, skip_hash_check)).await
            }
            Self::Bucket(bucket, folder) => {
                let read = self.down(bucket, &key(folder, name), skip_hash_check, env).await;
                read.map_err(|error| match error {
                    Error::Damaged(why) => Error::Damaged(format!("{self}/{name}: {why}")),
                    other => other,
                })
            }
        }
    }

    /// Reads an object into a file without a name.
    async fn down(&self, bucket: &Bucket, key: &str, skip: bool, env: &Env) -> Result<Snapshot, Error> {
        let (folder, apart) = (bucket.scratch().to_owned(), env.clone());
        let part = blocking(env, move || Part::hidden(&folder, &apart)).await?;
        bucket.get(key, part.file()).await?;
        blocking(env, move || part.verify(skip)).await
    }

    /// All files that end as snapshots do, the oldest first.
    pub async fn list(&self, env: &Env) -> Result<Vec<Stored>, Error> {
        let mut all = match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                blocking(env, move || read(&folder)).await?
            }
            Self::Bucket(bucket, folder) => {
                let prefix = key(folder, "");
                let found = bucket.list(&prefix).await?.into_iter();
                let here = found.filter_map(|object| {
                    let name = object.key.strip_prefix(&prefix)?;
                    (!name.contains('/')).then(|| stored(name, object.size, object.modified))
                });
                here.flatten().collect()
            }
        };
        all.sort_by(|one, other| (one.taken, &one.name).cmp(&(other.taken, &other.name)));
        Ok(all)
    }

    /// Removes a snapshot.
    pub async fn remove(&self, name: &str, env: &Env) -> Result<(), Error> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                blocking(env, move || fs::remove_file(&path).map_err(Error::io(&path))).await
            }
            Self::Bucket(bucket, folder) => bucket.delete(&key(folder, name)).await,
        }
    }

    /// Removes all but the newest `keep` of those that were named by schedule; gives what it removed.
    pub async fn prune(&self, keep: usize, env: &Env) -> Result<Vec<Stored>, Error> {
        let mut ours = self.list(env).await?;
        ours.retain(|stored| Name::parse(&stored.name).is_some());
        ours.truncate(ours.len().saturating_sub(keep));
        for old in &ours {
            self.remove(&old.name, env).await?;
        }
        Ok(ours)
    }
}

fn key(folder: &str, name: &str) -> String {
    match folder.trim_matches('/') {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

fn stored(name: &str, size: u64, modified: Timestamp) -> Option<Stored> {
    let named = Name::parse(name);
    name.ends_with(".db").then(|| Stored {
        name: name.to_owned(),
        size,
        taken: named.map_or(modified, |name| name.taken),
        revision: named.map(|name| name.revision),
    })
}

fn read(folder: &Path) -> Result<Vec<Stored>, Error> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let facts = entry.and_then(|entry| Ok((entry.file_name(), entry.metadata()?, entry.path())));
        let (name, metadata, path) = facts.map_err(Error::io(folder))?;
        if !metadata.is_file() {
            continue;
        }
        let modified = metadata.modified().map_err(Error::io(&path))?;
        let modified = Timestamp::try_from(modified).unwrap_or_default();
        all.extend(stored(&name.to_string_lossy(), metadata.len(), modified));
    }
    Ok(all)
}

/// Runs what waits for a disk.
pub async fn blocking<T: Send + 'static>(
    env: &Env,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = env.tasks.blocking(work).await;
    done.unwrap_or_else(|| Err(Error::Refused("the process is stopping".to_owned())))
}
