//! How a member is set up.

use super::{Member, StartError, identity::member_id};
use crate::{Disk, Files, Options, state::Command};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// TLS towards the other members.
#[derive(Clone)]
pub struct PeerTls {
    /// When they are called.
    pub client: Arc<rustls::ClientConfig>,
    /// When they call; `None`: as plain text.
    pub server: Arc<rustls::ServerConfig>,
}

/// Gives a folder of a member's data.
pub type Folders = Arc<dyn Fn(PathBuf) -> io::Result<Arc<dyn Files>> + Send + Sync>;

/// How a member is set up.
#[derive(Clone)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Where its data is.
    pub data_dir: PathBuf,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Where the others reach it.
    pub peer_urls: Vec<String>,
    /// The names of the first members with their peer URLs; one with several is there several times.
    pub initial_cluster: Vec<(String, String)>,
    /// Whether it joins a cluster that is there.
    pub existing: bool,
    /// What sets the cluster apart from others.
    pub token: String,
    /// Between two heartbeats of the leader.
    pub heartbeat: Duration,
    /// Without a heartbeat for so long there is an election.
    pub election: Duration,
    /// Whether changes of the members are refused that would cost the majority.
    pub strict: bool,
    /// How long a member must be reached before it counts as healthy.
    pub health: Duration,
    /// How many learners there may be.
    pub max_learners: usize,
    /// Makes this member the only one, whatever its log says.
    pub force_new: bool,
    /// Compares what it holds with the others before it starts.
    pub check_at_start: bool,
    /// How often the leader compares what the members hold; 0: never.
    pub check_every: Duration,
    /// How long a simple token of a user lives that is not used.
    pub token_ttl: Duration,
    /// TLS towards the other members.
    pub tls: Option<PeerTls>,
    /// How the store is kept.
    pub store: Options,
    /// Gives the folders of its data, of the machine's file system unless it is another one.
    pub folders: Folders,
}

impl Settings {
    /// The settings of a cluster of one that keeps its data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let url = "http://localhost:2380".to_owned();
        Self {
            name: "default".to_owned(),
            data_dir: data_dir.into(),
            client_urls: vec!["http://localhost:2379".to_owned()],
            initial_cluster: vec![("default".to_owned(), url.clone())],
            peer_urls: vec![url],
            existing: false,
            token: "etcd-cluster".to_owned(),
            heartbeat: Duration::from_millis(100),
            election: Duration::from_millis(1000),
            strict: true,
            health: Duration::from_secs(5),
            max_learners: 1,
            force_new: false,
            check_at_start: false,
            check_every: Duration::ZERO,
            token_ttl: Duration::from_secs(300),
            tls: None,
            store: Options {
                replicated: true,
                durable_leases: true,
                max_value_bytes: usize::MAX,
                first_revision: 1,
                ..Options::default()
            },
            folders: Arc::new(|dir| Ok(Arc::new(Disk::new(dir)?))),
        }
    }

    /// The first members, by name.
    pub(super) fn first_members(&self) -> Result<Vec<Member>, StartError> {
        let mut by_name: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, url) in &self.initial_cluster {
            by_name.entry(name).or_default().push(url.clone());
        }
        let Some(mine) = by_name.get(self.name.as_str()) else {
            return Err(StartError::Members(format!(
                "couldn't find local name {:?} in the initial cluster configuration",
                self.name
            )));
        };
        let (said, told): (BTreeSet<_>, BTreeSet<_>) =
            (mine.iter().collect(), self.peer_urls.iter().collect());
        if said != told {
            return Err(StartError::Members(format!(
                "--initial-cluster has {}={} but missing from --initial-advertise-peer-urls={}",
                self.name,
                mine.join(","),
                self.peer_urls.join(",")
            )));
        }
        let members = by_name.into_values().map(|mut peer_urls| {
            peer_urls.sort();
            Member {
                id: member_id(&peer_urls, &self.token, None),
                peer_urls,
                ..Member::default()
            }
        });
        let members: Vec<Member> = members.collect();
        let ids: BTreeSet<u64> = members.iter().map(|member| member.id).collect();
        if ids.len() < members.len() {
            return Err(StartError::Members(
                "two members of the initial cluster have the same peer URLs".to_owned(),
            ));
        }
        Ok(members)
    }

    /// What the table beside the key space says of the first members: a store that has it begins their cluster.
    ///
    /// # Errors
    /// The members that are given do not fit.
    pub fn founding_table(&self) -> Result<Vec<(Bytes, Bytes)>, StartError> {
        let entries = self
            .first_members()?
            .into_iter()
            .filter_map(|member| match member.command() {
                Command::Meta { key, value } => Some((key, value?)),
                _ => None,
            });
        Ok(entries.collect())
    }
}
