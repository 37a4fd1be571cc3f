//! Makes a data directory of a state that came from a snapshot.

use crate::{Content, Error};
use component::Env;
use etcd::{
    Disk, Engine, Files, Locked, RangeRequest, Revision, Store,
    replica::{self, Settings},
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// What a member's data directory holds.
const PARTS: [&str; 2] = ["store", "raft"];

/// How the newest revision grows, so that what clients saw after the snapshot was taken is never newer than the store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bump {
    /// By how much.
    pub revisions: u64,
    /// Whether what was before is forgotten, so that every watch must begin anew.
    pub compacted: bool,
}

/// A store that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// Where it is.
    pub data_dir: PathBuf,
    /// Its newest revision.
    pub revision: Revision,
    /// Its keys.
    pub keys: u64,
    /// Where the store is that was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<PathBuf>,
}

/// Makes `dir` the data directory of a server that goes on from `content`: a cluster of one, or the member of `founders`,
/// whose other members restore the same snapshot. What is there is put aside with `replace`, else it is refused.
pub async fn restore(
    mut content: Content,
    dir: &Path,
    founders: Option<&Settings>,
    bump: Bump,
    replace: bool,
    env: &Env,
) -> Result<Restored, Error> {
    let occupied = PARTS.iter().any(|part| !is_empty(&dir.join(part)));
    if occupied && !replace {
        return Err(Error::Occupied(dir.display().to_string()));
    }
    if bump.revisions > 0 && !bump.compacted {
        let why = "--mark-compacted required if --bump-revision > 0";
        return Err(Error::Refused(why.to_owned()));
    }
    if bump.compacted && bump.revisions == 0 {
        let why = "--mark-compacted disallowed if --bump-revision is not set";
        return Err(Error::Refused(why.to_owned()));
    }
    if bump.compacted {
        content.bump(bump.revisions);
    }
    if let Some(founders) = founders {
        content.image.table.extend(founders.founding_table()?);
    }
    let (store, next) = (dir.join("store"), dir.join("store.restored"));
    if store.exists() {
        free(&store)?;
    }
    remove(&next)?;
    let salt = u32::try_from(env.random.below(1 << 32)).unwrap_or_default();
    let revision = content.image.revision;
    let (image, versions) = content.into_versions();
    let versions =
        versions.map(|version| version.map_err(|error| etcd::Error::Unavailable(error.to_string())));
    Engine::load(&next, image.chunks(salt, versions), env).await?;
    let keys = verify(&next, revision, env).await?;
    let previous = match occupied {
        true => Some(put_aside(dir, &next, env)?),
        false => {
            remove(&store)?;
            fs::rename(&next, &store).map_err(Error::io(&next))?;
            None
        }
    };
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(Error::io(dir))?;
    Ok(Restored {
        data_dir: dir.to_owned(),
        revision,
        keys,
        previous,
    })
}

fn is_empty(dir: &Path) -> bool {
    match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn remove(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(dir)(error)),
        _ => Ok(()),
    }
}

/// An error if a process has the store.
fn free(store: &Path) -> Result<(), Error> {
    let disk = Disk::new(store).map_err(Error::io(store))?;
    match disk.lock() {
        Ok(()) => {
            disk.unlock();
            Ok(())
        }
        Err(Locked::Held(_)) => Err(Error::InUse(store.display().to_string())),
        Err(Locked::Failed(error)) => Err(Error::io(store)(error)),
    }
}

/// Opens what was made as a server would, and counts its keys.
async fn verify(store: &Path, revision: Revision, env: &Env) -> Result<u64, Error> {
    let options = replica::Settings::new(store).store;
    let apart = env.child();
    let engine = Engine::open(store, options, apart)?;
    let all = RangeRequest {
        start: bytes::Bytes::from_static(b"\0"),
        end: bytes::Bytes::from_static(b"\0"),
        count_only: true,
        ..RangeRequest::default()
    };
    let found = engine.range(all).await;
    engine.close().await;
    let found = found?;
    if found.revision != revision {
        let why = format!(
            "the store that was made is at revision {}, not {revision}",
            found.revision
        );
        return Err(Error::Damaged(why));
    }
    Ok(found.count)
}

/// Puts `next` in the place of the store; where that is now. At no time there is none.
fn put_aside(dir: &Path, next: &Path, env: &Env) -> Result<PathBuf, Error> {
    let now = env.clock.wall().strftime("%Y%m%dT%H%M%SZ");
    let aside = dir.join(format!("before-restore-{now}"));
    fs::create_dir_all(&aside).map_err(Error::io(&aside))?;
    let store = dir.join("store");
    if store.exists() {
        let swapped = renameat_with(CWD, next, CWD, &store, RenameFlags::EXCHANGE);
        swapped.map_err(|error| Error::io(&store)(error.into()))?;
        fs::rename(next, aside.join("store")).map_err(Error::io(next))?;
    } else {
        fs::rename(next, &store).map_err(Error::io(next))?;
    }
    let raft = dir.join("raft");
    if raft.exists() {
        fs::rename(&raft, aside.join("raft")).map_err(Error::io(&raft))?;
    }
    Ok(aside)
}
