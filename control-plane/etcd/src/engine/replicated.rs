//! The engine as the store of one of several members, who decide together what is written.

use super::{Core, Engine, hold};
use crate::{
    Error,
    commit::{Answers, Committed, Request},
};
use tokio::{sync::oneshot, time::Instant};

/// A member of a replicated store; see [`super::Options::replicated`].
impl Engine {
    /// Applies entries that the members agreed on, each with its term and index: none may be missing, an entry that does
    /// nothing is [`Command::Nothing`]. They are seen at once and durable after a [`Engine::flush`]. What became of each
    /// is told; an error of the whole means that this member cannot go on.
    pub async fn apply_committed(&self, entries: Vec<Committed>) -> Result<Answers, Error> {
        match self.apply_now(entries) {
            Ok(answers) => answers,
            Err(entries) => self.ask(|answer| Request::Committed(entries, answer)).await,
        }
    }

    /// Applies entries here, if that waits for nobody and no device; else gives them back.
    fn apply_now(&self, entries: Vec<Committed>) -> Result<Result<Answers, Error>, Vec<Committed>> {
        let _ending = StopOnPanic(&self.core);
        match self.writer.try_lock().as_deref_mut() {
            Ok(Some(writer)) if writer.can_apply_now(&entries) => Ok(writer.committed(entries)),
            _ => Err(entries),
        }
    }

    /// Makes all that was applied durable; gives the term and index of the newest entry that is.
    pub async fn flush(&self) -> Result<(u64, u64), Error> {
        self.ask(Request::Persist).await
    }

    /// The term and index of the newest entry in the state that readers see; zeros: there is none.
    pub fn applied(&self) -> (u64, u64) {
        self.core.read().applied
    }

    /// The leases whose time is over.
    pub fn expired(&self, now: Instant) -> Vec<i64> {
        hold(&self.core.leases).ended(now)
    }

    /// When the next lease ends.
    pub fn next_expiry(&self) -> Option<Instant> {
        hold(&self.core.leases).next()
    }

    /// Starts the time of every lease again, as a new leader does, who does not know who renewed what.
    pub fn renew_all(&self) {
        hold(&self.core.leases).renew_all(self.core.env.clock.now());
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let closed = || Error::Unavailable("the store is closed".to_owned());
        let sent = self.core.queue.send(request(answer)).await;
        sent.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }
}

/// Stops the store when who uses its writer panics.
struct StopOnPanic<'a>(&'a Core);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}
