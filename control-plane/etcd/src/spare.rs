//! Space that is kept aside: when the device is full it is given up, so that keys can still be removed and old revisions
//! forgotten, which makes room. Until it can be kept aside again, nothing that grows is taken.

use crate::{
    engine::Core,
    files::Files,
    state::Command,
    txn::{Txn, TxnOp},
};
use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// The file that takes the space.
const NAME: &str = "spare";

/// Bytes that are given up at a time.
const STEP: u64 = 1 << 20;

/// Whether space is kept aside.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    /// Bytes of the newest checkpoint: as much again is needed to write the next.
    pub checkpoint: AtomicU64,
    given_up: AtomicBool,
}

/// Whether an error says that the device is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Does `work`; while the device is full again, with some of the space that was kept aside.
pub(crate) fn with<T>(files: &dyn Files, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match work() {
            Err(error) if is_full(&error) && give_up_some(files) => {}
            done => return done,
        }
    }
}

/// Gives up a part of the space, so that others do not take all of it at once. False: there was none.
fn give_up_some(files: &dyn Files) -> bool {
    let left = files.open(NAME).and_then(|file| {
        let left = file.length()?.saturating_sub(STEP);
        file.truncate(left)?;
        Ok(left)
    });
    match left {
        Ok(0) => files.remove(NAME).is_ok(),
        left => left.is_ok(),
    }
}

impl Core {
    /// Whether the device is full.
    pub fn is_full(&self) -> bool {
        self.spare.given_up.load(Ordering::Acquire)
    }

    /// Keeps space aside if none is; nothing is refused any more when that is done.
    pub fn keep_spare(&self) {
        let bytes = self.spare_bytes();
        if self.options.spare_bytes == 0 {
            return;
        }
        let there = self.files.open(NAME).and_then(|file| file.length());
        let kept = match there {
            Ok(length) if length >= bytes => Ok(()),
            _ => self.files.allocate(NAME, bytes),
        };
        match kept {
            Ok(()) if self.spare.given_up.swap(false, Ordering::AcqRel) => {
                tracing::info!(place = self.files.place(), "there is space again");
            }
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                if !self.spare.given_up.swap(true, Ordering::AcqRel) {
                    self.tell_full(&error);
                }
            }
            Err(error) => tracing::debug!(%error, "no space is kept aside"),
        }
    }

    /// How much is kept aside: for copies of what lives in a segment, and for checkpoints.
    pub fn spare_bytes(&self) -> u64 {
        let checkpoint = self.spare.checkpoint.load(Ordering::Relaxed);
        self.options.spare_bytes + checkpoint + checkpoint / 2
    }

    /// Gives up some of the space that was kept aside, if `error` says that the device is full. True: it is worth trying
    /// again.
    pub fn give_up_spare(&self, error: &io::Error) -> bool {
        if !is_full(error) || self.options.spare_bytes == 0 {
            return false;
        }
        if !self.spare.given_up.swap(true, Ordering::AcqRel) {
            self.tell_full(error);
        }
        // Who gives space back must know.
        self.upkeep.notify_one();
        give_up_some(self.files.as_ref())
    }

    /// Does `work`; while the device is full again, with some of the space that was kept aside.
    pub fn with_spare<T>(&self, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match work() {
                Err(error) if self.give_up_spare(&error) => {}
                done => return done,
            }
        }
    }

    fn tell_full(&self, error: &io::Error) {
        tracing::error!(%error, place = self.files.place(), "the device is full: nothing is written but removals");
    }

    /// Why a command is not done now.
    pub fn refuses(&self, command: &Command) -> Option<String> {
        (self.is_full() && grows(command)).then(|| {
            let place = self.files.place();
            format!("no space left on device: until there is, nothing is written to {place} but removals")
        })
    }
}

fn grows(command: &Command) -> bool {
    match command {
        Command::Write { op, .. } => matches!(op, crate::Op::Put { .. }),
        Command::Txn(txn, _) => puts(txn),
        Command::Grant { .. } => true,
        Command::Revoke(_)
        | Command::Compact(_)
        | Command::Reserve(_)
        | Command::Meta { .. }
        | Command::Nothing => false,
    }
}

fn puts(txn: &Txn) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match op {
        TxnOp::Put { .. } => true,
        TxnOp::Txn(inner) => puts(inner),
        TxnOp::Range(_) | TxnOp::Delete { .. } => false,
    })
}
