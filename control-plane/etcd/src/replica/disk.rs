//! The thread that writes the log: all that waits is written and made durable with one sync.

use super::{
    Inner,
    log::{Batch, Log, Place, prepare},
};
use raft::{Entry, HardState, Message};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Jobs that one sync is for, at most.
const BATCH: usize = 256;
/// How long to wait before a write is tried again that failed.
const RETRY: Duration = Duration::from_millis(200);

/// What is to be written.
pub enum Job {
    /// A Ready of this number.
    Write {
        number: u64,
        entries: Vec<Entry>,
        hard: Option<HardState>,
        sync: bool,
        /// To be sent afterwards.
        messages: Vec<Message>,
    },
    /// A snapshot of this place is about to take the place of the store.
    Installing(Place, oneshot::Sender<()>),
    /// It has.
    Reset(Place, oneshot::Sender<()>),
    /// The store holds what is up to this index.
    Drop(u64),
}

/// What is durable.
pub struct Done {
    pub number: u64,
    pub messages: Vec<Message>,
}

pub struct Disk {
    log: Log,
    inner: Arc<Inner>,
    done: mpsc::UnboundedSender<Done>,
    /// A segment is being made ahead.
    preparing: Arc<AtomicBool>,
}

impl Disk {
    pub fn new(log: Log, inner: Arc<Inner>, done: mpsc::UnboundedSender<Done>) -> Self {
        Self {
            log,
            inner,
            done,
            preparing: Arc::default(),
        }
    }

    /// Writes until there is nobody who asks.
    pub fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let mut inbox = Vec::with_capacity(BATCH);
        while jobs.blocking_recv_many(&mut inbox, BATCH) > 0 {
            if let Err(error) = self.all(&mut inbox) {
                self.inner
                    .break_down(format!("the log could not be synced ({error})"));
                return;
            }
        }
    }

    fn all(&mut self, inbox: &mut Vec<Job>) -> io::Result<()> {
        let mut done: Option<Done> = None;
        let mut must_sync = false;
        let mut batches = Vec::with_capacity(inbox.len());
        for job in inbox.drain(..) {
            if !matches!(job, Job::Write { .. }) {
                self.append(&mut batches)?;
            }
            match job {
                Job::Write {
                    number,
                    entries,
                    hard,
                    sync,
                    messages,
                } => {
                    batches.push((entries, hard));
                    must_sync |= sync;
                    let done = done.get_or_insert(Done {
                        number,
                        messages: Vec::new(),
                    });
                    done.number = number;
                    done.messages.extend(messages);
                }
                Job::Installing(place, told) => {
                    self.log.installing(place)?;
                    let _ = told.send(());
                }
                Job::Reset(place, told) => {
                    self.log.reset(place, None)?;
                    let _ = told.send(());
                }
                Job::Drop(index) => {
                    if let Err(error) = self.log.drop_until(index) {
                        tracing::warn!(%error, "a part of the log that is not needed stays");
                    }
                }
            }
        }
        self.append(&mut batches)?;
        if must_sync {
            let begun = self.inner.env.clock.now();
            self.log.sync()?;
            let took = self.inner.env.clock.now() - begun;
            self.inner.metrics().fsync.observe(took.as_secs_f64());
        }
        if let Some(done) = done {
            // The driver may have ended.
            let _ = self.done.send(done);
        }
        self.look_ahead();
        Ok(())
    }

    /// Writes, and tries again for as long as the disk is full.
    fn append(&mut self, batches: &mut Vec<Batch>) -> io::Result<()> {
        let batches = std::mem::take(batches);
        if batches.is_empty() {
            return Ok(());
        }
        let mut told = false;
        while let Err(error) = self.log.append(&batches) {
            let why = format!("the log cannot be written: {error}");
            if !told {
                tracing::error!(why);
            }
            told = true;
            self.inner.set_trouble(Some(why));
            if self.inner.tasks.is_stopping() {
                return Err(error);
            }
            thread::sleep(RETRY);
        }
        if told {
            tracing::info!("the log can be written again");
            self.inner.set_trouble(None);
        }
        Ok(())
    }

    /// Has the next segment made while there is still room in this one.
    fn look_ahead(&mut self) {
        if self.preparing.load(Ordering::Acquire) {
            return;
        }
        let Some(bytes) = self.log.wants_spare() else {
            return;
        };
        let (files, making) = (self.log.files(), self.preparing.clone());
        making.store(true, Ordering::Release);
        self.inner.tasks.spawn_blocking(move || {
            if let Err(error) = prepare(files.as_ref(), bytes) {
                tracing::warn!(%error, "no segment of the log could be made ahead");
            }
            making.store(false, Ordering::Release);
        });
    }
}
