//! A directory whose files are never made durable: fast, and for data that may be lost.

use crate::files::{Disk, File, Files, Locked};
use std::{io, path::PathBuf, sync::Arc};

/// A directory of the machine's file system, of which nothing is synced. What was acknowledged survives the end of the
/// process, but not that of the machine.
pub struct Unsynced(Disk);

struct Loose(Arc<dyn File>);

impl Unsynced {
    /// As [`Disk::new`].
    pub fn new(dir: impl Into<PathBuf>) -> io::Result<Self> {
        Disk::new(dir).map(Self)
    }
}

impl Files for Unsynced {
    fn place(&self) -> String {
        self.0.place()
    }

    fn blocks(&self) -> bool {
        self.0.blocks()
    }

    fn lock(&self) -> Result<(), Locked> {
        self.0.lock()
    }

    fn unlock(&self) {
        self.0.unlock();
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(Loose(self.0.create(name)?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(Loose(self.0.open(name)?)))
    }

    fn allocate(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.0.allocate(name, bytes)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl File for Loose {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(data, offset)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
