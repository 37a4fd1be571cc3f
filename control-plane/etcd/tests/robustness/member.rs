//! A member in a process of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::disk::{Fault, folders, sign};
use component::Env;
use etcd::replica::{self, Replica, peer::PeerListener};
use etcd::server::{self, Listener};
use rustix::process::{Pid, Signal};
use tokio::net::TcpListener;

/// Says to a process which member it is.
pub const PLACE: &str = "ROBUSTNESS_MEMBER";
const FOLDER: &str = "ROBUSTNESS_FOLDER";
const CLUSTER: u64 = 3;
const PEERS: u16 = 2380;
/// The group of a member's process, by which the cuts know its packets.
pub const GROUP: u64 = 2000;

pub fn address(place: u64) -> String {
    format!("127.0.0.{}", place + 1)
}

pub fn url(place: u64) -> String {
    format!("http://{}:2379", address(place))
}

fn peer_url(place: u64) -> String {
    format!("http://{}:{PEERS}", address(place))
}

/// Serves until the process is killed.
pub fn run(place: u64) {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let env = Env::system();
        let name = |place: u64| format!("m{place}");
        let settings = replica::Settings {
            name: name(place),
            client_urls: vec![url(place)],
            peer_urls: vec![peer_url(place)],
            initial_cluster: (0..CLUSTER).map(|other| (name(other), peer_url(other))).collect(),
            heartbeat: Duration::from_millis(30),
            election: Duration::from_millis(300),
            folders: folders(folder.join(name(place))),
            ..replica::Settings::new(folder.join(name(place)))
        };
        let peers = TcpListener::bind((address(place), PEERS)).await.unwrap();
        let clients = TcpListener::bind((address(place), 2379)).await.unwrap();
        let (serving, opening) = PeerListener::ahead(&settings, false, &env);
        env.tasks.spawn("peers", serving.serve(peers));
        let replica = Replica::open(settings, env.clone()).await.unwrap();
        opening.done(replica.clone());
        let member = server::Member::new(replica.clone(), server::Settings::default(), env.clone());
        let serving = Listener::new(member, None, env.clone()).unwrap();
        env.tasks.spawn("etcd", serving.serve(clients));
        panic!("the member failed: {}", replica.failed().await);
    });
}

/// A member's process, as the lab sees it.
pub struct Process {
    place: u64,
    folder: PathBuf,
    child: Child,
}

impl Process {
    pub fn start(place: u64, folder: PathBuf) -> Self {
        let child = start(place, &folder);
        Self { place, folder, child }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn restart(&mut self) {
        self.child = start(self.place, &self.folder);
    }

    /// Something is wrong with its disk from now on, or no more.
    pub fn disk(&self, fault: Fault, wrong: bool) {
        let sign = sign(&self.folder.join(format!("m{}", self.place)), fault);
        match wrong {
            true => std::fs::write(sign, "").unwrap(),
            false => std::fs::remove_file(sign).unwrap(),
        }
    }

    /// Fails if it ended by itself.
    pub fn still_runs(&mut self) {
        let ended = self.child.try_wait().unwrap();
        let log = std::fs::read_to_string(self.folder.join(format!("m{}.log", self.place)));
        assert!(ended.is_none(), "member {} ended:\n{}", self.place, log.unwrap());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(place: u64, folder: &std::path::Path) -> Child {
    use std::os::unix::process::CommandExt as _;
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join(format!("m{place}.log")))
        .unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["a_member", "--exact", "--nocapture"])
        .env(PLACE, place.to_string())
        .env(FOLDER, folder)
        .gid(u32::try_from(GROUP + place).unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}
