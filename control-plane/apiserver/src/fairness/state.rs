//! A level while it runs.

use super::{
    Duration, Placed, Seats,
    demand::Demand,
    level::Configuration,
    queues::{Id, Queues, seat_count},
    retry::Refusals,
    timed::Timed,
    told,
};
use crate::security::Attributes;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// A request in the queues.
pub struct Asked {
    /// Who asks what.
    pub asked: Arc<Attributes>,
    /// Its flow.
    pub placed: Arc<Placed>,
}

/// A priority level.
pub struct Level {
    state: Mutex<State>,
    /// Who was refused of late.
    pub refusals: Mutex<Refusals>,
}

/// What changes of it.
pub struct State {
    /// What it was told to be.
    pub configuration: Configuration,
    /// Its queues.
    pub queues: Queues<Asked>,
    /// Those who wait.
    pub wakers: BTreeMap<Id, oneshot::Sender<()>>,
    /// When a task looks at it again.
    pub alarm: Option<Duration>,
    /// What it has by its configuration.
    pub seats: Seats,
    /// What it has now.
    pub current: u64,
    /// What it could use.
    pub demand: Demand,
    /// What it was taken to want when seats were lent.
    pub target: f64,
    /// Its object is gone; it ends when nothing is left in it.
    pub quiescing: bool,
    /// Requests that wait, per place.
    pub waiting: Timed,
    /// Requests that are served, per seat.
    pub executing: Timed,
    /// Seats in use, per seat.
    pub used: Timed,
    /// Seats that could be used, per seat.
    pub wanted: Timed,
}

impl Level {
    /// A new level.
    pub fn new(configuration: Configuration, now: Duration) -> Self {
        let state = State {
            queues: Queues::new(configuration.response, 0, now),
            configuration,
            wakers: BTreeMap::new(),
            alarm: None,
            seats: Seats::default(),
            current: 0,
            demand: Demand::default(),
            target: 0.0,
            quiescing: false,
            waiting: Timed::new(&told::REQUESTS, now),
            executing: Timed::new(&told::REQUESTS, now),
            used: Timed::new(&told::UTILIZATION, now),
            wanted: Timed::new(&told::DEMAND, now),
        };
        Self {
            state: Mutex::new(state),
            refusals: Mutex::default(),
        }
    }

    /// What changes of it.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes how full it is from now on.
    pub fn note(&mut self, now: Duration) {
        let count = |count: usize| seat_count(u64::try_from(count).unwrap_or(u64::MAX));
        let ((waiting, executing), (used, wanted)) = (self.queues.counts(), self.queues.seats());
        self.waiting.set(now, count(waiting));
        self.executing.set(now, count(executing));
        self.used.set(now, seat_count(used));
        self.wanted.set(now, seat_count(used + wanted));
    }

    /// Gives it so many seats. `else_of` is what ratios are told of if it has none. Gives who is dispatched.
    pub fn give(&mut self, now: Duration, current: u64, else_of: u64) -> Vec<Id> {
        self.current = current;
        let seats = if current > 0 { current } else { else_of };
        for ratio in [&mut self.executing, &mut self.used, &mut self.wanted] {
            ratio.set_denominator(now, seat_count(seats));
        }
        let places = u64::try_from(self.configuration.places).unwrap_or(u64::MAX);
        self.waiting.set_denominator(now, seat_count(places));
        self.queues.configure(now, self.configuration.response, current)
    }
}
