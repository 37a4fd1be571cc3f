//! Proposals that wait to be settled, by their numbers, which are in order: each is put at the end, and its place is known.

use super::{Failure, Inner, codec::Task, hold};
use crate::Answer;
use bytes::Bytes;
use raft::Change;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Places that are kept when nobody waits.
const KEPT: usize = 8192;

/// What is proposed.
pub enum Proposed {
    Data(Bytes),
    /// What only the leader of this term may propose: it is not passed on to another one, and does not wait for one.
    DataIn(Bytes, u64),
    Change(Change),
}

type Told = Box<dyn FnOnce(Result<Answer, Failure>) + Send>;

/// Who waits for an answer. Dropped, it tells that the member stopped.
pub struct Reply(Option<Told>);

impl Reply {
    pub fn new(told: impl FnOnce(Result<Answer, Failure>) + Send + 'static) -> Self {
        Self(Some(Box::new(told)))
    }

    pub fn tell(mut self, answer: Result<Answer, Failure>) {
        if let Some(told) = self.0.take() {
            told(answer);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            told(Err(Failure::Stopped));
        }
    }
}

/// A proposal that waits.
pub struct Waiting {
    /// What it is, so that it need not be read again.
    pub task: Option<Task>,
    pub reply: Reply,
    since: Instant,
    /// How often the leader had changed by then.
    changes: u64,
}

#[derive(Default)]
struct Table {
    /// The number of the first place.
    first: u64,
    places: VecDeque<Option<Waiting>>,
    count: usize,
    /// What the driver has not taken yet.
    fresh: Vec<(u64, Proposed)>,
    changes: u64,
    /// The sweeper waits for somebody to wait.
    idle: bool,
    closed: bool,
}

impl Table {
    fn take(&mut self, id: u64) -> Option<Waiting> {
        let place = usize::try_from(id.checked_sub(self.first)?).ok()?;
        let waiting = self.places.get_mut(place)?.take()?;
        self.count -= 1;
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.first += 1;
        }
        if self.places.is_empty() {
            self.places.shrink_to(KEPT);
        }
        Some(waiting)
    }
}

pub struct Pending {
    table: Mutex<Table>,
    /// There is something to take.
    news: Notify,
    /// There is somebody who waits.
    busy: Notify,
}

impl Pending {
    /// Numbers begin at `first`. It has to be another one after every start, and on every member.
    pub fn new(first: u64) -> Self {
        let table = Table {
            first,
            ..Table::default()
        };
        Self {
            table: Mutex::new(table),
            news: Notify::new(),
            busy: Notify::new(),
        }
    }

    /// Adds one; gives its number. `None`: the member has stopped, which was told.
    pub fn add(
        &self,
        since: Instant,
        task: Option<Task>,
        reply: Reply,
        what: impl FnOnce(u64) -> Proposed,
    ) -> Option<u64> {
        let mut table = hold(&self.table);
        if table.closed {
            // Who is told may ask again.
            drop(table);
            return None;
        }
        let id = table.first.wrapping_add(table.places.len() as u64);
        let changes = table.changes;
        table.places.push_back(Some(Waiting {
            task,
            reply,
            since,
            changes,
        }));
        table.count += 1;
        let (first, idle) = (table.fresh.is_empty(), std::mem::take(&mut table.idle));
        table.fresh.push((id, what(id)));
        drop(table);
        if first {
            self.news.notify_one();
        }
        if idle {
            self.busy.notify_one();
        }
        Some(id)
    }

    /// Resolves when there may be something to take.
    pub async fn come(&self) {
        self.news.notified().await;
    }

    /// Takes what was proposed into `fresh`, which is empty.
    pub fn take_fresh(&self, fresh: &mut Vec<(u64, Proposed)>) {
        std::mem::swap(&mut hold(&self.table).fresh, fresh);
    }

    /// Takes who waits for a proposal.
    pub fn take(&self, id: u64) -> Option<Waiting> {
        hold(&self.table).take(id)
    }

    /// Takes who waits for each of some proposals.
    pub fn take_all(&self, ids: impl Iterator<Item = Option<u64>>) -> Vec<Option<Waiting>> {
        let mut table = hold(&self.table);
        ids.map(|id| table.take(id?)).collect()
    }

    /// Whether somebody waits for a proposal.
    pub fn has(&self, id: u64) -> bool {
        let table = hold(&self.table);
        let place = id.checked_sub(table.first).map(usize::try_from);
        place.is_some_and(|place| place.is_ok_and(|place| matches!(table.places.get(place), Some(Some(_)))))
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        hold(&self.table).count
    }

    /// How often the leader has changed.
    pub fn set_changes(&self, changes: u64) {
        hold(&self.table).changes = changes;
    }

    /// Nothing is answered any more: all who wait are told that the member stopped, and all who come.
    pub fn close(&self) -> usize {
        let (places, fresh) = {
            let mut table = hold(&self.table);
            table.closed = true;
            table.count = 0;
            (
                std::mem::take(&mut table.places),
                std::mem::take(&mut table.fresh),
            )
        };
        drop(fresh);
        places.into_iter().flatten().count()
    }

    /// Takes those who wait for `limit` or longer, each with what it is to be told; gives since when the next one waits.
    fn take_old(&self, now: Instant, limit: Duration) -> (Vec<(Reply, Failure)>, Option<Instant>) {
        let mut table = hold(&self.table);
        let mut old = Vec::new();
        while let Some(Some(waiting)) = table.places.front()
            && waiting.since + limit <= now
        {
            let changed = waiting.changes != table.changes;
            let id = table.first;
            let Some(waiting) = table.take(id) else { break };
            let failure = match changed {
                true => Failure::LeaderFailed,
                false => Failure::TimedOut,
            };
            old.push((waiting.reply, failure));
        }
        let next = table.places.front().and_then(|place| Some(place.as_ref()?.since));
        table.idle = next.is_none();
        (old, next)
    }
}

/// Tells those who wait for longer than `limit`.
pub async fn sweep(inner: Arc<Inner>, limit: Duration) {
    let clock = inner.env.clock.clone();
    loop {
        let (old, next) = inner.pending.take_old(clock.now(), limit);
        for (reply, failure) in old {
            inner.metrics().failed.add(1);
            reply.tell(Err(failure));
        }
        match next {
            Some(since) => clock.sleep_until(since + limit).await,
            None => inner.pending.busy.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use component::Env;
    use std::sync::mpsc;

    fn begun(pending: &Pending, since: Instant) -> (u64, mpsc::Receiver<Result<Answer, Failure>>) {
        let (told, hears) = mpsc::channel();
        let reply = Reply::new(move |answer| told.send(answer).unwrap());
        let id = pending.add(since, None, reply, |_| Proposed::Data(Bytes::new()));
        (id.unwrap_or(0), hears)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_found_by_number_and_told_once() {
        let clock = Env::system().clock;
        let pending = Pending::new(u64::MAX / 2);
        let start = clock.now();
        let begin = || begun(&pending, clock.now());
        let (first, told_first) = begin();
        let (second, told_second) = begin();
        clock.sleep(Duration::from_secs(1)).await;
        let (third, told_third) = begin();
        assert_eq!((second, third), (first + 1, first + 2));
        let mut fresh = Vec::new();
        pending.take_fresh(&mut fresh);
        assert_eq!(
            fresh.iter().map(|it| it.0).collect::<Vec<_>>(),
            [first, second, third]
        );
        // In any order, and what is not there is nobody's.
        pending.take(second).unwrap().reply.tell(Ok(Answer::Done(7)));
        assert!(matches!(told_second.try_recv(), Ok(Ok(Answer::Done(7)))));
        assert!(pending.take(second).is_none() && !pending.has(second));
        assert!(pending.take(third + 1).is_none() && pending.take(first - 1).is_none());
        assert_eq!(pending.len(), 2);
        pending.set_changes(1);
        let (old, next) = pending.take_old(clock.now(), Duration::from_secs(1));
        assert_eq!(next, Some(start + Duration::from_secs(1)));
        for (reply, failure) in old {
            assert!(matches!(failure, Failure::LeaderFailed));
            reply.tell(Err(failure));
        }
        assert!(matches!(told_first.try_recv(), Ok(Err(Failure::LeaderFailed))));
        // The member stops.
        assert_eq!(pending.close(), 1);
        assert!(matches!(told_third.try_recv(), Ok(Err(Failure::Stopped))));
        let (_, told_late) = begin();
        assert!(matches!(told_late.try_recv(), Ok(Err(Failure::Stopped))));
    }

    #[tokio::test]
    async fn who_calls_is_called_back_once_whatever_happens() {
        use crate::{
            replica::{Replica, Settings, auth::Who},
            txn::{Txn, TxnOp},
        };
        let dir = tempfile::tempdir().unwrap();
        let replica = Replica::open(Settings::new(dir.path()), Env::system())
            .await
            .unwrap();
        let put = |key: &'static str| TxnOp::Put {
            key: Bytes::from_static(key.as_bytes()),
            value: Some(Bytes::new()),
            lease: Some(0),
            prev: false,
        };
        let ask = |txn| {
            let (told, hears) = tokio::sync::oneshot::channel();
            let answered = move |answer| told.send(answer).unwrap();
            replica.transact_then(&Who::default(), txn, answered);
            hears
        };
        let asked: Vec<_> = ["a", "b", "c"].map(|key| ask(Txn::of(put(key)))).into();
        let mut revisions = Vec::new();
        for answer in asked {
            revisions.push(answer.await.unwrap().unwrap().revision);
        }
        assert!(
            revisions.is_sorted_by(|one, other| one + 1 == *other),
            "{revisions:?}"
        );
        let twice = Txn {
            success: vec![put("a"), put("a")],
            ..Txn::default()
        };
        let refused = ask(twice).await.unwrap();
        assert!(matches!(refused, Err(Failure::Store(crate::Error::DuplicateKey))));
        let last = ask(Txn::of(put("d")));
        replica.close().await;
        // It was done, or the member ended before.
        assert!(matches!(last.await.unwrap(), Ok(_) | Err(Failure::Stopped)));
        let late = ask(Txn::of(put("e"))).await.unwrap();
        assert!(matches!(late, Err(Failure::Stopped)), "{late:?}");
    }
}
