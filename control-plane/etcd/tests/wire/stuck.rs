//! A disk on which nothing becomes durable for a while.

use etcd::{Disk, File, Files, Locked, replica::Folders};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Gives folders in which nothing becomes durable as long as it is said.
pub fn folders(stuck: Arc<AtomicBool>) -> Folders {
    Arc::new(move |dir| {
        let stuck = stuck.clone();
        let disk = Disk::new(dir)?;
        Ok(Arc::new(Stuck { disk, stuck }))
    })
}

struct Stuck {
    disk: Disk,
    stuck: Arc<AtomicBool>,
}

impl Stuck {
    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        let stuck = self.stuck.clone();
        Arc::new(StuckFile { file, stuck })
    }
}

impl Files for Stuck {
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
        self.disk.create(name).map(|file| self.file(file))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.disk.open(name).map(|file| self.file(file))
    }
    fn allocate(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.disk.allocate(name, bytes)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
}

struct StuckFile {
    file: Arc<dyn File>,
    stuck: Arc<AtomicBool>,
}

impl File for StuckFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(data, offset)
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
    fn sync(&self) -> io::Result<()> {
        while self.stuck.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.file.sync()
    }
}
