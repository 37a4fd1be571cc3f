//! What the members of a replicated store agreed on: it is applied as it comes and made durable later, since their log
//! has it. So a failure to write does not take it back.

use super::{Answers, BATCH_BYTES, Failure, UNLOGGED_BYTES, Writer, encode, publish};
use crate::{
    Error, Op, Revision,
    engine::Shared,
    record::Record,
    segment::{Segment, Tail},
    state::{Command, Output},
    txn::Known,
};

/// Bytes that a segment may grow to when no other can be made.
const MAX_SEGMENT: u64 = 3 << 30;

/// Entries that are applied while readers wait, at most.
const TOGETHER: usize = 32;

/// Entries that are applied by who brings them, at most: with more it has better things to do meanwhile.
const AT_ONCE: usize = 128;

/// An entry of the members' log: its term, its index, what it does.
pub type Committed = (u64, u64, Command);

impl Writer {
    /// Applies entries in order. An error means that the store cannot go on.
    pub(crate) fn committed(&mut self, entries: Vec<Committed>) -> Result<Answers, Error> {
        self.check_order(&entries)?;
        let mut answers = Vec::with_capacity(entries.len());
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            self.make_room()?;
            // With the revision each led to, so that all members answer the same.
            let mut outputs = Vec::with_capacity(entries.len());
            let full = self.active.length() + BATCH_BYTES as u64;
            while self.active.length() < full && entries.peek().is_some() {
                self.apply_some(entries.by_ref().take(TOGETHER), &mut outputs)?;
            }
            self.publish(outputs.iter().map(|(output, _)| output));
            let outputs = outputs.into_iter();
            answers.extend(outputs.map(|(output, revision)| publish::outcome(&self.core, output, revision)));
            if self.active.tail().bytes.len() > UNLOGGED_BYTES {
                self.write().or_else(|failure| self.bear(failure))?;
            }
        }
        Ok(answers)
    }

    /// Whether entries can be applied without a look at a device or at what is not in memory, and no reader is waited for.
    pub(crate) fn can_apply_now(&self, entries: &[Committed]) -> bool {
        let mut bytes = 0;
        let are_plain = entries.iter().all(|(_, _, command)| match command {
            Command::Write {
                key,
                expect: None,
                op: Op::Put { value, .. },
            } => {
                bytes += Record::length(key, value);
                true
            }
            Command::Nothing => true,
            _ => false,
        });
        are_plain
            && entries.len() <= AT_ONCE
            && bytes + self.active.tail().bytes.len() < UNLOGGED_BYTES
            && self.broken.is_none()
            && !self.is_segment_full()
            && self.core.shared.try_write().is_ok()
    }

    /// Makes everything durable; gives the term and index of the newest entry.
    pub(super) fn persist(&mut self) -> Result<(u64, u64), Error> {
        self.usable()?;
        if self.is_dirty() {
            self.sync()
                .map_err(|failure| Error::Unavailable(self.note(&failure)))?;
        }
        Ok((self.term, self.durable))
    }

    fn usable(&self) -> Result<(), Error> {
        match &self.broken {
            Some(why) => Err(Error::Unavailable(why.clone())),
            None => Ok(()),
        }
    }

    fn make_room(&mut self) -> Result<(), Error> {
        self.usable()?;
        self.rotate().or_else(|failure| self.bear(failure))?;
        if self.active.length() > MAX_SEGMENT {
            return Err(Error::Unavailable(
                "no new segment could be made for long".to_owned(),
            ));
        }
        Ok(())
    }

    /// What could not be written stays in memory, and is tried again with more.
    fn bear(&mut self, failure: Failure) -> Result<(), Error> {
        let why = self.note(&failure);
        match failure {
            Failure::Write(_) => Ok(()),
            Failure::Sync(_) => Err(Error::Unavailable(why)),
        }
    }

    /// None may be missing and none come twice.
    fn check_order(&self, entries: &[Committed]) -> Result<(), Error> {
        let mut before = (self.term, self.index);
        for (term, index, _) in entries {
            if *index != before.1 + 1 || *term < before.0 {
                let why = format!(
                    "entry {index} of term {term} cannot follow {} of {}",
                    before.1, before.0
                );
                return Err(Error::Unavailable(why));
            }
            before = (*term, *index);
        }
        Ok(())
    }

    /// Applies entries under one lock.
    fn apply_some(
        &mut self,
        entries: impl Iterator<Item = Committed>,
        outputs: &mut Vec<(Output, Revision)>,
    ) -> Result<(), Error> {
        let (core, active) = (self.core.clone(), self.active.clone());
        let mut shared = core.write();
        for (term, index, command) in entries {
            self.term = term;
            let output = self.apply_committed(&mut shared, &active, index, command)?;
            outputs.push((output, shared.state.revision()));
        }
        Ok(())
    }

    fn apply_committed(
        &mut self,
        shared: &mut Shared,
        active: &Segment,
        index: u64,
        command: Command,
    ) -> Result<Output, Error> {
        let again = match &command {
            Command::Txn(txn, _) if txn.may_want() => Some(txn.clone()),
            _ => None,
        };
        let mut output = self.apply_one(&mut shared.state, &mut active.tail_mut(), command);
        let mut known = Known::new();
        while let (Output::Wanting(keys), Some(txn)) = (&output, &again) {
            for (key, version) in keys {
                let found = shared.find(key, version.clone()).load().inspect_err(|error| {
                    // The other members may have the value: this one no longer knows what they know.
                    self.broken = Some(error.to_string());
                })?;
                known.insert(found.key, (found.mod_revision, found.value));
            }
            let command = Command::Txn(txn.clone(), known.clone());
            output = self.apply_one(&mut shared.state, &mut active.tail_mut(), command);
        }
        if !output.is_logged() {
            self.index = index;
            self.passed.get_or_insert(index);
        }
        Ok(output)
    }

    /// Encodes that the newest entries changed nothing, if that is so.
    pub(super) fn say_passed(&mut self, tail: &mut Tail) {
        if let Some(first) = self.passed.take() {
            encode::passed(first, self.place(), &mut tail.bytes);
        }
    }
}
