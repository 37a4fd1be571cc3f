//! Where a benchmark takes place: the loopback of its own network namespace, and a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use e2e::{artifacts, process};

/// Where servers listen and keep their things. The folder goes with this.
pub struct Room(PathBuf);

impl Room {
    /// Readies the loopback, and a folder of this name.
    pub fn new(name: &str) -> Result<Room> {
        process::output(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        let room = Room(artifacts::target().join(name));
        // One that was killed may have left its own.
        room.remove();
        fs::create_dir_all(&room.0)?;
        Ok(room)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    fn remove(&self) {
        // What is left after a failure is below the target folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.remove();
    }
}
