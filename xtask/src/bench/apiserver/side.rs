//! The two that are measured: our API server with its store, and upstream's with etcd, on loopback with the same flags,
//! the same certificates and the same rights.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use component::Clock;
use component::pki::{Authority, Purpose};
use e2e::kernel;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::bench::load::{self, Load};

/// The namespace of the load.
pub const NAMESPACE: &str = "bench";

const LIMIT: Duration = Duration::from_secs(60);

/// Certificates of the servers and of clients: one that may do everything by its group, one by a binding, as users do, and
/// one that has no rights of its own. A client without any names itself by a token.
pub struct Papers {
    folder: PathBuf,
    pub admin: Arc<ClientConfig>,
    pub user: Arc<ClientConfig>,
    pub other: Arc<ClientConfig>,
    pub none: Arc<ClientConfig>,
    /// A server without an API.
    pub server: Arc<ServerConfig>,
}

impl Papers {
    /// Makes them in a folder.
    pub fn new(folder: PathBuf) -> Result<Papers> {
        let now = Clock::system().wall();
        let authority = Authority::open(&folder, now)?;
        let names = ["127.0.0.1", "10.96.0.1", "localhost", "kubernetes.default.svc"];
        let names = names.map(str::to_owned).to_vec();
        let leaf = authority.leaf("server", &Purpose::server("kube-apiserver", names), now)?;
        // The suite that Go prefers: both sides are spoken to alike.
        let mut provider = rustls::crypto::ring::default_provider();
        let suite = rustls::CipherSuite::TLS13_AES_128_GCM_SHA256;
        provider.cipher_suites.retain(|known| known.suite() == suite);
        let (provider, mut roots) = (Arc::new(provider), RootCertStore::empty());
        roots.add(CertificateDer::from_pem_slice(
            authority.certificate().as_bytes(),
        )?)?;
        let roots = Arc::new(roots);
        let builder = || -> Result<_> {
            let builder = ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots.clone());
            Ok(builder)
        };
        let client = |name: &str, groups: &[&str]| -> Result<Arc<ClientConfig>> {
            let (chain, key) = authority.leaf(name, &Purpose::client(name, groups), now)?.der()?;
            Ok(Arc::new(builder()?.with_client_auth_cert(chain, key)?))
        };
        let (chain, key) = leaf.der()?;
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Papers {
            server: Arc::new(server),
            admin: client("admin", &["system:masters"])?,
            user: client("bench", &["benches"])?,
            other: client("other", &["others"])?,
            none: Arc::new(builder()?.with_no_client_auth()),
            folder,
        })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

/// Which one.
#[derive(Debug, Clone)]
pub enum Which {
    /// Ours: the binary.
    Ours(PathBuf),
    /// Upstream's: the folder with kube-apiserver and etcd.
    Peer(PathBuf),
}

/// A server with its store.
pub struct Side<'a> {
    which: Which,
    /// Its certificates, and those of its clients.
    pub papers: &'a Papers,
    folder: PathBuf,
    port: u16,
    /// Flags beside those that all have.
    flags: Vec<String>,
    running: Vec<Child>,
}

impl<'a> Side<'a> {
    /// One that does not run yet and keeps its data in `folder`.
    pub fn new(which: Which, papers: &'a Papers, folder: &Path) -> Result<Side<'a>> {
        fs::create_dir_all(folder)?;
        let port = match which {
            Which::Ours(_) => 16443,
            Which::Peer(_) => 26443,
        };
        Ok(Side {
            which,
            papers,
            folder: folder.to_owned(),
            port,
            flags: Vec::new(),
            running: Vec::new(),
        })
    }

    /// Another one of ours, with more flags.
    pub fn variant(mut self, port: u16, flags: &[&str]) -> Side<'a> {
        self.port = port;
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Starts its processes; how long it took until it was ready.
    pub fn start(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        match self.which.clone() {
            Which::Ours(binary) => {
                let mut flags = self.flags();
                flags.push(format!("--store-dir={}", self.path("store")));
                self.spawn(Command::new(binary).arg("kube-apiserver").args(flags))?;
            }
            Which::Peer(binaries) => {
                self.spawn(Command::new(binaries.join("etcd")).args(self.etcd_flags()))?;
                let mut flags = self.flags();
                flags.extend([
                    "--etcd-servers=http://127.0.0.1:22379".to_owned(),
                    format!("--service-account-key-file={}", self.papers.path("server.crt")),
                    "--endpoint-reconciler-type=none".to_owned(),
                    "--enable-admission-plugins=NodeRestriction".to_owned(),
                ]);
                self.spawn(Command::new(binaries.join("kube-apiserver")).args(flags))?;
            }
        }
        while !self.is_ready() {
            self.see_that_it_runs()?;
            ensure!(begun.elapsed() < LIMIT, "not ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(begun.elapsed())
    }

    /// The flags that both take.
    fn flags(&self) -> Vec<String> {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.papers.path(name));
        let mut flags = vec![
            file("client-ca-file", "ca.crt"),
            file("tls-cert-file", "server.crt"),
            file("tls-private-key-file", "server.key"),
            file("service-account-signing-key-file", "server.key"),
            format!("--secure-port={}", self.port),
        ];
        let same = [
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--max-requests-inflight=3000",
            "--max-mutating-requests-inflight=3000",
        ];
        flags.extend(same.map(str::to_owned));
        flags.extend(self.flags.iter().cloned());
        flags
    }

    fn etcd_flags(&self) -> Vec<String> {
        let (client, peer) = ("http://127.0.0.1:22379", "http://127.0.0.1:22380");
        vec![
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--quota-backend-bytes=8589934592".to_owned(),
            "--log-level=error".to_owned(),
        ]
    }

    fn spawn(&mut self, command: &mut Command) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("start {program}"))?;
        self.running.push(child);
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let asked = Load::open(self.address(), &self.papers.admin, 1)
            .and_then(|mut load| load.ask(&load::get("/readyz", ""), Duration::from_secs(5)));
        asked.is_ok_and(|(status, _)| status == 200)
    }

    fn see_that_it_runs(&mut self) -> Result<()> {
        for child in &mut self.running {
            if let Some(status) = child.try_wait()? {
                bail!("ended with {status}: {}", self.log());
            }
        }
        Ok(())
    }

    fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Connections of the user whose rights come by a binding.
    pub fn load(&self, connections: usize) -> Result<Load> {
        self.load_of(&self.papers.user, connections)
    }

    /// Connections of another.
    pub fn load_of(&self, client: &Arc<ClientConfig>, connections: usize) -> Result<Load> {
        Load::open(self.address(), client, connections)
    }

    /// Gives the user its rights, and makes the namespace with what pods in it need.
    pub fn prepare(&self) -> Result<()> {
        let mut load = Load::open(self.address(), &self.papers.admin, 1)?;
        let bodies = [
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                r#"{"metadata":{"name":"bench"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"User","name":"bench","apiGroup":"rbac.authorization.k8s.io"}]}"#
                    .to_owned(),
            ),
            ("/api/v1/namespaces", format!(r#"{{"metadata":{{"name":"{NAMESPACE}"}}}}"#)),
            (
                "/api/v1/namespaces/bench/serviceaccounts",
                r#"{"metadata":{"name":"default"}}"#.to_owned(),
            ),
        ];
        for (path, body) in bodies {
            let (status, answer) = load.ask(&load::post(path, &body), LIMIT)?;
            let answer = String::from_utf8_lossy(&answer);
            ensure!(status == 201, "POST {path}: {status} {answer}");
        }
        Ok(())
    }

    fn sum<T: std::iter::Sum<T>>(&self, of: fn(u32) -> Result<T>) -> Result<T> {
        self.running.iter().map(|child| of(child.id())).sum()
    }

    /// The processor time of its processes, in seconds.
    pub fn cpu(&self) -> Result<f64> {
        Ok(self.sum(kernel::cpu_ticks)? as f64 / 100.0)
    }

    /// The memory of its processes, as the kernel shares it among those that use it, in bytes.
    pub fn memory(&self) -> Result<f64> {
        let pss = |pid| kernel::memory(pid).map(|(pss, _)| pss);
        Ok(self.sum(pss)? as f64)
    }

    /// Lets its processes run, or not, so that it takes no time from the other.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        for child in &self.running {
            let pid = Pid::from_raw(i32::try_from(child.id())?).context("a pid is not 0")?;
            kill_process(pid, signal)?;
        }
        Ok(())
    }

    /// Ends its processes, the API server first.
    pub fn stop(&mut self) -> Result<()> {
        while let Some(mut child) = self.running.pop() {
            let pid = Pid::from_raw(i32::try_from(child.id())?).context("a pid is not 0")?;
            kill_process(pid, Signal::CONT)?;
            kill_process(pid, Signal::TERM)?;
            let begun = Instant::now();
            while child.try_wait()?.is_none() {
                if begun.elapsed() > LIMIT {
                    child.kill()?;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        for child in &mut self.running {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
