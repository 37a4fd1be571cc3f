//! The store of several members that agree on every write by Raft; of one as well, by the same code.
//!
//! A write is a proposal: [`Replica::submit`] gives it to the driver (`node`), Raft puts it into the log (`log`), which
//! `disk` writes and syncs while the next ones gather, the peers (`peer`) get it, and once a majority has it `apply` hands
//! it to the engine of every member in the same order and answers who proposed it. What the engine made durable is
//! dropped from the log. Who is a member is itself said by entries (`members`), and so are alarms.

mod alarms;
mod apply;
pub mod auth;
mod boot;
mod check;
mod codec;
mod disk;
mod failure;
mod identity;
mod lessor;
mod log;
mod members;
mod metrics;
mod node;
mod pack;
pub mod peer;
mod pending;
mod reads;
mod reconfigure;
mod settings;
mod store;
#[cfg(test)]
mod stories;
mod tables;
mod watch;
mod wire;

use crate::{
    Answer, Engine, Error,
    state::Command,
    txn::{Txn, TxnReply, TxnResult},
};
use auth::{Auth, AuthError, Change, Tokens, Who};
use bytes::Bytes;
use codec::{Proposal, Task};
use component::{Env, Tasks};
use node::Input;
use peer::Peers;
use pending::{Pending, Proposed, Reply};
use raft::Role;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, mpsc, oneshot};

pub use alarms::Alarm;
pub use failure::{Failure, StartError};
pub use log::{Identity, LogError};
pub use members::{Member, MemberError, Membership};
pub use metrics::Metrics;
pub use settings::{Folders, PeerTls, Settings};

/// How long a request may take beyond two elections.
const REQUEST: Duration = Duration::from_secs(5);

/// What this member knows of the cluster's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The term.
    pub term: u64,
    /// Who leads; 0: nobody that is known.
    pub leader: u64,
    /// Whether this member leads.
    pub leads: bool,
    /// How often the leader has changed.
    pub changes: u64,
}

/// A member of the replicated store.
#[derive(Clone)]
pub struct Replica(Arc<Inner>);

pub(crate) struct Inner {
    settings: Settings,
    identity: Identity,
    env: Env,
    /// Tasks that end with this member.
    tasks: Tasks,
    engine: RwLock<Arc<Engine>>,
    /// Counts the engines: a snapshot takes the place of one.
    engines: tokio::sync::watch::Sender<u64>,
    members: RwLock<Arc<Membership>>,
    auth: RwLock<Arc<Auth>>,
    tokens: Tokens,
    pending: Pending,
    input: mpsc::Sender<Input>,
    view: tokio::sync::watch::Sender<View>,
    /// This member is the only one and leads: what it has applied is all there is.
    alone: AtomicBool,
    /// Which alarms are raised.
    alarms: std::sync::atomic::AtomicU8,
    /// One snapshot is taken at a time.
    taking: tokio::sync::Mutex<()>,
    applied: AtomicU64,
    committed: AtomicU64,
    peers: Peers,
    /// A lease was granted, or ended.
    leases: Notify,
    /// Why nothing can be written, for now or for ever.
    trouble: Mutex<Option<String>>,
    /// Whether there is a reason.
    is_troubled: AtomicBool,
    /// This member was removed from the cluster.
    removed: tokio::sync::watch::Sender<bool>,
    ended: tokio::sync::watch::Sender<bool>,
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn engine(&self) -> Arc<Engine> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn members(&self) -> Arc<Membership> {
        self.members
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_members(&self, members: Membership) {
        let members = Arc::new(members);
        self.peers.follow(&members);
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members;
    }

    fn auth(&self) -> Arc<Auth> {
        self.auth.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_auth(&self, auth: Auth) {
        *self.auth.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(auth);
    }

    fn metrics(&self) -> &Metrics {
        &self.peers.caller().metrics
    }

    /// Nothing can be written any more.
    fn break_down(&self, why: String) {
        tracing::error!(why, "this member cannot go on");
        self.set_trouble(Some(why));
        self.tasks.stop();
    }

    fn set_trouble(&self, why: Option<String>) {
        let mut trouble = hold(&self.trouble);
        self.is_troubled.store(why.is_some(), Ordering::Release);
        *trouble = why;
    }
}

impl Replica {
    /// The engine with what is applied. Reads of it are as of now on this member: see [`Replica::linearizable`].
    pub fn engine(&self) -> Arc<Engine> {
        self.0.engine()
    }

    /// Who it is.
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    /// How it was set up.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The members, as applied here.
    pub fn members(&self) -> Arc<Membership> {
        self.0.members()
    }

    /// Users and roles, as applied here.
    pub fn auth(&self) -> Arc<Auth> {
        self.0.auth()
    }

    /// Whose simple token it is, if it is still one.
    pub async fn user_of(&self, token: &str) -> Result<String, Failure> {
        let index = auth::index_of(token).ok_or(AuthError::InvalidToken)?;
        if index > self.applied() {
            // It was given by an entry that this member may not have yet.
            self.linearizable().await?;
        }
        Ok(self.0.tokens.user(token).ok_or(AuthError::InvalidToken)?)
    }

    /// Whether this member has no vote.
    pub fn is_learner(&self) -> bool {
        let members = self.0.members();
        members.get(self.0.identity.member).is_some_and(|me| me.learner)
    }

    /// The state of the cluster as this member sees it.
    pub fn view(&self) -> View {
        *self.0.view.borrow()
    }

    /// The state of the cluster, told whenever it changes.
    pub fn watch_view(&self) -> tokio::sync::watch::Receiver<View> {
        self.0.view.subscribe()
    }

    /// What is counted of this member's part in the cluster.
    pub fn metrics(&self) -> &Metrics {
        self.0.metrics()
    }

    /// How many proposals wait to be applied.
    pub fn pending(&self) -> u64 {
        self.0.pending.len() as u64
    }

    /// The other members that are reached.
    pub fn reached(&self) -> Vec<u64> {
        let members = self.members();
        let others = members.iter().map(|member| member.id);
        others.filter(|id| self.0.peers.since(*id).is_some()).collect()
    }

    /// The index up to which the log is applied here.
    pub fn applied(&self) -> u64 {
        self.0.applied.load(Ordering::Acquire)
    }

    /// The index up to which the log is known to be committed here.
    pub fn committed(&self) -> u64 {
        self.0.committed.load(Ordering::Acquire)
    }

    /// Why nothing can be written, for now or for ever.
    pub fn trouble(&self) -> Option<String> {
        let is_troubled = self.0.is_troubled.load(Ordering::Acquire);
        is_troubled.then(|| hold(&self.0.trouble).clone()).flatten()
    }

    /// Resolves when this member cannot go on, with the reason.
    pub async fn failed(&self) -> String {
        let (mut removed, mut ended) = (self.0.removed.subscribe(), self.0.ended.subscribe());
        let reason = tokio::select! {
            biased;
            Ok(_) = removed.wait_for(|removed| *removed) => {
                Some(MemberError::Removed.to_string())
            }
            Ok(_) = ended.wait_for(|ended| *ended) => self.trouble(),
            else => None,
        };
        match reason {
            Some(reason) => reason,
            // It ended as it was told to.
            None => std::future::pending().await,
        }
    }

    /// Ends this member's part and closes its store.
    pub async fn close(&self) {
        self.0.tasks.stop();
        let _ = self.0.ended.subscribe().wait_for(|ended| *ended).await;
        self.0.engine().close().await;
    }

    /// How long a request may take.
    fn limit(&self) -> Duration {
        REQUEST + self.0.settings.election * 2
    }

    /// Does a command on every member; its answer is that of this one.
    pub async fn submit(&self, command: Command) -> Result<Answer, Failure> {
        self.propose(Task::Do(command)).await
    }

    /// The same, if `who` may.
    pub async fn submit_as(&self, who: &Who, command: Command) -> Result<Answer, Failure> {
        self.propose(Task::DoAs(who.clone(), command)).await
    }

    /// Changes users and roles, if `who` may.
    pub async fn change(&self, who: &Who, change: Change) -> Result<(), Failure> {
        self.propose(Task::Auth(who.clone(), change)).await.map(drop)
    }

    /// Gives a user a simple token, which all members know; its password was checked.
    pub async fn give_token(&self, user: &str, prefix: &str) -> Result<String, Failure> {
        let new = auth::NewToken {
            user: user.to_owned(),
            prefix: prefix.to_owned(),
        };
        self.change(&Who::default(), Change::Token(new)).await?;
        Ok(self.0.tokens.beginning(prefix).ok_or(AuthError::InvalidToken)?)
    }

    /// Does a transaction, if `who` may.
    pub async fn transact_as(&self, who: &Who, txn: Txn) -> Result<TxnReply, Failure> {
        txn.check()?;
        transacted(self.submit_as(who, txn.into_command()).await)
    }

    /// The same without waiting: `answered` is called by whoever knows what became of it, usually by the task that applies
    /// for all, after everything that it applies with this is applied. So it has to be quick, and must not wait for anything
    /// of this member. It is called once, whatever happens; [`Failure::Stopped`] if the member ends before it knows.
    pub fn transact_then(
        &self,
        who: &Who,
        txn: Txn,
        answered: impl FnOnce(Result<TxnReply, Failure>) + Send + 'static,
    ) {
        if let Err(error) = txn.check() {
            return answered(Err(error.into()));
        }
        let task = Task::DoAs(who.clone(), txn.into_command());
        let reply = Reply::new(move |answer| answered(transacted(answer)));
        self.begin(task, Proposed::Data, reply);
    }

    /// Does a command unless another member leads, or this one in another term.
    async fn submit_in(&self, command: Command, term: u64) -> Result<Answer, Failure> {
        self.propose_by(Task::Do(command), move |data| Proposed::DataIn(data, term))
            .await
    }

    async fn propose(&self, task: Task) -> Result<Answer, Failure> {
        self.propose_by(task, Proposed::Data).await
    }

    async fn propose_by(&self, task: Task, by: impl FnOnce(Bytes) -> Proposed) -> Result<Answer, Failure> {
        self.waited(|reply| self.begin(task, by, reply)).await
    }

    /// Proposes something; gives its number, if it is on its way.
    fn begin(&self, task: Task, by: impl FnOnce(Bytes) -> Proposed, reply: Reply) -> Option<u64> {
        let proposal = Proposal { id: 0, task };
        let Some(data) = proposal.encode() else {
            let why = "only one server alone does that".to_owned();
            reply.tell(Err(Error::Unavailable(why).into()));
            return None;
        };
        self.settle(Some(proposal.task), reply, |id| by(Proposal::number(data, id)))
    }

    /// Proposes something of which `reply` is told what becomes.
    fn settle(&self, task: Option<Task>, reply: Reply, what: impl FnOnce(u64) -> Proposed) -> Option<u64> {
        if let Some(why) = self.trouble() {
            reply.tell(Err(Error::Unavailable(why).into()));
            return None;
        }
        self.0.pending.add(self.0.env.clock.now(), task, reply, what)
    }

    /// Waits for what becomes of a proposal. It is forgotten when nobody waits any more.
    async fn waited(&self, begin: impl FnOnce(Reply) -> Option<u64>) -> Result<Answer, Failure> {
        let (answer, answered) = oneshot::channel();
        let id = begin(Reply::new(move |told| {
            // Who asked may have gone.
            let _ = answer.send(told);
        }));
        let _forgetting = id.map(|id| Forgetting(&self.0.pending, id));
        answered.await.unwrap_or(Err(Failure::Stopped))
    }

    /// Waits until this member has applied all that was acknowledged by anybody before now.
    pub async fn linearizable(&self) -> Result<(), Failure> {
        if self.0.alone.load(Ordering::Acquire) {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        let asked = async {
            let sent = self.0.input.send(Input::Read(answer)).await;
            sent.map_err(|_| Failure::Stopped)?;
            answered.await.unwrap_or(Err(Failure::Stopped))
        };
        match self.0.env.clock.timeout(self.limit(), asked).await {
            Some(answered) => answered,
            None => Err(Failure::TimedOut),
        }
    }

    /// How Raft is.
    pub async fn status(&self) -> Result<raft::Status, Failure> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            let sent = self.0.input.send(Input::Status(answer)).await;
            sent.map_err(|_| Failure::Stopped)?;
            answered.await.map_err(|_| Failure::Stopped)
        };
        match self.0.env.clock.timeout(self.limit(), asked).await {
            Some(answered) => answered,
            None => Err(Failure::TimedOut),
        }
    }

    /// The status on the leader, if that is this member.
    async fn leading(&self) -> Result<raft::Status, Failure> {
        let status = self.status().await?;
        match status.role {
            Role::Leader => Ok(status),
            _ => Err(Failure::NotLeader),
        }
    }
}

/// What became of a transaction.
fn transacted(answer: Result<Answer, Failure>) -> Result<TxnReply, Failure> {
    match answer? {
        Answer::Txn(reply) => Ok(reply),
        // It was a put alone.
        Answer::Done(revision) => Ok(TxnReply {
            revision,
            succeeded: true,
            results: vec![TxnResult::Put(None)],
        }),
        answer => Err(Error::Unknown(format!("the store answered {answer:?}")).into()),
    }
}

/// Forgets a proposal when nobody waits for it any more.
struct Forgetting<'a>(&'a Pending, u64);

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.0.take(self.1);
    }
}
