//! A directory in memory that can lose what was not synced, fill up, and fail: for simulations and crash tests.

use crate::files::{File, Files, Locked};
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// A directory in memory. Clones are the same directory.
#[derive(Clone, Default)]
pub struct MemoryFiles(Arc<Directory>);

#[derive(Default)]
struct Directory {
    files: Mutex<BTreeMap<String, Arc<MemoryFile>>>,
    faults: Arc<Faults>,
    locked: AtomicBool,
}

struct Faults {
    room: AtomicU64,
    operations: AtomicU64,
    sync_fails: AtomicBool,
}

impl Default for Faults {
    fn default() -> Self {
        let never = || AtomicU64::new(u64::MAX);
        Self {
            room: never(),
            operations: never(),
            sync_fails: AtomicBool::new(false),
        }
    }
}

impl Faults {
    /// Takes so many bytes of the room, or what is left of it.
    fn take(&self, bytes: u64) -> u64 {
        let room = self.room.load(Ordering::Relaxed);
        let fits = bytes.min(room);
        if room != u64::MAX {
            self.room.store(room - fits, Ordering::Relaxed);
        }
        fits
    }

    fn free(&self, bytes: usize) {
        let room = self.room.load(Ordering::Relaxed);
        self.room
            .store(room.saturating_add(bytes as u64), Ordering::Relaxed);
    }

    /// Counts an operation that changes the directory; an error when the power is lost.
    fn count(&self) -> io::Result<()> {
        let left = self.operations.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other("the power is lost"));
        }
        if left != u64::MAX {
            self.operations.store(left - 1, Ordering::Relaxed);
        }
        Ok(())
    }
}

struct MemoryFile {
    content: Mutex<Content>,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    durable: usize,
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryFiles {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// The directory as a machine finds it that lost its power now: without what was not synced.
    pub fn after_crash(&self) -> Self {
        self.copy(|content| content.durable)
    }

    /// The directory as a process finds it whose predecessor was killed now: with all that was written.
    pub fn after_kill(&self) -> Self {
        self.copy(|content| content.bytes.len())
    }

    fn copy(&self, keep: impl Fn(&Content) -> usize) -> Self {
        let copy = Self::new();
        for (name, file) in hold(&self.0.files).iter() {
            let content = hold(&file.content);
            let bytes = content.bytes[..keep(&content)].to_vec();
            copy.put(name, bytes);
        }
        copy
    }

    /// What a file takes is free again.
    fn free(&self, name: &str) {
        if let Some(file) = hold(&self.0.files).get(name) {
            self.0.faults.free(hold(&file.content).bytes.len());
        }
    }

    /// Sets the content of a file, as if it had always been so.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let content = Mutex::new(Content {
            durable: bytes.len(),
            bytes,
        });
        let file = MemoryFile {
            content,
            faults: self.0.faults.clone(),
        };
        hold(&self.0.files).insert(name.to_owned(), Arc::new(file));
    }

    /// The content of a file.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        let file = hold(&self.0.files).get(name).cloned()?;
        let content = hold(&file.content);
        Some(content.bytes.clone())
    }

    /// From now on the files can grow by `bytes` together before the directory is full; what is removed counts.
    pub fn set_room(&self, bytes: u64) {
        self.0.faults.room.store(bytes, Ordering::Relaxed);
    }

    /// After so many more operations that change something the power is lost: nothing changes any more.
    pub fn set_operations(&self, operations: u64) {
        self.0.faults.operations.store(operations, Ordering::Relaxed);
    }

    /// How many operations are left before the power is lost.
    pub fn operations(&self) -> u64 {
        self.0.faults.operations.load(Ordering::Relaxed)
    }

    /// From now on syncing fails, or works again.
    pub fn set_sync_fails(&self, fails: bool) {
        self.0.faults.sync_fails.store(fails, Ordering::Relaxed);
    }

    /// How many bytes all files have together.
    pub fn size(&self) -> u64 {
        hold(&self.0.files)
            .values()
            .map(|file| hold(&file.content).bytes.len() as u64)
            .sum()
    }
}

impl Files for MemoryFiles {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn blocks(&self) -> bool {
        false
    }

    fn lock(&self) -> Result<(), Locked> {
        if self.0.locked.swap(true, Ordering::AcqRel) {
            Err(Locked::Held(None))
        } else {
            Ok(())
        }
    }

    fn unlock(&self) {
        self.0.locked.store(false, Ordering::Release);
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(hold(&self.0.files).keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.0.faults.count()?;
        self.free(name);
        self.put(name, Vec::new());
        self.open(name)
    }

    fn allocate(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.0.faults.count()?;
        let mut content = self.get(name).unwrap_or_default();
        let more = bytes.saturating_sub(content.len() as u64);
        let taken = self.0.faults.take(more);
        content.resize(content.len() + taken as usize, 0);
        self.put(name, content);
        (taken == more)
            .then_some(())
            .ok_or_else(|| io::ErrorKind::StorageFull.into())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        match hold(&self.0.files).get(name) {
            Some(file) => Ok(file.clone()),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.faults.count()?;
        self.free(to);
        let mut files = hold(&self.0.files);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.faults.count()?;
        self.free(name);
        hold(&self.0.files)
            .remove(name)
            .map(|_| ())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.faults.count()
    }
}

impl File for MemoryFile {
    fn length(&self) -> io::Result<u64> {
        Ok(hold(&self.content).bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let content = hold(&self.content);
        let start = offset as usize;
        let part = content
            .bytes
            .get(start..start + buffer.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.faults.count()?;
        let mut content = hold(&self.content);
        let start = offset as usize;
        let growth = (start + data.len()).saturating_sub(content.bytes.len());
        let fits = data.len() - growth + self.faults.take(growth as u64) as usize;
        let end = start + fits;
        if content.bytes.len() < end {
            content.bytes.resize(end, 0);
        }
        content.bytes[start..end].copy_from_slice(&data[..fits]);
        content.durable = content.durable.min(start);
        if fits < data.len() {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.faults.count()?;
        let mut content = hold(&self.content);
        self.faults
            .free(content.bytes.len().saturating_sub(length as usize));
        content.bytes.truncate(length as usize);
        content.durable = content.durable.min(length as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.faults.count()?;
        if self.faults.sync_fails.load(Ordering::Relaxed) {
            return Err(io::Error::other("the device failed"));
        }
        let mut content = hold(&self.content);
        content.durable = content.bytes.len();
        Ok(())
    }
}
