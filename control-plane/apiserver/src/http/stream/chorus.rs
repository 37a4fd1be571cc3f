//! Those who watch the same in the same form, and are told it together by one task.

use super::{
    super::door::Way,
    seat::{Member, Report, Seat, chunked},
    teller::{Batch, Teller},
};
use crate::cache::{Selection, Shape, Text};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How many are told by one task: more tasks use more processors, fewer wake less.
const SEATS: usize = 128;

/// All choruses of a server.
#[derive(Default)]
pub struct Choir(Mutex<Vec<Arc<Chorus>>>);

/// Those who are told the same.
pub struct Chorus {
    tune: Tune,
    state: Mutex<State>,
    /// The last one has left.
    empty: Notify,
}

/// What they are told.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tune {
    /// Where the cache is in memory: while one watches it, no other is there.
    cache: usize,
    selection: Selection,
    version: usize,
    shape: Shape,
    text: Text,
    bookmarks: bool,
}

impl Tune {
    /// None for tables, which show ages.
    fn of(teller: &Teller) -> Option<Self> {
        let (shaper, watcher) = (&teller.shaper, &teller.watcher);
        (!matches!(shaper.shape, Shape::Table(_))).then(|| Self {
            cache: std::ptr::from_ref(watcher.cache()).addr(),
            selection: watcher.selection().clone(),
            version: watcher.version,
            shape: shaper.shape,
            text: shaper.text,
            bookmarks: teller.bookmarks,
        })
    }
}

#[derive(Default)]
struct State {
    members: Vec<Arc<Member>>,
    /// All up to this revision was told.
    told: u64,
    /// It takes nobody any more.
    over: bool,
}

impl Choir {
    /// How many are in each.
    #[cfg(test)]
    pub fn sizes(&self) -> Vec<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|chorus| !chorus.state().over);
        all.iter().map(|chorus| chorus.state().members.len()).collect()
    }

    /// Takes who listens to `teller`, and was told all that there is, into a chorus. None if more is to be told before.
    /// What is written to its connection from there is reported.
    pub fn join(
        &self,
        teller: &mut Teller,
        way: &Arc<dyn Way>,
        report: impl FnOnce() -> Report,
    ) -> Option<Seat> {
        let tune = Tune::of(teller)?;
        // Looked at first, so that no task is made for one who is not ready.
        teller.current()?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|chorus| !chorus.state().over);
        let fits = |chorus: &&Arc<Chorus>| chorus.tune == tune && chorus.state().members.len() < SEATS;
        let chorus = match all.iter().find(fits) {
            Some(chorus) => chorus.clone(),
            None => {
                let chorus = Chorus::start(tune, teller)?;
                all.push(chorus.clone());
                chorus
            }
        };
        drop(all);
        chorus.enter(teller, way, report)
    }
}

impl Chorus {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that tells what `like` does from now on.
    fn start(tune: Tune, like: &Teller) -> Option<Arc<Self>> {
        let watcher = like.watcher.another().ok()?;
        let form = (like.bookmarks, false);
        let mut teller = Teller::new(like.server.clone(), watcher, like.shaper.clone(), form, None);
        let chorus = Arc::new(Self {
            tune,
            state: Mutex::default(),
            empty: Notify::new(),
        });
        let leader = Leader(chorus.clone());
        like.server.handler.env.tasks.spawn("watch-chorus", async move {
            tokio::select! {
                biased;
                () = leader.0.empty.notified() => {}
                () = leader.0.lead(&mut teller) => {}
            }
        });
        Some(chorus)
    }

    fn enter(
        self: Arc<Self>,
        teller: &mut Teller,
        way: &Arc<dyn Way>,
        report: impl FnOnce() -> Report,
    ) -> Option<Seat> {
        let mut state = self.state();
        // What was told here and not there waits there if `current` says something after `told`.
        let from = teller.current().filter(|from| *from >= state.told && !state.over);
        let Some(from) = from else {
            self.end_if_empty(&mut state);
            return None;
        };
        let member = Member::new(way.clone(), from, report());
        state.members.push(member.clone());
        drop(state);
        Some(Seat { member, chorus: self })
    }

    /// Forgets a member.
    pub fn leave(&self, member: &Arc<Member>) {
        let mut state = self.state();
        state.members.retain(|other| !Arc::ptr_eq(other, member));
        self.end_if_empty(&mut state);
    }

    fn end_if_empty(&self, state: &mut State) {
        if state.members.is_empty() {
            state.over = true;
            self.empty.notify_one();
        }
    }

    /// Tells all members what `teller` says, until its end.
    async fn lead(&self, teller: &mut Teller) {
        while let Some(batch) = teller.next().await {
            // Writing is not waiting: it must not seem so because much was written before.
            let told = tokio::task::unconstrained(async { self.tell(&batch) }).await;
            teller.sent.add(batch.events * told);
            tokio::task::consume_budget().await;
        }
    }

    /// Tells all members; how many there are.
    fn tell(&self, batch: &Batch) -> u64 {
        let whole = batch.after(0);
        let chunk = chunked(&whole);
        let mut state = self.state();
        state.members.retain(|member| member.tell(batch, &whole, &chunk));
        let last = batch.revisions().map_or(0, |(_, last)| last);
        state.told = state.told.max(last);
        state.members.len() as u64
    }
}

/// The task of a chorus: its members end when it does.
struct Leader(Arc<Chorus>);

impl Drop for Leader {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.over = true;
        let members = std::mem::take(&mut state.members);
        drop(state);
        members.iter().for_each(|member| member.close());
    }
}
