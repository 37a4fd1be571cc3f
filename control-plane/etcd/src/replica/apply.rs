//! What is committed is handed to the engine, in order, and its proposers are answered.

use super::{
    Failure, Inner, Membership, alarms,
    codec::{Proposal, Task},
    hold,
    log::Place,
    members::proposal_of,
    pack::Unpack,
};
use crate::{Answer, Committed, Engine, Error, state::Command};
use raft::{Change, Entry, Payload};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};
use tokio::sync::{mpsc, oneshot};

/// Bytes of entries after which the engine is made durable, so that the log can be dropped up to there.
const FLUSH_BYTES: usize = 16 << 20;
/// Entries after which it is.
const FLUSH_ENTRIES: usize = 50_000;
/// Batches that are applied at once, at most.
const BATCHES: usize = 64;

/// Who waits for a proposal.
pub struct Waiting {
    /// What it is, so that it need not be read again.
    pub task: Option<Task>,
    pub answer: oneshot::Sender<Result<Answer, Failure>>,
}

pub type Pending = Mutex<BTreeMap<u64, Waiting>>;

/// What is to be applied.
pub enum Job {
    Entries(Vec<Entry>),
    /// The store in this directory takes the place of the one there is.
    Install(PathBuf, oneshot::Sender<Result<(), String>>),
}

/// What was applied.
pub enum Note {
    Applied {
        index: u64,
        changes: Vec<Change>,
    },
    /// The engine is durable up to here.
    Flushed(Place),
}

type Reply = oneshot::Sender<Result<Answer, Failure>>;

pub struct Applier {
    inner: Arc<Inner>,
    members: Membership,
    notes: mpsc::UnboundedSender<Note>,
    bytes: usize,
    entries: usize,
}

/// Entries on their way to the engine.
#[derive(Default)]
struct Batch {
    commands: Vec<Committed>,
    /// Who waits for each of them, or what they are told instead of the answer.
    replies: Vec<Option<(Reply, Option<Failure>)>>,
    changes: Vec<Change>,
    leases: bool,
    alarms: bool,
}

impl Applier {
    pub fn new(inner: Arc<Inner>, notes: mpsc::UnboundedSender<Note>) -> Self {
        Self {
            members: (*inner.members()).clone(),
            inner,
            notes,
            bytes: 0,
            entries: 0,
        }
    }

    /// Applies until there is nobody who asks.
    pub async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let mut inbox = Vec::with_capacity(BATCHES);
        while jobs.recv_many(&mut inbox, BATCHES).await > 0 {
            if let Err(why) = self.all(inbox.drain(..)).await {
                self.inner.break_down(why);
                return;
            }
        }
    }

    async fn all(&mut self, jobs: impl Iterator<Item = Job>) -> Result<(), String> {
        let mut entries = Vec::new();
        for job in jobs {
            match job {
                Job::Entries(more) if entries.is_empty() => entries = more,
                Job::Entries(more) => entries.extend(more),
                Job::Install(dir, told) => {
                    self.apply(std::mem::take(&mut entries)).await?;
                    let installed = super::boot::install(&self.inner, &dir).await;
                    let members = installed.map_err(|error| error.to_string())?;
                    self.members = members.clone();
                    self.inner.set_members(members);
                    let index = self.inner.engine().applied().1;
                    self.inner.applied.store(index, Ordering::Release);
                    // The driver ends when it does not wait.
                    let _ = told.send(Ok(()));
                }
            }
        }
        self.apply(entries).await
    }

    async fn apply(&mut self, entries: Vec<Entry>) -> Result<(), String> {
        let Some(index) = entries.last().map(|last| last.index) else {
            return Ok(());
        };
        let bytes: usize = entries.iter().map(Entry::bytes).sum();
        self.entries += entries.len();
        self.bytes += bytes;
        let mut batch = Batch::default();
        for entry in entries {
            self.one(entry, &mut batch)?;
        }
        let engine = self.inner.engine();
        let answers = engine.apply_committed(batch.commands).await;
        let answers = answers.map_err(|error| error.to_string())?;
        if *self.inner.members() != self.members {
            self.inner.set_members(self.members.clone());
        }
        if batch.alarms {
            self.inner.see_alarms();
        }
        self.inner.applied.store(index, Ordering::Release);
        for (reply, answer) in batch.replies.into_iter().zip(answers) {
            let Some((reply, instead)) = reply else { continue };
            let answer = match instead {
                Some(failure) => Err(failure),
                None => answer.map_err(Failure::Store),
            };
            // Who asked may have gone.
            let _ = reply.send(answer);
        }
        let changes = batch.changes;
        let _ = self.notes.send(Note::Applied { index, changes });
        if batch.leases {
            self.inner.leases.notify_one();
        }
        self.flush(engine);
        Ok(())
    }

    /// Makes an entry a command.
    fn one(&mut self, entry: Entry, batch: &mut Batch) -> Result<(), String> {
        let Entry { term, index, payload } = entry;
        let mut reply = None;
        let mut instead = None;
        let command = match payload {
            Payload::Empty => Command::Nothing,
            Payload::Data(data) => {
                let garbled = |error| format!("entry {index}: {error}");
                let id = Unpack(data.clone()).fixed().map_err(garbled)?;
                let waiting = hold(&self.inner.pending).remove(&id);
                let (known, answer) = waiting.map_or((None, None), |it| (it.task, Some(it.answer)));
                reply = answer;
                let task = match known {
                    Some(task) => task,
                    None => Proposal::decode(data).map_err(garbled)?.task,
                };
                self.members.task(task).unwrap_or_else(|refusal| {
                    instead = Some(refusal.into());
                    Command::Nothing
                })
            }
            Payload::Change(change) => {
                let id = proposal_of(&change);
                reply = id
                    .and_then(|id| hold(&self.inner.pending).remove(&id))
                    .map(|it| it.answer);
                match self.members.change(&change) {
                    Ok(command) => {
                        tracing::info!(id = format!("{:x}", change.id), kind = ?change.kind, "the members change");
                        batch.changes.push(change);
                        command
                    }
                    Err(refusal) => {
                        instead = Some(refusal.into());
                        Command::Nothing
                    }
                }
            }
        };
        batch.alarms |= alarms::concerns(&command);
        batch.leases |= matches!(command, Command::Grant { .. } | Command::Revoke(_));
        batch.replies.push(reply.map(|reply| (reply, instead)));
        batch.commands.push((term, index, command));
        Ok(())
    }

    /// Now and then, makes what was applied durable.
    fn flush(&mut self, engine: Arc<Engine>) {
        if self.bytes < FLUSH_BYTES && self.entries < FLUSH_ENTRIES {
            return;
        }
        (self.bytes, self.entries) = (0, 0);
        let notes = self.notes.clone();
        self.inner.tasks.spawn("raft-flush", async move {
            match engine.flush().await {
                Ok((term, index)) => drop(notes.send(Note::Flushed((index, term)))),
                Err(Error::Unavailable(why)) => tracing::warn!(why, "the store is not durable yet"),
                Err(error) => tracing::warn!(%error, "the store is not durable yet"),
            }
        });
    }
}

impl Inner {
    /// Puts another engine in the place of the one there is.
    pub(super) fn replace_engine(&self, engine: Arc<Engine>) {
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = engine;
        self.engines.send_modify(|count| *count += 1);
    }
}
