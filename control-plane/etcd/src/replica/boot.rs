//! Opening a member: as the first of a cluster, as one that joins, or again.
//!
//! The data directory holds `store` (the engine's) and `raft` (the log); `store.next` is a snapshot on its way and
//! `store.old` what it took the place of. A `store` without a log is one that a single server wrote alone: it becomes the
//! first member of a cluster.

use super::{
    Inner, Member, Membership, Replica, Settings, StartError, View,
    apply::{self, Applier},
    auth::Tokens,
    check,
    codec::{Proposal, Task},
    disk::{self, Disk},
    identity::cluster_id,
    lessor,
    log::{self, Identity, Log, Place, SEGMENT, Stored},
    node::{Driver, Ends},
    peer::{CallError, Caller, Peers, members_of, send_snapshots},
    pending::{self, Pending},
    tables::Tables,
};
use crate::{Committed, Engine, files::Files, state::Command};
use component::{Env, Tasks};
use futures::future::join_all;
use raft::{Config, Entry, HardState, Payload, Raft};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock, atomic::AtomicU64},
    time::Duration,
};
use tokio::sync::{Notify, mpsc};

/// Inputs that wait for the driver, at most.
const INPUTS: usize = 8192;
/// How long the parts of a member may take to end.
const ENDING: Duration = Duration::from_secs(10);
/// How long to wait before the others are asked again, and before the name is told again.
const RETRY: Duration = Duration::from_millis(500);

/// How often others are asked that are starting themselves.
const STARTING: u32 = 20;

/// What a member starts from.
struct Start {
    log: Log,
    hard: HardState,
    base: Place,
    entries: Vec<Entry>,
    /// The members as others told them, of one that joins.
    told: Option<Membership>,
}

fn folder(settings: &Settings, dir: PathBuf) -> Result<Arc<dyn Files>, StartError> {
    (settings.folders)(dir.clone()).map_err(io_error(&dir))
}

fn io_error(place: &Path) -> impl FnOnce(io::Error) -> StartError {
    let place = place.display().to_string();
    move |source| StartError::Io { place, source }
}

impl Replica {
    /// Opens the member of `settings`. It ends with [`Replica::close`], or when the tasks of `env` are told to stop.
    pub async fn open(settings: Settings, env: Env) -> Result<Self, StartError> {
        let dir = settings.data_dir.clone();
        finish_swap(&dir).map_err(io_error(&dir))?;
        let files = folder(&settings, dir.join("raft"))?;
        let stored = log::open(files.clone(), SEGMENT)?;
        // The engine ends after what uses it, not with it.
        let apart = Env {
            tasks: Tasks::new(),
            ..env.clone()
        };
        let store = folder(&settings, dir.join("store"))?;
        let engine = Engine::open_in(store, settings.store.clone(), apart.clone())?;
        let caller = Caller::new(
            Identity {
                member: 0,
                cluster: 0,
            },
            settings.tls.clone(),
            apart.tasks.clone(),
        );
        let starting = Starting {
            settings: &settings,
            env: &apart,
            engine: &engine,
            caller: &caller,
        };
        let start = match stored {
            Some((log, stored)) => starting.again(log, stored).await,
            None => starting.anew(files).await,
        };
        match start {
            Ok(start) => run(settings, apart, env, engine, start).await,
            Err(error) => {
                engine.close().await;
                Err(error)
            }
        }
    }
}

struct Starting<'a> {
    settings: &'a Settings,
    env: &'a Env,
    engine: &'a Engine,
    caller: &'a Caller,
}

impl Starting<'_> {
    /// The first members, by name.
    fn first(&self) -> Result<Vec<Member>, StartError> {
        self.settings.first_members()
    }

    fn is_mine(&self, member: &Member) -> bool {
        let said: BTreeSet<_> = member.peer_urls.iter().collect();
        said == self.settings.peer_urls.iter().collect()
    }

    /// There is no log yet.
    async fn anew(&self, files: Arc<dyn Files>) -> Result<Start, StartError> {
        let mut first = self.first()?;
        if self.settings.existing {
            return self.join(files, &first).await;
        }
        first.sort_by_key(|member| member.id);
        let identity = Identity {
            member: first
                .iter()
                .find(|member| self.is_mine(member))
                .map_or(0, |me| me.id),
            cluster: cluster_id(first.iter().map(|member| member.id)),
        };
        self.not_bootstrapped(&first, identity).await?;
        let place = self.found(&first).await?;
        let hard = HardState {
            term: place.1,
            vote: 0,
            commit: place.0,
        };
        let salt = self.env.random.below(1 << 32) as u32;
        let dir = self.settings.data_dir.clone();
        let log = Log::create(files, identity, salt, hard, place, SEGMENT).map_err(io_error(&dir))?;
        tracing::info!(
            member = format!("{:x}", identity.member),
            cluster = format!("{:x}", identity.cluster),
            members = first.len(),
            "a new cluster"
        );
        Ok(Start {
            log,
            hard,
            base: place,
            entries: Vec::new(),
            told: None,
        })
    }

    /// Writes down the first members, as the first entries of all of them; gives the place of the last.
    async fn found(&self, first: &[Member]) -> Result<Place, StartError> {
        let known = Membership::of(&self.engine.meta_all())?;
        let known: Vec<u64> = known.iter().map(|member| member.id).collect();
        let (term, index) = self.engine.applied();
        let ids: Vec<u64> = first.iter().map(|member| member.id).collect();
        if known == ids {
            // It came so far before, and then no further.
            return Ok((index, term));
        }
        if index > 0 && first.len() > 1 {
            return Err(StartError::Members(
                "a store that is there can be the first member of a cluster only: start it alone, then add the others"
                    .to_owned(),
            ));
        }
        if !known.is_empty() && !self.settings.force_new {
            return Err(StartError::Members(
                "the store is that of another cluster; --force-new-cluster makes it a new one".to_owned(),
            ));
        }
        let (term, mut index) = (term.max(1), index);
        let gone = known.iter().filter(|id| !ids.contains(id)).map(|id| removed(*id));
        let entries: Vec<Committed> = first
            .iter()
            .map(Member::command)
            .chain(gone)
            .map(|command| {
                index += 1;
                (term, index, command)
            })
            .collect();
        self.apply(entries).await?;
        Ok((index, term))
    }

    async fn apply(&self, entries: Vec<Committed>) -> Result<(), StartError> {
        for answer in self.engine.apply_committed(entries).await? {
            // What a client's command was refused for, it was told.
            drop(answer);
        }
        self.engine.flush().await?;
        Ok(())
    }

    /// An error if the others run already and know this member.
    async fn not_bootstrapped(&self, first: &[Member], me: Identity) -> Result<(), StartError> {
        let others = self.others(first);
        let asked = others.iter().map(|url| members_of(self.caller, url));
        for (_, members) in join_all(asked).await.into_iter().flatten() {
            let known = members.iter().find(|member| member.id == me.member);
            if known.is_some_and(Member::has_started) {
                return Err(StartError::Members(format!(
                    "member {:x} has already been bootstrapped",
                    me.member
                )));
            }
        }
        Ok(())
    }

    fn others(&self, first: &[Member]) -> Vec<String> {
        let others = first.iter().filter(|member| !self.is_mine(member));
        others.flat_map(|member| member.peer_urls.clone()).collect()
    }

    /// What the members that run say who the members are.
    async fn told(&self, first: &[Member]) -> Result<(u64, Vec<Member>), StartError> {
        for _ in 0..STARTING {
            let mut starting = false;
            for url in self.others(first) {
                match members_of(self.caller, &url).await {
                    Ok((cluster, members)) if !members.is_empty() => return Ok((cluster, members)),
                    Ok(_) => {}
                    Err(CallError::Starting(_)) => starting = true,
                    Err(error) => tracing::warn!(%error, "a member is not reached"),
                }
            }
            if !starting {
                break;
            }
            self.env.clock.sleep(RETRY).await;
        }
        Err(StartError::Members(
            "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs"
                .to_owned(),
        ))
    }

    async fn join(&self, files: Arc<dyn Files>, first: &[Member]) -> Result<Start, StartError> {
        if self.engine.applied().1 > 0 {
            return Err(StartError::Members(
                "the data directory is not empty: a member that joins begins with nothing".to_owned(),
            ));
        }
        let (cluster, members) = self.told(first).await?;
        if members.len() != first.len() {
            return Err(StartError::Members(
                "error validating peerURLs: member count is unequal".to_owned(),
            ));
        }
        let Some(me) = members.iter().find(|member| self.is_mine(member)) else {
            return Err(StartError::Members(format!(
                "error validating peerURLs: unmatched member while checking PeerURLs ({})",
                self.settings.peer_urls.join(",")
            )));
        };
        let identity = Identity {
            member: me.id,
            cluster,
        };
        let salt = self.env.random.below(1 << 32) as u32;
        let hard = HardState::default();
        let dir = self.settings.data_dir.clone();
        let log = Log::create(files, identity, salt, hard, (0, 0), SEGMENT).map_err(io_error(&dir))?;
        tracing::info!(
            member = format!("{:x}", identity.member),
            cluster = format!("{cluster:x}"),
            "joining a cluster"
        );
        Ok(Start {
            log,
            hard,
            base: (0, 0),
            entries: Vec::new(),
            told: Some(members.into_iter().collect()),
        })
    }

    /// There is a log.
    async fn again(&self, mut log: Log, stored: Stored) -> Result<Start, StartError> {
        let (term, index) = self.engine.applied();
        let mut stored = stored;
        let tip = stored.entries.last().map_or(stored.base.0, |last| last.index);
        let installed = stored.installing == Some((index, term));
        // What makes a member the only one is in its store before its log is emptied.
        let was_alone = self.settings.force_new && index > tip;
        if installed || was_alone {
            log.reset((index, term), None)
                .map_err(io_error(&self.settings.data_dir))?;
            (stored.base, stored.entries) = ((index, term), Vec::new());
        } else if index > tip || stored.base.0 > index || stored.hard.commit > tip {
            return Err(StartError::Members(format!(
                "the store and the log of Raft do not belong together: the store ends at {index}, the log holds {} to {tip}, \
                 of which {} were agreed on",
                stored.base.0 + 1,
                stored.hard.commit
            )));
        }
        let mut start = Start {
            log,
            hard: stored.hard,
            base: stored.base,
            entries: stored.entries,
            told: None,
        };
        start.hard.commit = start.hard.commit.max(index);
        start.hard.term = start.hard.term.max(term);
        if self.settings.force_new {
            self.alone(&mut start).await?;
        } else if index == 0 {
            let (_, members) = self.told(&self.first()?).await?;
            start.told = Some(members.into_iter().collect());
        }
        Ok(start)
    }

    /// Makes this member the only one: with all that was agreed on, and nothing that was not.
    async fn alone(&self, start: &mut Start) -> Result<(), StartError> {
        let me = start.log.identity().member;
        let mut tables = Tables::of(&self.engine.meta_all())?;
        let applied = self.engine.applied().1;
        let keys = |lease| self.engine.lease_keys(lease);
        let (mut entries, mut last) = (Vec::new(), start.hard.commit);
        for Entry { term, index, payload } in std::mem::take(&mut start.entries) {
            // What the only voter has is agreed on, of which it does not make a note each time.
            if index > start.hard.commit && !tables.members.is_only_voter(me) {
                break;
            }
            if index <= applied {
                continue;
            }
            last = last.max(index);
            let command = match payload {
                Payload::Empty => Command::Nothing,
                Payload::Data(data) => {
                    let task = Proposal::decode(data)?.task;
                    if tables.looks_at_leases(&task) {
                        self.apply(std::mem::take(&mut entries)).await?;
                    }
                    tables.task(task, &keys).unwrap_or(Command::Nothing)
                }
                Payload::Change(change) => tables.members.change(&change).unwrap_or(Command::Nothing),
            };
            entries.push((term, index, command));
        }
        let members = tables.members;
        let mut index = last;
        let mine = members.get(me).cloned().unwrap_or_default();
        let mine = Member {
            id: me,
            peer_urls: self.settings.peer_urls.clone(),
            learner: false,
            ..mine
        };
        let others = members
            .iter()
            .filter(|member| member.id != me)
            .map(|member| removed(member.id));
        for command in others.chain([mine.command()]) {
            index += 1;
            entries.push((start.hard.term, index, command));
        }
        self.apply(entries).await?;
        let place = (index, start.hard.term);
        start.hard.commit = index;
        start.base = place;
        tracing::warn!(
            member = format!("{me:x}"),
            "the only member of its cluster from now on"
        );
        start
            .log
            .reset(place, Some(start.hard))
            .map_err(io_error(&self.settings.data_dir))
    }
}

/// The command that removes a member for ever.
fn removed(id: u64) -> Command {
    let gone = Member {
        id,
        removed: true,
        ..Member::default()
    };
    gone.command()
}

/// Starts the parts of a member.
async fn run(
    settings: Settings,
    env: Env,
    outer: Env,
    engine: Arc<Engine>,
    start: Start,
) -> Result<Replica, StartError> {
    let identity = start.log.identity();
    let Tables { members, auth } = Tables::of(&engine.meta_all())?;
    let (input, inputs) = mpsc::channel(INPUTS);
    let (snapshots, to_send) = mpsc::unbounded_channel();
    let removed = tokio::sync::watch::Sender::new(false);
    let tasks = Tasks::new();
    let caller = Caller::new(identity, settings.tls.clone(), tasks.clone());
    let peers = Peers::new(
        caller,
        env.clone(),
        tasks.clone(),
        input.clone(),
        removed.clone(),
        snapshots,
    );
    if let Some(told) = &start.told {
        peers.follow(told);
    }
    peers.follow(&members);
    let applied = engine.applied().1;
    let seed = env.random.below(u64::MAX);
    let config = Config {
        election_ticks: (settings.election.as_millis() / settings.heartbeat.as_millis().max(1)).max(1) as u32,
        ..Config::new(identity.member, seed, applied)
    };
    let raft = Raft::new(
        config,
        start.hard,
        members.raft(),
        raft::Log::after(start.base.0, start.base.1, start.entries),
    );
    let inner = Arc::new(Inner {
        identity,
        tasks: tasks.clone(),
        engine: RwLock::new(engine),
        engines: tokio::sync::watch::Sender::new(0),
        members: RwLock::new(Arc::new(members)),
        auth: RwLock::new(Arc::new(auth)),
        tokens: Tokens::new(env.clock.clone(), settings.token_ttl),
        // Half of the numbers are left to count on.
        pending: Pending::new(env.random.below(u64::MAX / 2)),
        input,
        view: tokio::sync::watch::Sender::new(View::default()),
        alone: Default::default(),
        alarms: Default::default(),
        taking: Default::default(),
        applied: AtomicU64::new(applied),
        committed: AtomicU64::new(start.hard.commit),
        peers,
        leases: Notify::new(),
        trouble: Mutex::default(),
        is_troubled: Default::default(),
        removed,
        ended: tokio::sync::watch::Sender::new(false),
        settings,
        env,
    });
    inner.see_alarms();
    let (jobs, to_write) = mpsc::unbounded_channel::<disk::Job>();
    let (done, is_done) = mpsc::unbounded_channel();
    let (entries, to_apply) = mpsc::unbounded_channel::<apply::Job>();
    let (notes, noted) = mpsc::unbounded_channel();
    let ends = Ends {
        disk: jobs,
        done: is_done,
        apply: entries,
        notes: noted,
        input: inputs,
    };
    let disk = Disk::new(start.log, inner.clone(), done);
    tasks.spawn_blocking(move || disk.run(to_write));
    let applier = Applier::new(inner.clone(), notes);
    tasks.spawn_draining("raft-apply", applier.run(to_apply));
    tasks.spawn_draining("raft", Driver::new(inner.clone(), raft, ends).run());
    let replica = Replica(inner);
    tasks.spawn("peer-snapshots", send_snapshots(replica.clone(), to_send));
    tasks.spawn("lessor", lessor::run(replica.clone()));
    tasks.spawn("corruption-check", check::run(replica.clone()));
    tasks.spawn("publish", publish(replica.clone()));
    tasks.spawn("raft-sweep", pending::sweep(replica.0.clone(), replica.limit()));
    outer
        .tasks
        .spawn_draining("replica", end(replica.clone(), outer.tasks.clone()));
    if replica.settings().check_at_start
        && let Err(error) = replica.check_at_start().await
    {
        replica.close().await;
        return Err(error);
    }
    Ok(replica)
}

/// Ends what belongs to a member, when it is told to or cannot go on.
async fn end(replica: Replica, outer: Tasks) {
    let inner = &replica.0;
    tokio::select! {
        biased;
        () = inner.tasks.stopping() => {}
        () = outer.stopping() => {
            replica.hand_over().await;
            inner.tasks.stop();
        }
    }
    if !inner.tasks.drain(ENDING).await {
        tracing::warn!("parts of the member did not end in time");
    }
    inner.engine().close().await;
    inner.ended.send_replace(true);
}

/// Tells the others this member's name and where clients reach it, unless they know.
async fn publish(replica: Replica) {
    let (settings, me) = (replica.settings(), replica.identity().member);
    loop {
        let members = replica.members();
        let known = members.get(me);
        if known.is_some_and(|me| me.name == settings.name && me.client_urls == settings.client_urls) {
            return;
        }
        let telling = Task::Publish {
            id: me,
            name: settings.name.clone(),
            client_urls: settings.client_urls.clone(),
        };
        if known.is_some() && replica.propose(telling).await.is_ok() {
            return;
        }
        replica.0.env.clock.sleep(RETRY).await;
    }
}

fn next_dir(dir: &Path) -> PathBuf {
    dir.join("store.next")
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Finishes what a crash interrupted while a snapshot took the place of the store.
fn finish_swap(dir: &Path) -> io::Result<()> {
    let (store, next, old) = (dir.join("store"), next_dir(dir), dir.join("store.old"));
    if !store.exists() && old.exists() && next.exists() {
        fs::rename(&next, &store)?;
        fs::File::open(dir)?.sync_all()?;
    }
    remove(&next)?;
    remove(&old)
}

/// An empty place for a snapshot on its way.
pub async fn fresh_dir(inner: &Inner) -> io::Result<PathBuf> {
    let dir = next_dir(&inner.settings.data_dir);
    let made = dir.clone();
    let removed = inner.env.tasks.blocking(move || remove(&made)).await;
    removed.unwrap_or_else(|| Err(io::ErrorKind::Interrupted.into()))?;
    Ok(dir)
}

/// The members that the store in `dir` tells of.
pub async fn peek(dir: &Path, inner: &Inner) -> Result<Membership, StartError> {
    let files = folder(&inner.settings, dir.to_owned())?;
    let engine = Engine::open_in(files, inner.settings.store.clone(), inner.env.clone())?;
    let members = Membership::of(&engine.meta_all());
    engine.close().await;
    Ok(members?)
}

/// Puts the store in `dir` in the place of the one there is.
pub async fn install(inner: &Inner, dir: &Path) -> Result<Tables, StartError> {
    let data = inner.settings.data_dir.clone();
    let (store, old) = (data.join("store"), data.join("store.old"));
    inner.engine().close().await;
    let swap = |from: &Path, to: &Path| fs::rename(from, to).map_err(io_error(from));
    remove(&old).map_err(io_error(&old))?;
    swap(&store, &old)?;
    swap(dir, &store)?;
    let synced = fs::File::open(&data).and_then(|dir| dir.sync_all());
    synced.map_err(io_error(&data))?;
    let files = folder(&inner.settings, store)?;
    let engine = Engine::open_in(files, inner.settings.store.clone(), inner.env.clone())?;
    let tables = Tables::of(&engine.meta_all())?;
    inner.replace_engine(engine);
    inner.see_alarms();
    remove(&old).map_err(io_error(&old))?;
    Ok(tables)
}
