//! The engine: the parts of the store put together, as a [`Store`](crate::Store).

mod edge;
mod pin;
mod replicated;

use crate::{
    Error, Observer, RangeRequest, RangeResponse, Revision, checkpoint,
    commit::{Answer, Request, Serving, Writer, WriterPlace},
    files::{Disk, Files},
    lease::Deadlines,
    memory::MemoryFiles,
    reclaim,
    recovery::{self, OpenError},
    segment::{Found, Segment},
    spare::Spare,
    state::{Command, State},
    txn::{Known, Txn, TxnReply},
    watch::Shown,
};
use bytes::Bytes;
use component::Env;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};

pub(crate) use pin::Pin;

/// How many requests wait for the writer at most; more wait to wait.
const QUEUE: usize = 8192;
/// How long to wait before a lease is tried again that could not be ended.
const RETRY: Duration = Duration::from_secs(1);

/// How many times the bytes of a checkpoint are logged before the next is written.
const LOGGED_PER_CHECKPOINT: u64 = 4;

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// About how large a segment becomes, in bytes; at most 1 GiB.
    pub segment_bytes: u64,
    /// How much is logged between checkpoints at least, in bytes.
    pub checkpoint_bytes: u64,
    /// The largest value that is taken, in bytes.
    pub max_value_bytes: usize,
    /// Treat [`Durability::Volatile`] as [`Durability::Durable`].
    pub durable_leases: bool,
    /// How long a volatile write stays out of the log at most.
    pub flush_after: Duration,
    /// The revision of an empty store; etcd's is 1.
    pub first_revision: Revision,
    /// What is written is decided by several members: only [`Engine::apply_committed`] writes, which is durable after
    /// [`Engine::flush`], and leases end when the members say so.
    pub replicated: bool,
    /// Bytes that are kept aside, besides what a checkpoint takes, for removals when the device is full; 0: none.
    pub spare_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 32 << 20,
            checkpoint_bytes: 64 << 20,
            max_value_bytes: 3 << 19,
            durable_leases: false,
            flush_after: Duration::from_secs(60),
            first_revision: 0,
            replicated: false,
            spare_bytes: 24 << 20,
        }
    }
}

/// What readers see, under one lock.
pub(crate) struct Shared {
    pub state: State,
    pub segments: BTreeMap<u32, Arc<Segment>>,
    /// The newest published revision; what is newer in the state is not committed.
    pub visible: Revision,
    /// The newest published compaction.
    pub compacted: Revision,
    /// The term and index of the newest published entry.
    pub applied: (u64, u64),
}

impl Shared {
    /// A version, with the segment that has its value.
    pub fn find(&self, key: &Bytes, version: crate::state::Version) -> Found {
        let cold = version.value.is_none();
        let segment = cold
            .then(|| self.segments.get(&version.at.segment).cloned())
            .flatten();
        Found {
            key: key.clone(),
            version,
            segment,
        }
    }
}

/// How far the store is, for those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub revision: Revision,
    pub closed: bool,
}

/// Everything that the tasks of a store share.
pub(crate) struct Core {
    pub options: Options,
    pub env: Env,
    pub files: Arc<dyn Files>,
    pub salt: u32,
    pub shared: RwLock<Shared>,
    pub observers: Mutex<Vec<Arc<dyn Observer>>>,
    /// What watches found last.
    pub shown: Mutex<Shown>,
    /// What dumps still have to read: the oldest revision of each.
    pub pins: Mutex<Vec<Revision>>,
    pub tip: tokio::sync::watch::Sender<Tip>,
    pub queue: mpsc::Sender<Request>,
    pub stopping: AtomicBool,
    pub next_segment: AtomicU32,
    pub leases: Mutex<Deadlines>,
    /// When volatile writes must be logged.
    pub flush_at: Mutex<Option<Instant>>,
    /// A deadline came nearer.
    pub timer: Notify,
    /// There may be something to free or to dump.
    pub upkeep: Notify,
    pub spare: Spare,
    /// Bytes logged since the last checkpoint.
    pub unsaved: AtomicU64,
    /// Held while a checkpoint is written or old segments are copied; true when the store has ended.
    pub dumping: Mutex<bool>,
    /// The writer ended.
    pub ended: tokio::sync::watch::Sender<bool>,
}

pub(crate) fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub fn read(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` where it may wait for the device.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        if self.files.blocks() {
            let done = self.env.tasks.blocking(work).await;
            done.ok_or_else(|| Error::Unavailable("the runtime is stopping".to_owned()))
        } else {
            Ok(work())
        }
    }

    /// Whether so much was logged since the last checkpoint that another is worth its writing: the larger the last was, the
    /// more.
    pub fn wants_checkpoint(&self) -> bool {
        let worth = self.spare.checkpoint.load(Ordering::Relaxed) * LOGGED_PER_CHECKPOINT;
        self.unsaved.load(Ordering::Relaxed) >= worth.max(self.options.checkpoint_bytes)
    }

    /// The oldest revision that a dump still has to read.
    pub fn pinned(&self) -> Revision {
        hold(&self.pins).iter().copied().min().unwrap_or(Revision::MAX)
    }

    pub fn new_segment(&self) -> u32 {
        self.next_segment.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks the writer to end, from anywhere.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // If the queue is full the writer is awake and sees the flag.
        let _ = self.queue.try_send(Request::Stop);
    }

    /// Sends a command to the writer and waits for what became of it.
    pub async fn submit(&self, command: Command, durable: bool) -> Result<Answer, Error> {
        if self.options.replicated {
            let why = "the store is one of several members, who decide together what is written";
            return Err(Error::Unavailable(why.to_owned()));
        }
        let (answer, answered) = oneshot::channel();
        let closed = || Error::Unavailable("the store is closed".to_owned());
        self.queue
            .send(Request::Apply {
                command,
                durable,
                answer,
            })
            .await
            .map_err(|_| closed())?;
        answered
            .await
            .unwrap_or_else(|_| Err(Error::Unknown("the store closed before it answered".to_owned())))
    }

    fn collect(&self, request: &RangeRequest) -> Result<(RangeResponse, Vec<Found>), Error> {
        let shared = self.read();
        let revision = match request.revision {
            0 => shared.visible,
            revision if revision > shared.visible => return Err(Error::Future(revision)),
            revision => shared.state.readable(revision).map(|()| revision)?,
        };
        let (count, found) = shared.state.look(request, revision);
        let found = found
            .into_iter()
            .map(|(key, version)| shared.find(&key, version))
            .collect();
        Ok((
            RangeResponse {
                kvs: Vec::new(),
                count,
                revision,
            },
            found,
        ))
    }
}

/// Reads the values of what was found, off the async workers if a device must be asked.
pub(crate) async fn load(core: &Core, found: Vec<Found>) -> Result<Vec<crate::KeyValue>, Error> {
    if found.iter().any(Found::is_cold) {
        core.run(|| found.into_iter().map(Found::load).collect()).await?
    } else {
        found.into_iter().map(Found::load).collect()
    }
}

/// A lease as it is.
#[derive(Clone, Debug)]
pub struct LeaseState {
    /// What it was granted for.
    pub ttl: Duration,
    /// How long it lives yet.
    pub left: Duration,
    /// The keys that live by it.
    pub keys: Vec<Bytes>,
}

/// A store in this process. Dropping it stops it; [`Engine::close`] also waits for that.
pub struct Engine {
    core: Arc<Core>,
    writer: WriterPlace,
}

impl Engine {
    /// Opens the store in `dir`, which is made if it is not there. Must be called inside a Tokio runtime; reads the
    /// directory before it returns. The store closes when the tasks of `env` are asked to stop.
    pub fn open(dir: impl AsRef<Path>, options: Options, env: Env) -> Result<Arc<Self>, OpenError> {
        let dir = dir.as_ref();
        let disk = Disk::new(dir).map_err(|source| OpenError::Io {
            what: dir.display().to_string(),
            source,
        })?;
        Self::open_in(Arc::new(disk), options, env)
    }

    /// A store that is gone with the process, without threads and without waiting: for simulations.
    pub fn in_memory(env: Env) -> Result<Arc<Self>, OpenError> {
        let options = Options {
            spare_bytes: 0,
            ..Options::default()
        };
        Self::open_in(Arc::new(MemoryFiles::new()), options, env)
    }

    /// Opens the store in a directory of any kind.
    pub fn open_in(files: Arc<dyn Files>, mut options: Options, env: Env) -> Result<Arc<Self>, OpenError> {
        options.segment_bytes = options.segment_bytes.clamp(4096, 1 << 30);
        let mut recovered = recovery::open(files.as_ref(), &env)?;
        recovered.state.start_at(options.first_revision);
        recovered.logged = recovered.logged.max(options.first_revision);
        let (queue, requests) = mpsc::channel(QUEUE);
        let revision = recovered.state.revision();
        let now = env.clock.now();
        let mut leases = Deadlines::default();
        for (lease, ttl) in recovered.state.leases() {
            leases.insert(lease, Duration::from_millis(ttl), now);
        }
        let core = Arc::new(Core {
            options,
            files,
            salt: recovered.salt,
            observers: Mutex::default(),
            shown: Mutex::default(),
            pins: Mutex::default(),
            tip: tokio::sync::watch::Sender::new(Tip {
                revision,
                closed: false,
            }),
            queue,
            stopping: AtomicBool::new(false),
            next_segment: AtomicU32::new(recovered.next_segment),
            leases: Mutex::new(leases),
            flush_at: Mutex::new(None),
            timer: Notify::new(),
            upkeep: Notify::new(),
            spare: Spare::default(),
            unsaved: AtomicU64::new(0),
            dumping: Mutex::new(false),
            ended: tokio::sync::watch::Sender::new(false),
            shared: RwLock::new(Shared {
                visible: revision,
                compacted: recovered.state.compacted(),
                state: recovered.state,
                segments: recovered.segments,
                applied: (recovered.term, recovered.next_index - 1),
            }),
            env,
        });
        if let Ok(checkpoint) = core.files.open(checkpoint::NAME).and_then(|file| file.length()) {
            core.spare.checkpoint.store(checkpoint, Ordering::Relaxed);
        }
        core.keep_spare();
        let writer = Writer::new(core.clone(), recovered.active, recovered.logged);
        let writer = Arc::new(Mutex::new(Some(writer)));
        start(&core, Serving(writer.clone()), requests);
        Ok(Arc::new(Self { core, writer }))
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Logs what is not logged, writes a checkpoint and gives the directory back.
    pub async fn close(&self) {
        self.core.stop();
        let _ = self.core.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// The newest revision that readers see.
    pub fn visible(&self) -> Revision {
        self.core.read().visible
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.core.tip.borrow().closed
    }

    /// Looks for space to give back now.
    pub fn tidy(&self) {
        self.core.upkeep.notify_one();
    }

    /// Does a transaction.
    pub async fn transact(&self, txn: Txn) -> Result<TxnReply, Error> {
        txn.check()?;
        if txn.largest() > self.core.options.max_value_bytes {
            return Err(Error::TooLarge(txn.largest()));
        }
        let mut known = Known::new();
        loop {
            let command = Command::Txn(txn.clone(), known.clone());
            match self.core.submit(command, true).await? {
                Answer::Txn(reply) => return Ok(reply),
                Answer::Wanting(values) => {
                    let values = values.into_iter();
                    known.extend(values.map(|kv| (kv.key, (kv.mod_revision, kv.value))));
                }
                answer => return Err(unexpected(&answer)),
            }
        }
    }

    /// Makes the lease `id` of `ttl`; 0: one of a new number.
    pub async fn grant_as(&self, id: i64, ttl: Duration) -> Result<i64, Error> {
        let id = match id {
            0 => i64::try_from(self.core.env.random.below(i64::MAX as u64)).unwrap_or(0) + 1,
            id => id,
        };
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        match self.core.submit(Command::Grant { id, ttl }, true).await? {
            Answer::Done(_) => Ok(id),
            answer => Err(unexpected(&answer)),
        }
    }

    /// Sets or removes an entry of the table beside the key space.
    pub async fn set_meta(&self, key: Bytes, value: Option<Bytes>) -> Result<(), Error> {
        let done = self.core.submit(Command::Meta { key, value }, true).await;
        done.map(|_| ())
    }

    /// An entry of the table beside the key space.
    pub fn meta(&self, key: &[u8]) -> Option<Bytes> {
        self.core.read().state.meta().get(key).cloned()
    }

    /// The table beside the key space.
    pub fn meta_all(&self) -> BTreeMap<Bytes, Bytes> {
        self.core.read().state.meta().clone()
    }

    /// A lease as it is; `None`: it is not there.
    pub fn lease(&self, id: i64) -> Option<LeaseState> {
        let (ttl, keys) = self.core.read().state.lease(id)?;
        let left = hold(&self.core.leases).left(id, self.core.env.clock.now());
        Some(LeaseState {
            ttl: Duration::from_millis(ttl),
            left: left?,
            keys,
        })
    }

    /// The keys that live by a lease.
    pub(crate) fn lease_keys(&self, id: i64) -> Vec<Bytes> {
        self.core
            .read()
            .state
            .lease(id)
            .map_or_else(Vec::new, |(_, keys)| keys)
    }

    /// The leases.
    pub fn leases(&self) -> Vec<i64> {
        self.core.read().state.leases().map(|(id, _)| id).collect()
    }

    /// Whether the device is full, so that nothing is taken that grows.
    pub fn is_full(&self) -> bool {
        self.core.is_full()
    }

    /// The oldest revision that can be read.
    pub fn compacted(&self) -> Revision {
        self.core.read().compacted
    }

    /// Bytes of the files.
    pub fn file_bytes(&self) -> u64 {
        self.core
            .read()
            .segments
            .values()
            .map(|segment| segment.length())
            .sum()
    }

    /// Bytes of records that some retained revision needs; what the store has beyond this on disk is reclaimed in time.
    pub fn live_bytes(&self) -> u64 {
        self.core.read().state.live_bytes()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.core.stop();
    }
}

/// Stops the store when it is dropped, as when the runtime goes away with its tasks.
struct StopOnDrop(Arc<Core>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn start(core: &Arc<Core>, serving: Serving, requests: mpsc::Receiver<Request>) {
    let tasks = &core.env.tasks;
    if core.files.blocks() {
        let clock = core.env.clock.clone();
        tasks.spawn_blocking(move || serving.run_blocking(&clock, requests));
    } else {
        tasks.spawn_draining("store-writer", serving.run(requests));
    }
    let guard = StopOnDrop(core.clone());
    tasks.spawn_draining("store", async move {
        let core = &guard.0;
        let mut ended = core.ended.subscribe();
        tokio::select! {
            biased;
            () = core.env.tasks.stopping() => core.stop(),
            _ = ended.wait_for(|ended| *ended) => return,
        }
        let _ = ended.wait_for(|ended| *ended).await;
    });
    if !core.options.replicated {
        tasks.spawn("store-timer", timer(core.clone()));
    }
    tasks.spawn("store-upkeep", reclaim::upkeep(core.clone()));
}

/// Ends leases and asks for volatile writes to be logged, when their time comes.
async fn timer(core: Arc<Core>) {
    let mut ended = core.ended.subscribe();
    let mut retry = None;
    loop {
        let lease = retry.take().or_else(|| hold(&core.leases).next());
        let flush = *hold(&core.flush_at);
        let next = lease.into_iter().chain(flush).min();
        tokio::select! {
            biased;
            () = sleep_until(&core, next) => {}
            () = core.timer.notified() => {}
            _ = ended.wait_for(|ended| *ended) => return,
        }
        let now = core.env.clock.now();
        if hold(&core.flush_at).take_if(|at| *at <= now).is_some()
            && core.queue.send(Request::Flush).await.is_err()
        {
            return;
        }
        let due = hold(&core.leases).ended(now);
        for lease in due {
            if let Err(error) = core.submit(Command::Revoke(lease), true).await {
                match error {
                    Error::LeaseNotFound => hold(&core.leases).remove(lease),
                    error => {
                        tracing::warn!(lease, %error, "an ended lease is not removed yet");
                        retry = Some(now + RETRY);
                        break;
                    }
                }
            }
        }
    }
}

async fn sleep_until(core: &Core, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => core.env.clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn unexpected(answer: &Answer) -> Error {
    Error::Unknown(format!("the writer answered {answer:?}"))
}
