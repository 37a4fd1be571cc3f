//! A member's disk, which the lab makes full, slow or stuck by files that it puts beside the member's data.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use etcd::{Disk, File, Files, Locked, replica::Folders};

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
    Arc::new(move |dir| {
        let state = state.clone();
        let disk = Disk::new(dir)?;
        Ok(Arc::new(Faulty { disk, state }))
    })
}

struct State {
    full: PathBuf,
    slow: PathBuf,
    stuck: PathBuf,
    syncs: AtomicU64,
}

impl State {
    fn room(&self) -> io::Result<()> {
        match self.full.exists() {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn wait(&self) {
        while self.stuck.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.slow.exists() {
            let wait = self.syncs.fetch_add(1, Relaxed) * 37 % SLOW;
            std::thread::sleep(Duration::from_millis(wait));
        }
    }
}

struct Faulty {
    disk: Disk,
    state: Arc<State>,
}

impl Faulty {
    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        let state = self.state.clone();
        Arc::new(FaultyFile { file, state })
    }
}

impl Files for Faulty {
    fn place(&self) -> String {
        self.disk.place()
    }
    fn blocks(&self) -> bool {
        true
    }
    fn lock(&self) -> Result<(), Locked> {
        self.disk.lock()
    }
    fn unlock(&self) {
        self.disk.unlock();
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.state.room()?;
        self.disk.create(name).map(|file| self.file(file))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.disk.open(name).map(|file| self.file(file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        self.state.wait();
        self.disk.sync()
    }
}

struct FaultyFile {
    file: Arc<dyn File>,
    state: Arc<State>,
}

impl File for FaultyFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let Err(error) = self.state.room() else {
            return self.file.write_at(data, offset);
        };
        self.file.write_at(&data[..data.len() / 2], offset)?;
        Err(error)
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.state.wait();
        self.file.sync()
    }
}
