//! API priority and fairness (KEP-1040): whose request is served next when there are more than the server can take.
//!
//! A request belongs to the first `schema` that matches, and so to a priority `level`, which has a share of the server's
//! seats and `queues` for those that find none. `queues` is a step function over time; this file is the edge where
//! requests wait. What levels do not need is lent (`share`) every ten seconds. `follow` keeps all that in step with the
//! stored objects, `bootstrap` has those that there always are.

mod admit;
mod allocate;
mod bootstrap;
pub mod clients;
mod demand;
mod dump;
mod follow;
mod level;
mod numbers;
mod queues;
mod retry;
pub mod room;
mod schema;
mod shard;
mod share;
mod state;
#[cfg(test)]
mod stories;
mod timed;
mod told;
mod watches;
mod work;

pub use dump::dump;
pub use told::told;
pub use watches::Watching;
pub use work::Listing;

use self::{
    level::{CATCH_ALL, Configuration, Seats},
    numbers::{Numbers, Reason},
    queues::{Arrival, Id, Response},
    schema::Schema,
    state::{Asked, Level, State},
    watches::Watches,
    work::Work,
};
use crate::security::Attributes;
use api::Status;
use component::Env;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// How often seats are lent anew.
const LENDING: Duration = Duration::from_secs(10);
/// Nobody waits for longer.
const LONGEST: Duration = Duration::from_secs(60);

const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// How much a request asks for.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// As much as others.
    One,
    /// A list, or the first part of a watch, of so many objects.
    List(Listing, u64),
    /// A write of what so many watch.
    Write(u64),
}

/// Which flow a request belongs to, as its answer tells.
#[derive(Clone, Debug)]
pub struct Flow {
    schema: HeaderValue,
    level: HeaderValue,
}

impl Flow {
    /// Tells it.
    pub fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(LEVEL_UID, self.level.clone());
        headers.insert(SCHEMA_UID, self.schema.clone());
    }
}

/// A request is refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Its flow.
    pub flow: Flow,
    /// Seconds after which to try again.
    pub retry_after: u64,
}

impl Refused {
    /// As clients in this process are told.
    pub fn status(&self) -> Status {
        let retry_after = u32::try_from(self.retry_after).unwrap_or(u32::MAX);
        Status::too_many_requests("Too many requests, please try again later.", retry_after)
    }
}

/// A schema with its level.
struct Placed {
    schema: Arc<Schema>,
    level: Arc<Level>,
    flow: Flow,
    numbers: Arc<Numbers>,
}

/// What is in force.
#[derive(Default)]
struct Config {
    /// In the order in which they are tried.
    schemas: Vec<Arc<Placed>>,
    /// Those too of which no object is left, until they are idle.
    levels: BTreeMap<String, Arc<Level>>,
}

/// Who is served, who waits.
pub struct Fairness {
    env: Env,
    origin: Instant,
    /// Seats of the server.
    total: u64,
    config: RwLock<Arc<Config>>,
    /// The same by flow: what was counted stays when a schema goes.
    numbers: Mutex<BTreeMap<(String, String), Arc<Numbers>>>,
    /// The fraction of their wishes that levels got when seats were lent.
    fraction: Mutex<f64>,
    flight: Mutex<told::Flight>,
    /// Who watches what.
    pub watches: Watches,
    /// Who costs how much.
    pub clients: Arc<clients::Clients>,
    itself: Weak<Self>,
}

impl Fairness {
    /// With the mandatory objects alone, and `total` seats.
    pub fn new(env: &Env, total: usize, clients: Arc<clients::Clients>) -> Arc<Self> {
        let new = Arc::new_cyclic(|itself| Self {
            origin: env.clock.now(),
            env: env.clone(),
            total: u64::try_from(total).unwrap_or(u64::MAX).max(1),
            config: RwLock::default(),
            numbers: Mutex::default(),
            fraction: Mutex::default(),
            flight: Mutex::new(told::Flight::new()),
            watches: Watches::default(),
            clients,
            itself: itself.clone(),
        });
        new.configure(Vec::new(), Vec::new());
        new
    }

    /// Lends seats every ten seconds, as a task.
    pub fn start(self: &Arc<Self>) {
        let (fairness, clock) = (Arc::downgrade(self), self.env.clock.clone());
        self.env.tasks.spawn("priority-and-fairness", async move {
            loop {
                clock.sleep(LENDING).await;
                let Some(fairness) = fairness.upgrade() else {
                    return;
                };
                fairness.lend();
            }
        });
    }

    /// Waits for a seat for a request, for at most a quarter of the time it has.
    pub async fn enter(
        &self,
        asked: Arc<Attributes>,
        load: Load,
        patience: Duration,
    ) -> Result<Seat, Refused> {
        let placed = self.classify(&asked);
        let arrived = self.now();
        let (seat, waits) = self.arrive(&placed, asked, load, arrived)?;
        let Some(waits) = waits else { return Ok(seat) };
        let limit = (patience / 4).min(LONGEST);
        let mut seat = seat;
        // Its sender is kept with the request until that is dispatched.
        let dispatched = self.env.clock.timeout(limit, waits).await.is_some();
        if dispatched || !seat.leave() {
            seat.begin(arrived);
            return Ok(seat);
        }
        let waited = self.now().saturating_sub(arrived);
        placed.numbers.waited(false, waited.as_secs_f64());
        Err(self.refuse(&placed, Reason::TimeOut))
    }

    fn now(&self) -> Duration {
        self.env.clock.now() - self.origin
    }

    fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first schema that matches; `catch-all` takes what none does.
    fn classify(&self, asked: &Attributes) -> Arc<Placed> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        let all = &config.schemas;
        let first = all.iter().find(|placed| placed.schema.matches(asked));
        let last = || all.iter().find(|placed| placed.schema.name == CATCH_ALL);
        // `configure` always has the catch-all.
        first.or_else(last).unwrap_or(&all[0]).clone()
    }

    /// One step of the queues: a request arrives. The receiver is of one that waits.
    fn arrive(
        &self,
        placed: &Arc<Placed>,
        asked: Arc<Attributes>,
        load: Load,
        now: Duration,
    ) -> Result<(Seat, Option<oneshot::Receiver<()>>), Refused> {
        let (level, numbers) = (&placed.level, &placed.numbers);
        let write = !matches!(asked.verb.as_str(), "get" | "list" | "watch");
        let watch = asked.verb == "watch";
        let mut state = level.lock();
        let most = state.seats.most_of_one;
        let work = match load {
            Load::One => Work::ONE,
            Load::List(list, objects) => Work::list(&list, objects, most),
            Load::Write(watchers) => {
                numbers.watchers.observe(queues::seat_count(watchers));
                Work::write(watchers, most)
            }
        };
        numbers.seats.observe(queues::seat_count(work.most_seats()));
        let queued = matches!(state.queues.response(), Response::Queue(..));
        let hash = if queued { placed.schema.hash(&asked) } else { 0 };
        let user = asked.user.clone();
        let about = Asked {
            asked,
            placed: placed.clone(),
        };
        let (arrival, others) = state.queues.arrive(now, about, work, hash);
        let seat = |id, waits| Seat {
            fairness: self.itself.clone(),
            level: level.clone(),
            placed: placed.clone(),
            user,
            id,
            seats: work.most_seats(),
            waits,
            write,
            watch,
            started: now,
        };
        let (seat, receiver) = match arrival {
            Arrival::Execute(id) => (seat(id, false), None),
            Arrival::Wait(id) => {
                let (sender, receiver) = oneshot::channel();
                state.wakers.insert(id, sender);
                (seat(id, true), Some(receiver))
            }
            Arrival::NoSeats | Arrival::QueueFull => {
                drop(state);
                let reason = match arrival {
                    Arrival::NoSeats => Reason::ConcurrencyLimit,
                    _ => Reason::QueueFull,
                };
                numbers.waited(false, 0.0);
                return Err(self.refuse(placed, reason));
            }
        };
        if queued {
            let length = state.queues.length_behind(seat.id);
            numbers.length.observe(queues::seat_count(length));
        }
        self.settle(level, state, &others, now);
        if seat.waits {
            self.note_flight(now, write, 1, 0);
        } else {
            self.note_flight(now, write, 0, 1);
            numbers.dispatched.add(1);
            numbers.waited(true, 0.0);
        }
        Ok((seat, receiver))
    }

    fn refuse(&self, placed: &Placed, reason: Reason) -> Refused {
        placed.numbers.reject(reason);
        let second = u64::try_from(self.env.clock.wall().as_second()).unwrap_or_default();
        let mut refusals = placed
            .level
            .refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        refusals.note(second);
        Refused {
            flow: placed.flow.clone(),
            retry_after: refusals.retry_after(),
        }
    }

    /// After each step: those who are dispatched go on, and somebody looks again when seats that are kept are free.
    fn settle(
        &self,
        level: &Arc<Level>,
        mut state: std::sync::MutexGuard<'_, State>,
        dispatched: &[Id],
        now: Duration,
    ) {
        state.note(now);
        if let Some(blocked) = state.queues.take_blocked() {
            blocked.about.placed.numbers.no_accommodation.add(1);
        }
        for id in dispatched {
            if let Some(waker) = state.wakers.remove(id) {
                // Who has just left is told in vain, and gives the seat back.
                let _ = waker.send(());
            }
        }
        let Some(at) = state
            .queues
            .wakes()
            .filter(|at| state.alarm.is_none_or(|alarm| *at < alarm))
        else {
            return;
        };
        state.alarm = Some(at);
        drop(state);
        let (fairness, level, clock) = (self.itself.clone(), level.clone(), self.env.clock.clone());
        let at = self.origin + at;
        self.env.tasks.spawn("seats-kept", async move {
            clock.sleep_until(at).await;
            let Some(fairness) = fairness.upgrade() else {
                return;
            };
            let now = fairness.now();
            let mut state = level.lock();
            state.alarm = None;
            let dispatched = state.queues.tick(now);
            fairness.settle(&level, state, &dispatched, now);
        });
    }

    fn note_flight(&self, now: Duration, write: bool, waiting: i64, executing: i64) {
        let mut flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        flight.change(now, write, waiting, executing);
    }

    /// What is counted of the schema `schema` in the level `level`.
    fn numbers_of(&self, level: &str, schema: &str) -> Arc<Numbers> {
        let mut all = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((level.to_owned(), schema.to_owned()))
            .or_default()
            .clone()
    }

    /// What is counted, by level and schema.
    fn numbers(&self) -> Vec<((String, String), Arc<Numbers>)> {
        let all = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|(flow, numbers)| (flow.clone(), numbers.clone()))
            .collect()
    }
}

/// A request that is served, or waits for that; its seat is free again when this is dropped.
pub struct Seat {
    fairness: Weak<Fairness>,
    level: Arc<Level>,
    placed: Arc<Placed>,
    user: Arc<crate::security::User>,
    id: Id,
    seats: u64,
    waits: bool,
    write: bool,
    watch: bool,
    started: Duration,
}

impl Seat {
    /// Its flow.
    pub fn flow(&self) -> &Flow {
        &self.placed.flow
    }

    /// Leaves the queue. False if it was dispatched meanwhile.
    fn leave(&mut self) -> bool {
        let Some(fairness) = self.fairness.upgrade() else {
            return true;
        };
        let now = fairness.now();
        let mut state = self.level.lock();
        if !state.queues.cancel(now, self.id) {
            return false;
        }
        state.wakers.remove(&self.id);
        let dispatched = state.queues.tick(now);
        fairness.settle(&self.level, state, &dispatched, now);
        fairness.note_flight(now, self.write, -1, 0);
        (self.fairness, self.waits) = (Weak::new(), false);
        true
    }

    /// It was dispatched, after it arrived at `arrived`.
    fn begin(&mut self, arrived: Duration) {
        let Some(fairness) = self.fairness.upgrade() else {
            return;
        };
        self.started = fairness.now();
        self.waits = false;
        fairness.note_flight(self.started, self.write, -1, 1);
        self.placed.numbers.dispatched.add(1);
        let waited = self.started.saturating_sub(arrived);
        self.placed.numbers.waited(true, waited.as_secs_f64());
    }

    fn finish(&self, fairness: &Fairness) {
        let now = fairness.now();
        let mut state = self.level.lock();
        let dispatched = state.queues.finish(now, self.id);
        fairness.settle(&self.level, state, &dispatched, now);
        fairness.note_flight(
            now,
            self.write,
            if self.waits { -1 } else { 0 },
            if self.waits { 0 } else { -1 },
        );
        let lasted = now.saturating_sub(self.started).as_secs_f64();
        self.placed.numbers.executed(self.watch, lasted);
        fairness
            .clients
            .sat(&self.user.name, lasted * queues::seat_count(self.seats));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Its caller may have gone while it waited.
        if self.waits && self.leave() {
            self.placed.numbers.reject(Reason::TimeOut);
            return;
        }
        if let Some(fairness) = self.fairness.upgrade() {
            self.finish(&fairness);
        }
    }
}
