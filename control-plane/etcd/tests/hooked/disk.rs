//! A disk of the machine with hooks: what a test makes of its room and of its syncs.

use etcd::{Disk, File, Files, Locked};
use std::{io, sync::Arc};

/// What happens before something is done.
pub trait Hooks: Send + Sync + 'static {
    /// Before anything is written: whether there is room for it.
    fn room(&self) -> io::Result<()> {
        Ok(())
    }

    /// Before anything becomes durable.
    fn sync(&self) {}
}

/// A folder of such a disk.
pub struct Hooked<H> {
    disk: Disk,
    hooks: Arc<H>,
}

struct HookedFile<H> {
    file: Arc<dyn File>,
    hooks: Arc<H>,
}

impl<H: Hooks> Hooked<H> {
    pub fn new(disk: Disk, hooks: Arc<H>) -> Arc<Self> {
        Arc::new(Self { disk, hooks })
    }

    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        let hooks = self.hooks.clone();
        Arc::new(HookedFile { file, hooks })
    }
}

impl<H: Hooks> Files for Hooked<H> {
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
        self.hooks.room()?;
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
        self.hooks.sync();
        self.disk.sync()
    }
}

impl<H: Hooks> File for HookedFile<H> {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let Err(error) = self.hooks.room() else {
            return self.file.write_at(data, offset);
        };
        // As a disk does that is full: it ends in the middle.
        self.file.write_at(&data[..data.len() / 2], offset)?;
        Err(error)
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.hooks.sync();
        self.file.sync()
    }
}
