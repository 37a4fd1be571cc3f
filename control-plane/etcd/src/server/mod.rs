//! `etcd` as a server: the v3 API over gRPC and JSON, of one member, on our engine.

pub(crate) mod accept;
mod bolt;
mod cluster;
mod convert;
mod election;
mod failure;
mod gateway;
mod health;
mod http;
mod kv;
mod lease;
mod lock;
mod maintenance;
mod metrics;
mod order;
mod snapshot;
mod watch;

use crate::{Engine, Revision};
use component::Env;
use etcd_proto::etcdserverpb::ResponseHeader;
use metrics::Counters;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

pub use gateway::GatewayError;
pub use http::Listener;

/// The release of etcd whose API this is.
pub const VERSION: &str = "3.5.21";

/// What a member is told of itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Where other members would reach it.
    pub peer_urls: Vec<String>,
    /// What sets one cluster of one name apart from others.
    pub token: String,
    /// Bytes in use at which writes are refused; 0: no bound.
    pub quota: u64,
    /// The largest request, in bytes.
    pub max_request_bytes: usize,
    /// The most operations of a transaction.
    pub max_txn_ops: usize,
    /// How often a watch that asked for it is told how far it is.
    pub progress_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            client_urls: vec!["http://localhost:2379".to_owned()],
            peer_urls: vec!["http://localhost:2380".to_owned()],
            token: "etcd-cluster".to_owned(),
            quota: 0,
            max_request_bytes: 3 << 19,
            max_txn_ops: 128,
            progress_interval: Duration::from_secs(600),
        }
    }
}

/// A member, and the whole of its cluster.
#[derive(Clone)]
pub struct Member(Arc<Inner>);

struct Inner {
    engine: Arc<Engine>,
    settings: Settings,
    id: u64,
    cluster: u64,
    env: Env,
    no_space: AtomicBool,
    counters: Counters,
}

impl Member {
    /// A member that keeps everything in `engine`, whose empty revision should be 1.
    pub fn new(engine: Arc<Engine>, settings: Settings, env: Env) -> Self {
        let id = number(&[settings.peer_urls.join(",").as_str(), &settings.token]);
        let cluster = number(&[&settings.token, &id.to_string()]);
        Self(Arc::new(Inner {
            engine,
            settings,
            id,
            cluster,
            env,
            no_space: AtomicBool::new(false),
            counters: Counters::default(),
        }))
    }

    fn engine(&self) -> &Engine {
        &self.0.engine
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The head of an answer as of `revision`.
    fn header(&self, revision: Revision) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            cluster_id: self.0.cluster,
            member_id: self.0.id,
            revision: revision as i64,
            raft_term: 2,
        })
    }

    /// The head of an answer as of now.
    fn header_now(&self) -> Option<ResponseHeader> {
        self.header(self.engine().visible())
    }

    /// Refuses what grows when the bound is reached, until the alarm is taken back.
    fn room(&self) -> Result<(), failure::Refusal> {
        let quota = self.settings().quota;
        if quota == 0 {
            return Ok(());
        }
        if self.engine().live_bytes() > quota && !self.0.no_space.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                quota,
                "the quota is reached: writes are refused until the alarm is disarmed"
            );
        }
        if self.0.no_space.load(Ordering::Relaxed) {
            return Err(failure::Refusal::NoSpace);
        }
        Ok(())
    }
}

/// A number of some words (FNV-1a), the same at each start.
fn number(words: &[&str]) -> u64 {
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
