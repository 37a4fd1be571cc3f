//! An etcd to talk to: ours in this process, or Debian's.

use bytes::Bytes;
use component::Env;
use etcd::{
    Durability, Endpoints, Error, KeyValue, Op, RangeRequest, Remote, Store, TxnOutcome, TxnRequest,
    WatchItem,
    replica::{self, Replica},
    server::{Listener, Member, Settings},
};
use futures::{StreamExt, stream::BoxStream};
use std::{
    io::Read as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpListener;

pub const LIMIT: Duration = Duration::from_secs(30);

/// Our server of one member, as long as this lives.
pub struct Ours {
    pub url: String,
    pub replica: Replica,
    env: Env,
    _dir: tempfile::TempDir,
}

impl Ours {
    pub async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_with(change, None).await
    }

    pub async fn start_with(
        change: impl FnOnce(&mut Settings),
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::system();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let member = replica::Settings {
            client_urls: vec![url.clone()],
            ..replica::Settings::new(dir.path())
        };
        let replica = Replica::open(member, env.clone()).await.unwrap();
        let mut settings = Settings::default();
        change(&mut settings);
        let member = Member::new(replica.clone(), settings, env.clone());
        let serving = Listener::new(member, tls, env.clone()).unwrap();
        env.tasks.spawn("etcd", serving.serve(listener));
        Self {
            url,
            replica,
            env,
            _dir: dir,
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.env.tasks.stop();
    }
}

/// Files of a folder: a CA, and a certificate of it with its key.
pub struct Tls {
    pub dir: PathBuf,
    pub name: &'static str,
}

impl Tls {
    /// The CA, the certificate and the key.
    pub fn files(&self) -> [String; 3] {
        let own = |ending| format!("{}.{ending}", self.name);
        let file = |name: String| self.dir.join(name).display().to_string();
        [file("ca.crt".to_owned()), file(own("crt")), file(own("key"))]
    }
}

/// Debian's etcd, as long as this lives.
pub struct Theirs {
    pub url: String,
    /// Where the other members would reach it.
    pub peer_url: String,
    dir: tempfile::TempDir,
    ports: (u16, u16),
    child: Child,
}

pub fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

fn start_theirs(dir: &std::path::Path, (client, peer): (u16, u16), tls: Option<&Tls>) -> Child {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (client, peer) = (
        format!("{scheme}://127.0.0.1:{client}"),
        format!("http://127.0.0.1:{peer}"),
    );
    let flags = tls.into_iter().flat_map(|tls| {
        let [ca, cert, key] = tls.files();
        [
            "--client-cert-auth".to_owned(),
            format!("--trusted-ca-file={ca}"),
            format!("--cert-file={cert}"),
            format!("--key-file={key}"),
        ]
    });
    Command::new("etcd")
        .args(flags)
        .arg(format!("--data-dir={}", dir.join("data").display()))
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.join("log")).unwrap())
        .spawn()
        .expect("etcd of Debian's package etcd-server")
}

impl Theirs {
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    /// One that serves clients by TLS alone, who must show a certificate of its CA.
    pub async fn start_secure(tls: &Tls) -> Self {
        let this = Self::begin(tempfile::tempdir().unwrap(), Some(tls));
        let listens = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", this.ports.0))
                .await
                .is_err()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let listens = tokio::time::timeout(LIMIT, listens).await;
        listens.expect("waited for etcd to listen");
        this
    }

    fn begin(dir: tempfile::TempDir, tls: Option<&Tls>) -> Self {
        let ports = (free_port(), free_port());
        let scheme = if tls.is_some() { "https" } else { "http" };
        Self {
            url: format!("{scheme}://127.0.0.1:{}", ports.0),
            peer_url: format!("http://127.0.0.1:{}", ports.1),
            child: start_theirs(dir.path(), ports, tls),
            dir,
            ports,
        }
    }

    async fn start_in(dir: tempfile::TempDir) -> Self {
        let this = Self::begin(dir, None);
        this.answers().await;
        this
    }

    /// Over the folder `data` in `dir`.
    pub async fn start_over(dir: &tempfile::TempDir) -> Self {
        let own = tempfile::tempdir().unwrap();
        std::fs::rename(dir.path().join("data"), own.path().join("data")).unwrap();
        Self::start_in(own).await
    }

    async fn answers(&self) {
        let store = remote(&[&self.url]);
        let waiting = async {
            while store.revision().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let told = tokio::time::timeout(LIMIT, waiting).await;
        let log = || std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        assert!(told.is_ok(), "etcd did not answer:\n{}", log());
    }

    /// Kills it, as kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again over what it had.
    pub async fn restart(&mut self) {
        self.child = start_theirs(self.dir.path(), self.ports, None);
        self.answers().await;
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn remote(urls: &[&str]) -> Arc<Remote> {
    let endpoints = Endpoints {
        servers: urls.iter().map(|url| (*url).to_owned()).collect(),
        ..Endpoints::default()
    };
    Remote::new(&endpoints, Env::system()).unwrap()
}

/// What etcd's command prints.
pub async fn ctl(url: &str, args: &[&str]) -> Said {
    ctl_with(url, args, "").await
}

/// What a command printed.
#[derive(Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
}

pub fn command(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new("etcdctl");
    command
        .env("ETCDCTL_API", "3")
        .arg(format!("--endpoints={url}"))
        .args(args);
    command
}

pub async fn ctl_with(url: &str, args: &[&str], input: &str) -> Said {
    let mut command = tokio::process::Command::from(command(url, args));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("etcdctl of Debian's package etcd-client");
    let mut stdin = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, input.as_bytes())
        .await
        .unwrap();
    drop(stdin);
    let done = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    let done = done
        .unwrap_or_else(|_| panic!("etcdctl {args:?} did not end"))
        .unwrap();
    Said {
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
        code: done.status.code(),
    }
}

/// A command whose output is read while it runs.
pub struct Running {
    child: Child,
    seen: Arc<std::sync::Mutex<String>>,
}

impl Running {
    pub fn start(url: &str, args: &[&str]) -> Self {
        let mut child = command(url, args).stdout(Stdio::piped()).spawn().unwrap();
        let seen = Arc::new(std::sync::Mutex::new(String::new()));
        let (mut out, into) = (child.stdout.take().unwrap(), seen.clone());
        std::thread::Builder::new()
            .spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = out.read(&mut bytes) {
                    into.lock()
                        .unwrap()
                        .push_str(&String::from_utf8_lossy(&bytes[..read]));
                }
            })
            .unwrap();
        Self { child, seen }
    }

    /// What it printed, once that contains `text`.
    pub async fn until(&self, text: &str) -> String {
        let waiting = async {
            loop {
                let seen = self.seen.lock().unwrap().clone();
                if seen.contains(text) {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(LIMIT, waiting).await {
            Ok(seen) => seen,
            Err(_) => panic!("waited for {text:?}; it said:\n{}", self.seen.lock().unwrap()),
        }
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }

    pub fn end(&mut self) {
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn write(
    store: &dyn Store,
    key: &str,
    expect: Option<u64>,
    value: &str,
) -> Result<TxnOutcome, Error> {
    let write = TxnRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        expect,
        op: Op::Put {
            value: Bytes::copy_from_slice(value.as_bytes()),
            lease: 0,
        },
        durability: Durability::Durable,
    };
    store.txn(write).await
}

pub async fn put(store: &dyn Store, key: &str, value: &str) -> u64 {
    match write(store, key, None, value).await {
        Ok(TxnOutcome::Done(revision)) => revision,
        other => panic!("{other:?}"),
    }
}

pub async fn get(store: &dyn Store, key: &str) -> Option<KeyValue> {
    let read = RangeRequest {
        start: Bytes::copy_from_slice(key.as_bytes()),
        ..RangeRequest::default()
    };
    store.range(read).await.unwrap().kvs.into_iter().next()
}

pub type Watch = BoxStream<'static, Result<WatchItem, Error>>;

pub async fn next(watch: &mut Watch) -> Result<WatchItem, Error> {
    tokio::time::timeout(LIMIT, watch.next())
        .await
        .expect("waited for an item of a watch")
        .expect("the watch goes on")
}
