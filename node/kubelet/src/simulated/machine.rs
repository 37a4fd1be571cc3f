//! A machine of paper.

use crate::machine::{Disk, Facts, Files, Machine, Ownership};
use futures::{future::BoxFuture, stream::BoxStream};
use runtime::{DnsConfig, Duplex};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A machine whose disk forgets and whose connections all succeed and end.
#[derive(Clone, Debug)]
pub struct Paper(Facts, Disk, Arc<AtomicU64>);

impl Paper {
    /// With those facts.
    pub fn new(facts: Facts) -> Self {
        let disk = Disk {
            capacity: facts.disk,
            available: facts.disk,
        };
        Self(facts, disk, Arc::default())
    }

    /// Takes so many bytes of its memory.
    pub fn take_memory(&self, bytes: u64) {
        self.2.store(bytes, Ordering::Relaxed);
    }

    /// With so many bytes left on its disk.
    pub fn with_room(mut self, available: u64) -> Self {
        self.1.available = available;
        self
    }
}

impl Default for Paper {
    fn default() -> Self {
        Self::new(Facts {
            cpus: 8,
            memory: 32 << 30,
            disk: 100 << 30,
            kernel: "simulated".to_owned(),
            os_image: "simulated".to_owned(),
            architecture: "amd64".to_owned(),
            ..Facts::default()
        })
    }
}

impl Machine for Paper {
    fn facts(&self) -> Facts {
        self.0.clone()
    }
    fn memory(&self) -> io::Result<Disk> {
        let capacity = self.0.memory;
        let taken = self.2.load(Ordering::Relaxed);
        Ok(Disk {
            capacity,
            available: capacity.saturating_sub(taken),
        })
    }
    fn disk(&self, _: &Path) -> io::Result<Disk> {
        Ok(self.1)
    }
    fn resolv_conf(&self) -> DnsConfig {
        DnsConfig::default()
    }
    fn make_dir(&self, _: &Path, _: u32, _: Option<i64>) -> io::Result<()> {
        Ok(())
    }
    fn mount_tmpfs(&self, _: &Path, _: Option<u64>) -> io::Result<()> {
        Ok(())
    }
    fn publish(&self, _: &Path, _: &Files, _: Option<i64>) -> io::Result<()> {
        Ok(())
    }
    fn write(&self, _: &Path, _: &[u8], _: u32) -> io::Result<()> {
        Ok(())
    }
    fn read_tail(&self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
    fn mount_huge_pages(&self, _: &Path, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn set_group(&self, _: &Path, _: Ownership) -> io::Result<()> {
        Ok(())
    }
    fn group_of(&self, _: &Path) -> io::Result<i64> {
        Ok(0)
    }
    fn read_beneath(&self, _: &Path, _: &Path, _: u64) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn remove_beneath(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn host_path(&self, _: &Path, _: &str, _: u32) -> Result<(), String> {
        Ok(())
    }
    fn sub_path(&self, _: &Path, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn is_dir(&self, _: &Path) -> io::Result<bool> {
        Ok(true)
    }
    fn remove_tree(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn children(&self, _: &Path) -> Vec<String> {
        Vec::new()
    }
    fn size(&self, _: &Path) -> u64 {
        0
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn watch(&self, _: &Path) -> BoxStream<'static, ()> {
        Box::pin(futures::stream::pending())
    }
    fn resolve(&self, _: String) -> BoxFuture<'static, io::Result<IpAddr>> {
        Box::pin(async { Err(io::ErrorKind::NotFound.into()) })
    }
    fn connect(&self, _: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>> {
        Box::pin(async {
            let (near, mut far) = tokio::io::duplex(1024);
            // Enough of an answer for a probe over HTTP.
            let _ = tokio::io::AsyncWriteExt::write_all(
                &mut far,
                b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            )
            .await;
            Ok(Box::new(near) as Box<dyn Duplex>)
        })
    }
}
