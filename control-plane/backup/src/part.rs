//! A file that is being written: it has its name only when it is whole, was read again, and is on the disk.

use crate::{Chunks, Error, Snapshot, place::blocking};
use bytes::BytesMut;
use component::Env;
use futures::StreamExt;
use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

const PREFIX: &str = ".snapshot-";
const SUFFIX: &str = ".part";
/// Bytes of a write, about.
const STEP: usize = 1 << 20;

/// Such a file; it is removed when it is dropped.
#[derive(Debug)]
pub struct Part {
    file: Arc<File>,
    /// `None`: it has no name any more.
    path: Option<PathBuf>,
}

impl Part {
    /// A file that gets a name in `folder`.
    pub fn create(folder: &Path, env: &Env) -> Result<Self, Error> {
        sweep(folder);
        let path = folder.join(format!("{PREFIX}{:016x}{SUFFIX}", env.random.below(u64::MAX)));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(Error::io(&path))?;
        let part = Self {
            file: Arc::new(file),
            path: Some(path.clone()),
        };
        let locked = part.file.try_lock().map_err(io::Error::from);
        locked.map_err(Error::io(&path))?;
        Ok(part)
    }

    /// A file without a name, on the file system of `folder`.
    pub fn hidden(folder: &Path, env: &Env) -> Result<Self, Error> {
        let mut part = Self::create(folder, env)?;
        part.remove()?;
        Ok(part)
    }

    /// What is written to.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    fn remove(&mut self) -> Result<(), Error> {
        match self.path.take() {
            Some(path) => fs::remove_file(&path).map_err(Error::io(&path)),
            None => Ok(()),
        }
    }

    /// Writes what comes.
    pub async fn fill(&self, mut chunks: Chunks, env: &Env) -> Result<(), Error> {
        let mut buffer = BytesMut::new();
        let mut at = 0;
        loop {
            let chunk = chunks.next().await.transpose()?;
            let ended = chunk.is_none();
            buffer.extend_from_slice(&chunk.unwrap_or_default());
            if buffer.len() >= STEP || ended {
                let (bytes, file) = (buffer.split().freeze(), self.file.clone());
                let (written, place) = (bytes.len() as u64, self.place());
                let write = move || file.write_all_at(&bytes, at).map_err(Error::io(&place));
                blocking(env, write).await?;
                at += written;
            }
            if ended {
                return Ok(());
            }
        }
    }

    fn place(&self) -> PathBuf {
        self.path
            .clone()
            .unwrap_or_else(|| PathBuf::from("a snapshot that is not kept here"))
    }

    /// Reads it again.
    pub fn verify(&self, skip_hash_check: bool) -> Result<Snapshot, Error> {
        Snapshot::of(self.file.clone(), skip_hash_check)
    }

    /// Gives it a name in its folder, when it is on the disk.
    pub fn keep(mut self, name: &str) -> Result<(), Error> {
        let Some(part) = self.path.clone() else {
            return Ok(());
        };
        let path = part.with_file_name(name);
        self.file.sync_all().map_err(Error::io(&part))?;
        fs::rename(&part, &path).map_err(Error::io(&path))?;
        self.path = None;
        // Tools of etcd lock what they read.
        self.file.unlock().map_err(Error::io(&path))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(Error::io(folder))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::debug!(%error, "what is left of a snapshot goes when the next is taken");
        }
    }
}

/// Removes what was left by those who were killed while they wrote: nobody has it locked.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_part = |name: &OsStr| {
            let name = name.to_string_lossy();
            name.starts_with(PREFIX) && name.ends_with(SUFFIX)
        };
        if !is_part(&entry.file_name()) {
            continue;
        }
        let free = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if free && let Err(error) = fs::remove_file(entry.path()) {
            tracing::warn!(%error, file = %entry.path().display(), "what is left of a snapshot stays");
        }
    }
}
