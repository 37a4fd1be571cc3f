//! The two that are measured: our etcd and upstream's, with the same flags.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::kernel;
use rustix::process::{Pid, Signal, kill_process};

use super::load::Load;

/// Ticks of a second, as the kernel shows them to every program.
const TICKS: f64 = 100.0;
const LIMIT: Duration = Duration::from_secs(120);

/// Which one.
#[derive(Debug, Clone)]
pub enum Which {
    /// Ours: the binary.
    Ours(PathBuf),
    /// Upstream's.
    Peer(PathBuf),
}

/// A member alone.
pub struct Side {
    which: Which,
    folder: PathBuf,
    port: u16,
    running: Option<Child>,
}

impl Side {
    /// One that does not run yet and keeps its data in `folder`.
    pub fn new(which: Which, folder: &Path) -> Result<Side> {
        fs::create_dir_all(folder)?;
        Ok(Side {
            port: if matches!(which, Which::Ours(_)) {
                12379
            } else {
                22379
            },
            which,
            folder: folder.to_owned(),
            running: None,
        })
    }

    /// The same program, with data and a place of its own, to be measured beside it.
    pub fn another(&self) -> Result<Side> {
        let mut another = Side::new(self.which.clone(), &self.folder.with_extension("another"))?;
        another.port = self.port + 20_000;
        Ok(another)
    }

    /// Whether it is ours.
    pub fn is_ours(&self) -> bool {
        matches!(self.which, Which::Ours(_))
    }

    /// Where clients reach it.
    pub fn url(&self) -> String {
        self.urls().0
    }

    /// The same, as an address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn urls(&self) -> (String, String) {
        let mut address = self.address();
        let client = format!("http://{address}");
        address.set_port(address.port() + 1);
        (client, format!("http://{address}"))
    }

    /// Starts it; how long it took until it answered a read.
    pub fn start(&mut self) -> Result<Duration> {
        let (client, peer) = self.urls();
        let mut command = match &self.which {
            Which::Ours(binary) => Command::new(binary),
            Which::Peer(binary) => Command::new(binary),
        };
        if self.is_ours() {
            command.arg("etcd");
        } else {
            // A store is filled by transactions of several keys: with so many fewer entries between its snapshots, a start
            // reads as much of its log as it would else.
            command.arg("--snapshot-count=10000");
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))?;
        command
            .arg(format!("--data-dir={}", self.data().display()))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=default={peer}"))
            .arg("--quota-backend-bytes=17179869184")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let begun = Instant::now();
        self.running = Some(command.spawn().context("start an etcd")?);
        while !Load::open(self, 1).is_ok_and(|load| load.answers()) {
            if let Some(status) = self
                .running
                .as_mut()
                .and_then(|child| child.try_wait().transpose())
            {
                bail!("ended with {}: {}", status?, self.log());
            }
            ensure!(begun.elapsed() < LIMIT, "not ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(begun.elapsed())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn pid(&self) -> Result<u32> {
        Ok(self.running.as_ref().context("it does not run")?.id())
    }

    /// The processor time that it has taken, in seconds.
    pub fn processor_time(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        // The name may hold anything; after it come the fields from the third on.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields.skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks
            .sum::<Result<u64, _>>()
            .context("read the time of a process")?;
        Ok(ticks as f64 / TICKS)
    }

    /// The bytes that it has written, to files and sockets.
    pub fn written(&self) -> Result<f64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.pid()?))?;
        let written = io.lines().find_map(|line| line.strip_prefix("wchar: "));
        Ok(written.context("a process without its bytes")?.parse()?)
    }

    /// Its memory, in bytes.
    pub fn memory(&self) -> Result<f64> {
        Ok(kernel::memory(self.pid()?)?.0 as f64)
    }

    /// What its files take of the disk, in bytes.
    pub fn files(&self) -> Result<f64> {
        fn size(path: &Path) -> Result<u64> {
            let mut sum = 0;
            for entry in fs::read_dir(path)? {
                let path = entry?.path();
                // It may be gone meanwhile.
                let Ok(found) = fs::symlink_metadata(&path) else {
                    continue;
                };
                sum += match found.is_dir() {
                    true => size(&path)?,
                    false => found.blocks() * 512,
                };
            }
            Ok(sum)
        }
        Ok(size(&self.data())? as f64)
    }

    /// Lets it run, or not, so that it takes no time from the other.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()?)?).context("a pid is not 0")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Ends it.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::CONT)?;
        self.signal(Signal::TERM)?;
        let Some(mut child) = self.running.take() else {
            return Ok(());
        };
        let begun = Instant::now();
        while child.try_wait()?.is_none() {
            if begun.elapsed() > LIMIT {
                child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it at once, whatever it does.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.running.take().context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Forgets its data.
    pub fn clear(&self) -> Result<()> {
        Ok(fs::remove_dir_all(self.data())?)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if let Some(child) = &mut self.running {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
