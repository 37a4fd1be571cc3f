//! The one writer: applies what waits, logs it, makes it durable with one sync, publishes it in order, answers.

use crate::{
    Error, KeyValue, Revision,
    checkpoint::{self, Capture},
    engine::{Core, hold},
    record::{RECORD_HEADER, Record},
    segment::{Role, Segment, Tail},
    state::{Command, Entry, Location, Output, State, apply},
    txn::TxnReply,
};
use std::{
    io,
    sync::{Arc, atomic::Ordering},
};
use tokio::sync::{mpsc, oneshot};

mod encode;
mod publish;
mod replicate;
mod serve;

use encode::Place;
pub use replicate::Committed;
pub(crate) use serve::{Place as WriterPlace, Serving};

/// Requests of one batch at most.
const BATCH: usize = 1024;
/// Bytes of one batch, about, at most.
const BATCH_BYTES: usize = 8 << 20;
/// When the device is full, a segment is not larger than this.
const FULL_SEGMENT_BYTES: u64 = 1 << 20;
/// Revisions that volatile writes reserve at a time.
const RESERVE: Revision = 8192;
/// Bytes that the file of the log is made longer at a time.
const ZEROS: usize = 512 << 10;
/// Bytes of volatile writes that wait for the log at most.
const UNLOGGED_BYTES: usize = 1 << 20;

/// What the writer is asked.
pub(crate) enum Request {
    /// Apply a command; `durable`: answer only when it is on disk.
    Apply {
        command: Command,
        durable: bool,
        answer: oneshot::Sender<Result<Answer, Error>>,
    },
    /// Apply what the members of a replicated store agreed on.
    Committed(Vec<Committed>, oneshot::Sender<Result<Answers, Error>>),
    /// Make everything durable, and say the term and index of the newest entry that is.
    Persist(oneshot::Sender<Result<(u64, u64), Error>>),
    /// Say from where a checkpoint starts that is begun now; `durable`: with all that was done until now.
    Capture {
        durable: bool,
        answer: oneshot::Sender<Capture>,
    },
    /// Log the volatile writes.
    Flush,
    /// End.
    Stop,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It was done, at this revision.
    Done(Revision),
    /// The condition did not hold; the key as it is, and the store's revision.
    Mismatch(Option<KeyValue>, Revision),
    /// What the transaction did.
    Txn(TxnReply),
    /// The transaction needs these values; it was not done.
    Wanting(Vec<KeyValue>),
}

/// What became of each of several entries.
pub type Answers = Vec<Result<Answer, Error>>;

type Reply = oneshot::Sender<Result<Answer, Error>>;

/// An entry that was applied and is not yet published.
struct Applied {
    output: Output,
    answer: Option<Reply>,
}

/// A batch that was applied: how to take it back, and whether it must be durable before it is published.
struct Batch {
    applied: Vec<Applied>,
    /// What is done when it is published.
    after: Vec<Request>,
    tail_before: usize,
    index_before: u64,
    sync: bool,
    volatile: bool,
    stop: bool,
}

enum Failure {
    /// Nothing was written, certainly.
    Write(io::Error),
    /// It may have been written.
    Sync(io::Error),
}

pub(crate) struct Writer {
    core: Arc<Core>,
    active: Arc<Segment>,
    /// The term and index of the newest entry, and the newest index that is durable.
    term: u64,
    index: u64,
    durable: u64,
    /// The first of the newest entries, if they changed nothing and the log does not say so yet.
    passed: Option<u64>,
    /// Something is in the file that is not durable.
    unsynced: bool,
    /// Up to here the file is there, with zeros: a sync of what is written over them need not make it longer.
    zeros_to: u64,
    /// The newest revision in the log.
    logged: Revision,
    /// Volatile writes happen here, so that revisions must be reserved ahead.
    volatile: bool,
    /// Why nothing can be written any more.
    broken: Option<String>,
}

impl Writer {
    pub fn new(core: Arc<Core>, active: Arc<Segment>, logged: Revision) -> Self {
        let (term, index) = core.read().applied;
        Self {
            core,
            active,
            // One member is always in its first term.
            term: term.max(1),
            index,
            durable: index,
            passed: None,
            unsynced: false,
            zeros_to: 0,
            logged,
            volatile: false,
            broken: None,
        }
    }

    /// Does all that is in the inbox. False when the writer is to end.
    fn step(&mut self, inbox: &mut Vec<Request>) -> bool {
        let mut stop = self.core.stopping.load(Ordering::Acquire);
        while !inbox.is_empty() {
            let mut bytes = 0;
            let fits = inbox.iter().take_while(|request| {
                let before = bytes;
                bytes += request.size();
                before <= BATCH_BYTES
            });
            let fits = fits.count();
            stop |= self.commit(inbox.drain(..fits));
        }
        !stop
    }

    /// Commits one batch. True when it asks to stop.
    fn commit(&mut self, requests: impl Iterator<Item = Request>) -> bool {
        let ready = match &self.broken {
            Some(why) => Err(why.clone()),
            None if self.core.options.replicated => Ok(()),
            None => self.rotate().map_err(|failure| self.note(&failure)),
        };
        if let Err(why) = ready {
            let mut stop = false;
            for request in requests {
                stop |= matches!(request, Request::Stop);
                request.refuse(&why);
            }
            return stop;
        }
        let batch = self.apply(requests);
        let (stop, synced) = (batch.stop, batch.sync);
        if synced && let Err(failure) = self.sync() {
            self.take_back(batch, &failure);
            return stop;
        }
        if batch.volatile && !synced {
            let mut flush_at = hold(&self.core.flush_at);
            if flush_at.is_none() {
                *flush_at = Some(self.core.env.clock.now() + self.core.options.flush_after);
                self.core.timer.notify_one();
            }
        }
        let revision = self.publish(batch.applied.iter().map(|applied| &applied.output));
        for Applied { output, answer } in batch.applied {
            if let Some(answer) = answer {
                // A writer that no longer waits need not be told.
                let _ = answer.send(publish::outcome(&self.core, output, revision));
            }
        }
        self.after(batch.after);
        stop
    }

    fn apply(&mut self, requests: impl Iterator<Item = Request>) -> Batch {
        let (core, active) = (self.core.clone(), self.active.clone());
        let mut shared = core.write();
        let mut tail = active.tail_mut();
        let mut batch = Batch {
            applied: Vec::with_capacity(requests.size_hint().0 + 1),
            after: Vec::new(),
            tail_before: tail.bytes.len(),
            index_before: self.index,
            sync: false,
            volatile: false,
            stop: false,
        };
        for request in requests {
            match request {
                Request::Apply {
                    command,
                    durable,
                    answer,
                } => {
                    if let Some(why) = core.refuses(&command) {
                        // A writer that no longer waits need not be told.
                        let _ = answer.send(Err(Error::Unavailable(why)));
                        continue;
                    }
                    let output = self.apply_one(&mut shared.state, &mut tail, command);
                    let changed = output.is_logged();
                    batch.sync |= changed && durable;
                    batch.volatile |= changed && !durable;
                    batch.applied.push(Applied {
                        output,
                        answer: Some(answer),
                    });
                }
                Request::Capture { .. } | Request::Committed(..) | Request::Persist(_) => {
                    batch.after.push(request);
                }
                Request::Flush => batch.sync |= !tail.bytes.is_empty(),
                Request::Stop => batch.stop = true,
            }
        }
        self.volatile |= batch.volatile;
        batch.sync |= tail.bytes.len() > UNLOGGED_BYTES;
        let (revision, reserved) = (shared.state.revision(), shared.state.reserved());
        let short = reserved < revision || (batch.sync && reserved < revision + RESERVE / 2);
        if self.volatile && short && (batch.sync || batch.volatile) {
            let command = Command::Reserve(revision + RESERVE);
            let output = self.apply_one(&mut shared.state, &mut tail, command);
            batch.applied.push(Applied { output, answer: None });
            batch.sync = true;
        }
        batch
    }

    /// Applies the next entry, and encodes it if it changed something.
    fn apply_one(&mut self, state: &mut State, tail: &mut Tail, command: Command) -> Output {
        let length = match &command {
            Command::Write {
                key,
                op: crate::Op::Put { value, .. },
                ..
            } => Record::length(key, value),
            _ => 0,
        };
        // What passed by is said before it.
        let before = if self.passed.is_some() { RECORD_HEADER } else { 0 };
        let offset = tail.start + (tail.bytes.len() + before) as u64;
        let at = Location {
            segment: self.active.id,
            offset: offset as u32,
            length: length as u32,
        };
        let index = self.index + 1;
        let output = apply(
            state,
            Entry {
                term: self.term,
                index,
                at,
                command,
            },
        );
        if output.is_logged() {
            self.say_passed(tail);
            self.index = index;
            output.encode(self.place(), &mut tail.bytes);
        }
        output
    }

    fn place(&self) -> Place {
        Place {
            term: self.term,
            index: self.index,
            durable: self.durable,
            salt: self.core.salt,
        }
    }

    fn is_segment_full(&self) -> bool {
        let mut full = self.core.options.segment_bytes;
        if self.core.is_full() {
            // What is dead in it can be given back only when another is written to.
            full = full.min(FULL_SEGMENT_BYTES);
        }
        self.active.length() >= full
    }

    /// Starts a new segment when the active one is full.
    fn rotate(&mut self) -> Result<(), Failure> {
        if !self.is_segment_full() {
            return Ok(());
        }
        if self.is_dirty() {
            self.sync()?;
        }
        self.cut_zeros().map_err(Failure::Sync)?;
        let id = self.core.new_segment();
        let files = self.core.files.as_ref();
        let make = || Segment::create(files, Role::Log, id, self.core.salt, self.index + 1);
        let made = self.core.with_spare(make);
        self.active = Arc::new(made.map_err(Failure::Write)?);
        self.core.write().segments.insert(id, self.active.clone());
        self.core.upkeep.notify_one();
        Ok(())
    }

    /// Whether something is not durable yet.
    fn is_dirty(&self) -> bool {
        self.unsynced || self.passed.is_some() || !self.active.tail().bytes.is_empty()
    }

    /// Writes the tail and returns when it is durable.
    fn sync(&mut self) -> Result<(), Failure> {
        self.say_passed(&mut self.active.clone().tail_mut());
        self.write()?;
        self.active.file.sync().map_err(Failure::Sync)?;
        self.unsynced = false;
        self.durable = self.index;
        self.logged = self.core.read().state.revision();
        *hold(&self.core.flush_at) = None;
        Ok(())
    }

    /// Writes the tail.
    fn write(&mut self) -> Result<(), Failure> {
        let file = self.active.file.clone();
        let (start, written) = {
            let tail = self.active.tail();
            let write = || file.write_at(&tail.bytes, tail.start);
            (tail.start, self.core.with_spare(write))
        };
        if let Err(error) = written {
            if !self.core.options.replicated {
                // What was written of it must not come back after a crash, since its writers are told that it failed.
                file.truncate(start)
                    .and_then(|()| file.sync())
                    .map_err(Failure::Sync)?;
                self.zeros_to = start;
            }
            return Err(Failure::Write(error));
        }
        self.unsynced = true;
        let mut tail = self.active.tail_mut();
        let length = tail.bytes.len() as u64;
        tail.start += length;
        tail.bytes.clear();
        tail.bytes.shrink_to(UNLOGGED_BYTES);
        let end = tail.start;
        drop(tail);
        self.write_zeros(end);
        self.core.unsaved.fetch_add(length, Ordering::Relaxed);
        if self.core.wants_checkpoint() {
            self.core.upkeep.notify_one();
        }
        Ok(())
    }

    /// Makes the file longer than what is in it, if every write is synced.
    fn write_zeros(&mut self, end: u64) {
        let core = &self.core;
        if end <= self.zeros_to || !core.files.blocks() || core.options.replicated || core.is_full() {
            return;
        }
        let zeros = vec![0; ZEROS];
        match self.active.file.write_at(&zeros, end) {
            Ok(()) => self.zeros_to = end + ZEROS as u64,
            // What is in the file is there; a longer file is only faster.
            Err(error) => tracing::debug!(%error, "the log is not made longer ahead"),
        }
    }

    /// Lets the file end where what is in it ends.
    fn cut_zeros(&mut self) -> io::Result<()> {
        if self.zeros_to > self.active.tail().start {
            let file = self.active.file.clone();
            file.truncate(self.active.tail().start)?;
            file.sync()?;
        }
        self.zeros_to = 0;
        Ok(())
    }

    /// The message of a failure; after one whose outcome is not known nothing more is written.
    fn note(&mut self, failure: &Failure) -> String {
        let file = self.active.role.name(self.active.id);
        match failure {
            Failure::Write(error) => {
                tracing::error!(%error, file, "the log cannot be written");
                format!("the log cannot be written: {error}")
            }
            Failure::Sync(error) => {
                tracing::error!(%error, file, "the log cannot be synced: the store is read-only until it is opened again");
                let why = format!(
                    "the log could not be synced ({error}): read-only until the store is opened again"
                );
                self.broken = Some(why.clone());
                why
            }
        }
    }

    /// Undoes a batch that could not be logged.
    fn take_back(&mut self, batch: Batch, failure: &Failure) {
        {
            let mut shared = self.core.write();
            for applied in batch.applied.iter().rev() {
                shared.state.undo(&applied.output);
            }
            self.active.tail_mut().bytes.truncate(batch.tail_before);
        }
        self.index = batch.index_before;
        let why = self.note(failure);
        for Applied { output, answer } in batch.applied {
            let unknown = matches!(failure, Failure::Sync(_)) && output.is_logged();
            let error = if unknown {
                Error::Unknown(why.clone())
            } else {
                Error::Unavailable(why.clone())
            };
            if let Some(answer) = answer {
                // A writer that no longer waits need not be told.
                let _ = answer.send(Err(error));
            }
        }
    }

    fn capture(&self) -> Capture {
        let shared = self.core.read();
        Capture {
            segment: self.active.id,
            offset: self.active.tail().start,
            term: self.term,
            next_index: self.durable + 1,
            revision: self.logged,
            compacted: shared.state.compacted(),
            reserved: shared.state.reserved(),
            summary: shared.state.summary(),
        }
    }

    /// What does not go into a batch.
    fn after(&mut self, requests: Vec<Request>) {
        for request in requests {
            // Whoever asked may have gone.
            match request {
                Request::Capture { durable, answer } => {
                    // A lone store leaves out of a checkpoint what is not logged yet.
                    let whole = durable || self.core.options.replicated;
                    if !whole || self.persist().is_ok() {
                        let _ = answer.send(self.capture());
                    }
                }
                Request::Committed(entries, answer) => {
                    let _ = answer.send(self.committed(entries));
                }
                Request::Persist(answer) => {
                    let _ = answer.send(self.persist());
                }
                Request::Apply { .. } | Request::Flush | Request::Stop => {}
            }
        }
    }

    /// Refuses what still waits, and leaves a directory that opens fast.
    fn finish(mut self, mut requests: mpsc::Receiver<Request>) {
        requests.close();
        while let Ok(request) = requests.try_recv() {
            request.refuse("the store is closed");
        }
        if self.broken.is_some() {
            return;
        }
        {
            let (core, active) = (self.core.clone(), self.active.clone());
            let mut shared = core.write();
            let revision = shared.state.revision();
            if shared.state.reserved() > revision {
                // With all of its revisions logged, none of the block can be lost.
                self.apply_one(
                    &mut shared.state,
                    &mut active.tail_mut(),
                    Command::Reserve(revision),
                );
            }
        }
        if self.is_dirty()
            && let Err(failure) = self.sync()
        {
            self.note(&failure);
            return;
        }
        if let Err(error) = self.cut_zeros() {
            tracing::warn!(%error, "the log keeps zeros at its end");
        }
        let mut ended = hold(&self.core.dumping);
        *ended = true;
        if let Err(error) = checkpoint::write(&self.core, &self.capture(), &[]) {
            tracing::warn!(%error, "no checkpoint was written; the next start reads more of the log");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        *hold(&self.core.dumping) = true;
        self.core.files.unlock();
        self.core.tip.send_modify(|tip| tip.closed = true);
        self.core.ended.send_replace(true);
    }
}

impl Request {
    fn size(&self) -> usize {
        match self {
            Request::Apply {
                command:
                    Command::Write {
                        key,
                        op: crate::Op::Put { value, .. },
                        ..
                    },
                ..
            } => Record::length(key, value),
            Request::Apply {
                command: Command::Txn(txn, _),
                ..
            } => txn.size(),
            _ => 0,
        }
    }

    fn refuse(self, why: &str) {
        let error = Error::Unavailable(why.to_owned());
        // Who no longer waits need not be told.
        match self {
            Request::Apply { answer, .. } => drop(answer.send(Err(error))),
            Request::Committed(_, answer) => drop(answer.send(Err(error))),
            Request::Persist(answer) => drop(answer.send(Err(error))),
            Request::Capture { .. } | Request::Flush | Request::Stop => {}
        }
    }
}
