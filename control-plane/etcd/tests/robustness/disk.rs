//! A member's disk, which the lab makes full, slow or stuck by files that it puts beside the member's data.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::hooked::{Hooked, Hooks};
use etcd::{Disk, replica::Folders};

/// What may be wrong with it.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Writes end in the middle: there is no space.
    Full,
    /// What is to be durable takes its time.
    Slow,
    /// Nothing becomes durable.
    Stuck,
}

/// A slow disk takes as long at most, in milliseconds.
const SLOW: u64 = 150;

/// The file that says so.
pub fn sign(member: &Path, fault: Fault) -> PathBuf {
    member.with_extension(format!("{fault:?}"))
}

/// Gives the folders of the member whose data is there.
pub fn folders(member: PathBuf) -> Folders {
    let state = Arc::new(State {
        full: sign(&member, Fault::Full),
        slow: sign(&member, Fault::Slow),
        stuck: sign(&member, Fault::Stuck),
        syncs: AtomicU64::new(0),
    });
    Arc::new(move |dir| Ok(Hooked::new(Disk::new(dir)?, state.clone())))
}

struct State {
    full: PathBuf,
    slow: PathBuf,
    stuck: PathBuf,
    syncs: AtomicU64,
}

impl Hooks for State {
    fn room(&self) -> io::Result<()> {
        match self.full.exists() {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn sync(&self) {
        while self.stuck.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.slow.exists() {
            let wait = self.syncs.fetch_add(1, Relaxed) * 37 % SLOW;
            std::thread::sleep(Duration::from_millis(wait));
        }
    }
}
