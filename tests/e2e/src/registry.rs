//! A real image registry: Debian's `docker-registry`, on an address and over a directory of ours.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};

use anyhow::{Context as _, Result};

use crate::artifacts;

/// A running registry; it ends when this is dropped.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    address: SocketAddr,
}

impl Registry {
    /// Starts the registry over `storage`. `enter` are words put before the command, as `nsenter` to start it in a namespace;
    /// `work` takes its settings and its log.
    pub fn start(address: SocketAddr, storage: &Path, work: &Path, enter: &[String]) -> Result<Registry> {
        fs::create_dir_all(work)?;
        let settings = work.join("registry.yaml");
        fs::write(&settings, settings_text(address, storage))?;
        let log = File::create(work.join("registry.log"))?;
        let program = artifacts::tool("docker-registry").display().to_string();
        let words: Vec<String> = enter
            .iter()
            .cloned()
            .chain([program, "serve".into(), settings.display().to_string()])
            .collect();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .env("OTEL_TRACES_EXPORTER", "none");
        command
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command
            .spawn()
            .context("start docker-registry; `cargo xtask images` fetches it")?;
        Ok(Registry { child, address })
    }

    /// The address as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends the registry.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

fn settings_text(address: SocketAddr, storage: &Path) -> String {
    format!(
        "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
         http:\n  addr: {address}\n",
        storage.display()
    )
}
