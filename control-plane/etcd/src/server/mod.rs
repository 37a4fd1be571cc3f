//! `etcd` as a server: the v3 API over gRPC and JSON, of a member of a replicated store.

pub(crate) mod accept;
mod auth;
mod bolt;
mod calls;
mod cluster;
mod convert;
mod election;
mod failure;
mod gateway;
mod health;
mod http;
mod jwt;
mod kv;
mod leaderless;
mod lease;
mod lock;
mod maintenance;
mod metrics;
mod order;
mod reflection;
mod snapshot;
mod unary;
mod watch;
mod who;

use crate::{
    Engine, RangeRequest, RangeResponse, Revision, Store,
    replica::{
        Alarm, Replica,
        auth::{Auth, Who},
    },
};
use calls::Calls;
use component::Env;
use etcd_proto::etcdserverpb::ResponseHeader;
use failure::{Refusal, failed, status};
use metrics::Counters;
use std::{sync::Arc, time::Duration};
use tonic::Status;
use who::Credentials;

pub use gateway::GatewayError;
pub use http::Listener;
pub use http2::Limits;
pub use jwt::{Jwt, Tokens, TokensError};
pub use snapshot::Snapshot;

/// The release of etcd whose API this is.
pub const VERSION: &str = "3.5.21";

/// What clients may ask.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes in use at which writes are refused; 0: no bound.
    pub quota: u64,
    /// The largest request, in bytes.
    pub max_request_bytes: usize,
    /// The most operations of a transaction.
    pub max_txn_ops: usize,
    /// How often a watch that asked for it is told how far it is.
    pub progress_interval: Duration,
    /// What tokens users get.
    pub tokens: Tokens,
    /// How much work it is to hash a password: so many doublings.
    pub bcrypt_cost: u32,
    /// Whether who shows a certificate is the user that it names.
    pub client_names: bool,
    /// What a client may do on a connection.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            quota: 0,
            max_request_bytes: 3 << 19,
            max_txn_ops: 128,
            progress_interval: Duration::from_secs(600),
            tokens: Tokens::Simple,
            bcrypt_cost: 10,
            client_names: false,
            limits: Limits::default(),
        }
    }
}

/// A member, as clients see it.
#[derive(Clone)]
pub struct Member(Arc<Inner>);

struct Inner {
    replica: Replica,
    settings: Settings,
    env: Env,
    counters: Counters,
    calls: Arc<Calls>,
}

impl Member {
    /// What speaks for `replica`.
    pub fn new(replica: Replica, settings: Settings, env: Env) -> Self {
        Self(Arc::new(Inner {
            replica,
            settings,
            env,
            counters: Counters::default(),
            calls: Arc::default(),
        }))
    }

    /// The engine, as far as it has come on this member.
    fn engine(&self) -> Arc<Engine> {
        self.0.replica.engine()
    }

    fn replica(&self) -> &Replica {
        &self.0.replica
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What there is now, whichever member wrote it, if who asks may know.
    async fn range_now(&self, by: &Credentials, request: RangeRequest) -> Result<RangeResponse, Status> {
        self.replica().linearizable().await.map_err(failed)?;
        self.range_here(by, request).await
    }

    /// What there is on this member, if who asks may know.
    async fn range_here(&self, by: &Credentials, request: RangeRequest) -> Result<RangeResponse, Status> {
        let judge = |auth: &Auth, who: &Who| auth.may_read(who, &request.start, &request.end);
        let who = self.judged(by, judge).await?;
        let found = self.engine().range(request).await.map_err(status)?;
        self.still(&who)?;
        Ok(found)
    }

    /// The head of an answer as of `revision`.
    fn header(&self, revision: Revision) -> Option<ResponseHeader> {
        let identity = self.replica().identity();
        Some(ResponseHeader {
            cluster_id: identity.cluster,
            member_id: identity.member,
            revision: revision as i64,
            raft_term: self.replica().view().term,
        })
    }

    /// The head of an answer as of now.
    fn header_now(&self) -> Option<ResponseHeader> {
        self.header(self.engine().visible())
    }

    /// Whether there is room for what grows, as far as is known.
    fn has_room(&self) -> bool {
        let quota = self.settings().quota;
        !self.replica().is_raised(Alarm::NoSpace) && (quota == 0 || self.engine().live_bytes() <= quota)
    }

    /// Refuses what grows when the bound is reached, until the alarm is taken back.
    async fn room(&self) -> Result<(), Status> {
        let (quota, replica) = (self.settings().quota, self.replica());
        if self.has_room() {
            return Ok(());
        }
        if replica.is_raised(Alarm::NoSpace) {
            return Err(Refusal::NoSpace.into());
        }
        tracing::warn!(
            quota,
            "the quota is reached: writes are refused until the alarm is disarmed"
        );
        let me = replica.identity().member;
        replica
            .set_alarm(me, Alarm::NoSpace, true)
            .await
            .map_err(failed)?;
        Err(Refusal::NoSpace.into())
    }
}
