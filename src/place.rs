//! A cluster's data directory: its version, its lock, and what is known of the process that runs it.

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The layout of data directories that this binary writes. A newer one is refused.
const LAYOUT: u32 = 1;

/// What a cluster's process says of itself, for `stop` and `rm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Its pid.
    pub pid: i32,
    /// Its run directory.
    pub run_dir: PathBuf,
    /// Its kubelet's directory.
    pub kubelet_dir: PathBuf,
    /// Its logs.
    pub log_dir: PathBuf,
    /// The kubeconfig it wrote.
    pub kubeconfig: PathBuf,
}

/// An open data directory. It is locked as long as this lives.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    lock: File,
}

impl Place {
    /// Opens the directory, made if missing, unless another process has it.
    pub fn open(dir: &Path) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .with_context(|| format!("cannot make the data directory {}", dir.display()))?;
        let place = Self::lock(dir)?;
        place.check_version()?;
        Ok(place)
    }

    /// Locks the directory that is there.
    pub fn lock(dir: &Path) -> Result<Self> {
        let path = dir.join("lock");
        let mut options = OpenOptions::new();
        let lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let mut lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut text = String::new();
            lock.read_to_string(&mut text).unwrap_or_default();
            let who = serde_json::from_str::<Running>(&text)
                .map(|r| format!(" (pid {})", r.pid))
                .unwrap_or_default();
            bail!(
                "another ferrokube{who} runs on the data directory {}; stop it with: ferrokube stop --data-dir {}",
                dir.display(),
                dir.display()
            );
        }
        Ok(Self {
            dir: dir.to_owned(),
            lock,
        })
    }

    /// What the last process on `dir` said of itself, running or not.
    pub fn running(dir: &Path) -> Option<Running> {
        serde_json::from_str(&fs::read_to_string(dir.join("lock")).ok()?).ok()
    }

    fn check_version(&self) -> Result<()> {
        let path = self.dir.join("version");
        match fs::read_to_string(&path) {
            Ok(text) => {
                let found: u32 = text
                    .trim()
                    .parse()
                    .with_context(|| format!("{} is broken", path.display()))?;
                if found > LAYOUT {
                    bail!(
                        "{} was written by a newer ferrokube (layout {found}, this one knows {LAYOUT})",
                        self.dir.display()
                    );
                }
                Ok(())
            }
            Err(_) => fs::write(&path, format!("{LAYOUT}\n"))
                .with_context(|| format!("cannot write {}", path.display())),
        }
    }

    /// Says who runs here.
    pub fn tell(&mut self, running: &Running) -> Result<()> {
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        self.lock.write_all(&serde_json::to_vec(running)?)?;
        Ok(())
    }
}
