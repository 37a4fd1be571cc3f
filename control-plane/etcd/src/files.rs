//! The file system as the store sees it: one flat directory, at the edge of the system calls.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// A file that is written at its end and read anywhere.
pub trait File: Send + Sync + 'static {
    /// How long it is.
    fn length(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`; an error when the file ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `data` at `offset`.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file at `length`.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Returns when the content is durable.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of files.
pub trait Files: Send + Sync + 'static {
    /// What the directory is called in messages.
    fn place(&self) -> String;
    /// Whether calls wait for a device, so that they must stay off the async workers.
    fn blocks(&self) -> bool;
    /// Takes the directory for this process, until [`Files::unlock`].
    fn lock(&self) -> Result<(), Locked>;
    /// Gives the directory back.
    fn unlock(&self);
    /// The names of its files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes an empty file, in place of one of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Opens a file that is there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Makes a file of that length, or one longer, whose space is taken, for nothing to be written to.
    fn allocate(&self, name: &str, bytes: u64) -> io::Result<()> {
        let file = self.open(name).or_else(|_| self.create(name))?;
        let zeros = [0; 64 << 10];
        let mut offset = file.length()?;
        while offset < bytes {
            let length = (bytes - offset).min(zeros.len() as u64);
            file.write_at(&zeros[..length as usize], offset)?;
            offset += length;
        }
        Ok(())
    }
    /// Renames a file over another.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Returns when creations, renames and removals are durable.
    fn sync(&self) -> io::Result<()>;
}

/// Why a directory could not be locked.
#[derive(Debug)]
pub enum Locked {
    /// Another process has it; its process id if that could be read.
    Held(Option<u32>),
    /// The lock could not be tried.
    Failed(io::Error),
}

/// A directory of the machine's file system.
pub struct Disk {
    dir: PathBuf,
    lock: Mutex<Option<fs::File>>,
}

impl Disk {
    /// The directory `dir`, made (readable by its owner only) if it is not there.
    pub fn new(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self {
            dir,
            lock: Mutex::new(None),
        })
    }

    fn open_with(&self, name: &str, options: &mut fs::OpenOptions) -> io::Result<fs::File> {
        options
            .read(true)
            .write(true)
            .mode(0o600)
            .open(self.dir.join(name))
    }
}

impl Files for Disk {
    fn place(&self) -> String {
        self.dir.display().to_string()
    }

    fn blocks(&self) -> bool {
        true
    }

    fn lock(&self) -> Result<(), Locked> {
        let file = self
            .open_with("lock", fs::OpenOptions::new().create(true).truncate(false))
            .map_err(Locked::Failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(self.dir.join("lock")).ok();
                return Err(Locked::Held(holder.and_then(|pid| pid.trim().parse().ok())));
            }
            Err(fs::TryLockError::Error(error)) => return Err(Locked::Failed(error)),
        }
        let pid = format!("{}\n", std::process::id());
        let told = file
            .set_len(0)
            .and_then(|()| file.write_all_at(pid.as_bytes(), 0));
        if let Err(error) = told {
            // It is only for the message to the next; a full device is no reason not to start.
            tracing::debug!(%error, place = self.place(), "the lock does not say who has it");
        }
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    fn unlock(&self) {
        let held = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Closing is not enough: a child between fork and exec has the same open file.
        if let Some(Err(error)) = held.map(|file| file.unlock()) {
            tracing::warn!(%error, place = self.place(), "the store's lock stays until this process ends");
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.open_with(
            name,
            fs::OpenOptions::new().create(true).truncate(true),
        )?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.open_with(name, &mut fs::OpenOptions::new())?))
    }

    fn allocate(&self, name: &str, bytes: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        let file = self.open_with(name, fs::OpenOptions::new().create(true).truncate(false))?;
        Ok(fallocate(file, FallocateFlags::empty(), 0, bytes)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.dir)?.sync_all()
    }
}

impl File for fs::File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, data, offset)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
