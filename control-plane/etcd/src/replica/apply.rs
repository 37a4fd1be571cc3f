//! What is committed is handed to the engine, in order, and its proposers are answered.

use super::{
    Failure, Inner, alarms,
    codec::{Proposal, Task},
    log::Place,
    members::proposal_of,
    pending::{Reply, Waiting},
    tables::Tables,
};
use crate::{Committed, Engine, Error, state::Command};
use bytes::Bytes;
use raft::{Change, Entry, Payload};
use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, atomic::Ordering},
};
use tokio::sync::{mpsc, oneshot};

/// Bytes of entries after which the engine is made durable, so that the log can be dropped up to there.
const FLUSH_BYTES: usize = 16 << 20;
/// Entries after which it is.
const FLUSH_ENTRIES: usize = 50_000;
/// Batches that are applied at once, at most.
const BATCHES: usize = 64;

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

pub struct Applier {
    inner: Arc<Inner>,
    tables: Tables,
    notes: mpsc::UnboundedSender<Note>,
    bytes: usize,
    entries: usize,
}

/// What an entry asks for.
enum Asked {
    Nothing,
    Task(Task),
    Change(Change),
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
    auth: bool,
    /// The index of the last of them.
    index: u64,
}

impl Applier {
    pub fn new(inner: Arc<Inner>, notes: mpsc::UnboundedSender<Note>) -> Self {
        Self {
            tables: Tables {
                members: (*inner.members()).clone(),
                auth: (*inner.auth()).clone(),
            },
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
                    self.tables = installed.map_err(|error| error.to_string())?;
                    self.inner.set_members(self.tables.members.clone());
                    self.inner.set_auth(self.tables.auth.clone());
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
        if entries.is_empty() {
            return Ok(());
        }
        let bytes: usize = entries.iter().map(Entry::bytes).sum();
        self.entries += entries.len();
        self.bytes += bytes;
        let mut batch = Batch::default();
        let waiting = self.inner.pending.take_all(entries.iter().map(number));
        for (Entry { term, index, payload }, waiting) in entries.into_iter().zip(waiting) {
            let (task, reply) = read(index, payload, waiting)?;
            if matches!(&task, Asked::Task(task) if self.tables.looks_at_leases(task)) {
                self.settle(std::mem::take(&mut batch)).await?;
            }
            self.one((term, index), task, reply, &mut batch);
        }
        self.settle(batch).await?;
        self.flush(self.inner.engine());
        Ok(())
    }

    /// Hands what is gathered to the engine, and answers.
    async fn settle(&mut self, batch: Batch) -> Result<(), String> {
        if batch.commands.is_empty() {
            return Ok(());
        }
        let engine = self.inner.engine();
        let index = batch.index;
        let answers = engine.apply_committed(batch.commands).await;
        let answers = answers.map_err(|error| error.to_string())?;
        if *self.inner.members() != self.tables.members {
            self.inner.set_members(self.tables.members.clone());
        }
        if batch.auth {
            self.inner.set_auth(self.tables.auth.clone());
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
            reply.tell(answer);
        }
        let changes = batch.changes;
        let _ = self.notes.send(Note::Applied { index, changes });
        if batch.leases {
            self.inner.leases.notify_one();
        }
        Ok(())
    }

    /// Makes what is asked for a command.
    fn one(&mut self, (term, index): (u64, u64), asked: Asked, reply: Option<Reply>, batch: &mut Batch) {
        let done = match asked {
            Asked::Nothing => Ok(Command::Nothing),
            Asked::Task(task) => self.task(index, task, batch),
            Asked::Change(change) => self.tables.members.change(&change).map_err(Failure::from).inspect(|_| {
                tracing::info!(id = format!("{:x}", change.id), kind = ?change.kind, "the members change");
                batch.changes.push(change);
            }),
        };
        let (command, instead) = match done {
            Ok(command) => (command, None),
            Err(refusal) => (Command::Nothing, Some(refusal)),
        };
        batch.alarms |= alarms::concerns(&command);
        batch.leases |= matches!(command, Command::Grant { .. } | Command::Revoke(_));
        batch.replies.push(reply.map(|reply| (reply, instead)));
        batch.commands.push((term, index, command));
        batch.index = index;
    }

    fn task(&mut self, index: u64, task: Task, batch: &mut Batch) -> Result<Command, Failure> {
        let change = match &task {
            Task::Auth(_, change) => Some(change.clone()),
            _ => None,
        };
        let inner = &self.inner;
        let keys = |lease| -> Vec<Bytes> { inner.engine().lease_keys(lease) };
        let command = self.tables.task(task, &keys)?;
        if let Some(change) = change {
            self.inner.tokens.follow(&change, index);
            batch.auth = true;
        }
        Ok(command)
    }

    /// Now and then, makes what was applied durable.
    fn flush(&mut self, engine: Arc<Engine>) {
        if self.bytes < FLUSH_BYTES && self.entries < FLUSH_ENTRIES {
            return;
        }
        (self.bytes, self.entries) = (0, 0);
        let (notes, inner) = (self.notes.clone(), self.inner.clone());
        self.inner.tasks.spawn("raft-flush", async move {
            let begun = inner.env.clock.now();
            match engine.flush().await {
                Ok((term, index)) => {
                    let took = inner.env.clock.now() - begun;
                    inner.metrics().commit.observe(took.as_secs_f64());
                    // Who asked may have gone.
                    let _ = notes.send(Note::Flushed((index, term)));
                }
                Err(Error::Unavailable(why)) => tracing::warn!(why, "the store is not durable yet"),
                Err(error) => tracing::warn!(%error, "the store is not durable yet"),
            }
        });
    }
}

impl Drop for Applier {
    /// What is not applied by now nobody tells of.
    fn drop(&mut self) {
        if !self.inner.tasks.is_stopping() {
            self.inner
                .break_down("the part that applies has ended".to_owned());
        }
        let failed = self.inner.pending.close();
        self.inner.metrics().failed.add(failed as u64);
    }
}

/// The number of the proposal that an entry is.
fn number(entry: &Entry) -> Option<u64> {
    match &entry.payload {
        Payload::Empty => None,
        Payload::Data(data) => data.first_chunk().map(|id| u64::from_le_bytes(*id)),
        Payload::Change(change) => proposal_of(change),
    }
}

/// What an entry asks for, and who is to be told.
fn read(index: u64, payload: Payload, waiting: Option<Waiting>) -> Result<(Asked, Option<Reply>), String> {
    let (known, reply) = waiting.map_or((None, None), |it| (it.task, Some(it.reply)));
    let asked = match (payload, known) {
        (Payload::Empty, _) => Asked::Nothing,
        (Payload::Change(change), _) => Asked::Change(change),
        (Payload::Data(_), Some(task)) => Asked::Task(task),
        (Payload::Data(data), None) => {
            let garbled = |error| format!("entry {index}: {error}");
            Asked::Task(Proposal::decode(data).map_err(garbled)?.task)
        }
    };
    Ok((asked, reply))
}

impl Inner {
    /// Puts another engine in the place of the one there is.
    pub(super) fn replace_engine(&self, engine: Arc<Engine>) {
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = engine;
        self.engines.send_modify(|count| *count += 1);
    }
}
