//! The queues of one priority level: fair queuing by virtual time, as a step function.
//!
//! Each flow has a hand of queues; a request goes to the one of them with the least work. Virtual time R is how many
//! seat-seconds each queue that is not empty was due so far. A queue's next request starts at the R that the work
//! before it has reached, and the request that would end first goes first, so that who sends much waits behind
//! oneself and not before others. All times are since some start.

use super::{
    demand::Integrator,
    shard::Dealer,
    work::{SERVICE, Work},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    time::Duration,
};

/// When virtual time begins anew, so that it stays exact.
const EPOCH: f64 = 1e7;

/// What a level does with what it cannot serve at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// It serves everything at once.
    Exempt,
    /// It refuses it.
    Reject,
    /// It waits in one of the queues that are dealt, each of this length.
    Queue(Dealer, usize),
}

/// A request, until it is finished or cancelled.
pub type Id = usize;

/// What becomes of a request that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is served.
    Execute(Id),
    /// It waits until a step dispatches it.
    Wait(Id),
    /// There are no seats, and there is no queue.
    NoSeats,
    /// Its queue is full.
    QueueFull,
}

/// A request that is there.
#[derive(Debug)]
pub struct Request<T> {
    /// Whose it is, and what.
    pub about: T,
    /// How much work.
    pub work: Work,
    /// When it came.
    pub arrived: Duration,
    /// When it was dispatched; none while it waits.
    pub started: Option<Duration>,
    /// Its queue, if there are any.
    pub queue: Option<usize>,
    arrived_r: f64,
}

/// A queue of which some request waits or is served.
#[derive(Debug, Default)]
pub struct Queue {
    /// Who waits, the oldest first.
    pub waiting: VecDeque<Id>,
    /// How many are served.
    pub executing: usize,
    /// Their seats, and those that are kept for a while longer.
    pub in_use: u64,
    /// When its next request starts, in virtual time.
    pub next_r: f64,
    /// Seat-seconds of who waits.
    pub work: f64,
}

/// Seats that are kept after the answer, for the watchers of what was written.
type Kept = Reverse<(Duration, u64, Option<usize>)>;

/// How many of what there was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Requests that were dispatched.
    pub dispatched: u64,
    /// Requests that were refused.
    pub rejected: u64,
    /// Requests that left before they were served.
    pub cancelled: u64,
    /// How often virtual time began anew.
    pub epochs: u64,
}

/// The queues of a level.
#[derive(Debug)]
pub struct Queues<T> {
    response: Response,
    /// Seats.
    limit: u64,
    requests: Vec<Option<Request<T>>>,
    free: Vec<Id>,
    /// Those that are not empty.
    queues: BTreeMap<usize, Queue>,
    kept: BinaryHeap<Kept>,
    now: Duration,
    r: f64,
    robin: usize,
    arrivals: usize,
    waiting: usize,
    executing: usize,
    in_use: u64,
    seats_waiting: u64,
    /// Seats that could be used: in use and waited for.
    pub demand: Integrator,
    /// What was counted.
    pub totals: Totals,
    /// The request that was next, but for which there were too few seats.
    blocked: Option<Id>,
    /// Virtual time when one was last dispatched, and its start.
    last_dispatch: (f64, f64),
}

impl<T> Queues<T> {
    /// Empty.
    pub fn new(response: Response, limit: u64, now: Duration) -> Self {
        let mut demand = Integrator::default();
        demand.reset(now);
        Self {
            response,
            limit,
            requests: Vec::new(),
            free: Vec::new(),
            queues: BTreeMap::new(),
            kept: BinaryHeap::new(),
            now,
            r: 0.0,
            robin: 0,
            arrivals: 0,
            waiting: 0,
            executing: 0,
            in_use: 0,
            seats_waiting: 0,
            demand,
            totals: Totals::default(),
            blocked: None,
            last_dispatch: (0.0, 0.0),
        }
    }

    /// Changes the limit, and what is done above it. Gives who is dispatched.
    pub fn configure(&mut self, now: Duration, response: Response, limit: u64) -> Vec<Id> {
        self.pass(now);
        (self.response, self.limit) = (response, limit);
        self.dispatch()
    }

    /// A request arrives. `hash` is of its flow. Others may be dispatched by the way.
    pub fn arrive(&mut self, now: Duration, about: T, work: Work, hash: u64) -> (Arrival, Vec<Id>) {
        self.pass(now);
        let seats = work.most_seats();
        let Response::Queue(dealer, length) = self.response else {
            if !self.accommodates(seats) {
                self.totals.rejected += 1;
                return (Arrival::NoSeats, Vec::new());
            }
            let id = self.put(about, work, None);
            self.start(id);
            return (Arrival::Execute(id), Vec::new());
        };
        let index = self.choose(dealer, hash);
        let queued = self.queues.get(&index).map_or(0, |queue| queue.waiting.len());
        if self.in_use >= self.limit && queued >= length {
            self.totals.rejected += 1;
            return (Arrival::QueueFull, Vec::new());
        }
        let id = self.put(about, work, Some(index));
        self.enqueue(index, id);
        let mut dispatched = self.dispatch();
        match dispatched.iter().position(|dispatched| *dispatched == id) {
            Some(place) => {
                dispatched.remove(place);
                (Arrival::Execute(id), dispatched)
            }
            None => (Arrival::Wait(id), dispatched),
        }
    }

    /// A request that was served is answered. Gives who is dispatched.
    pub fn finish(&mut self, now: Duration, id: Id) -> Vec<Id> {
        self.pass(now);
        let Some(request) = self.take(id) else {
            return Vec::new();
        };
        self.executing -= 1;
        let seats = request.work.most_seats();
        if let Some(queue) = request.queue.and_then(|index| self.queues.get_mut(&index)) {
            queue.executing -= 1;
            // It was taken to last as long as others do.
            let lasted = now.saturating_sub(request.started.unwrap_or(now)).as_secs_f64();
            queue.next_r -= seat_count(request.work.seats) * (SERVICE.as_secs_f64() - lasted);
            self.bound(request.queue);
        }
        if request.work.extra.is_zero() {
            self.release(seats, request.queue);
        } else {
            self.kept
                .push(Reverse((now + request.work.extra, seats, request.queue)));
        }
        self.dispatch()
    }

    /// A request that waits leaves. False if it does not wait any more, but is served.
    pub fn cancel(&mut self, now: Duration, id: Id) -> bool {
        self.pass(now);
        let waits = |request: &Request<T>| request.started.is_none();
        if !self.request(id).is_some_and(waits) {
            return false;
        }
        let Some(request) = self.take(id) else {
            return false;
        };
        if let Some((index, queue)) = request
            .queue
            .and_then(|index| Some((index, self.queues.get_mut(&index)?)))
        {
            queue.waiting.retain(|waiting| *waiting != id);
            queue.work -= request.work.total();
            self.bound(Some(index));
            self.forget(index);
        }
        self.waiting -= 1;
        self.seats_waiting -= request.work.most_seats();
        (self.totals.rejected, self.totals.cancelled) = (self.totals.rejected + 1, self.totals.cancelled + 1);
        self.note();
        true
    }

    /// Time passes. Gives who is dispatched.
    pub fn tick(&mut self, now: Duration) -> Vec<Id> {
        self.pass(now);
        self.dispatch()
    }

    /// When seats that are kept are free, if somebody waits for them.
    pub fn wakes(&self) -> Option<Duration> {
        let first = self.kept.peek().filter(|_| self.waiting > 0);
        first.map(|Reverse((at, ..))| *at)
    }

    /// A request that is there.
    pub fn request(&self, id: Id) -> Option<&Request<T>> {
        self.requests.get(id)?.as_ref()
    }

    /// All requests.
    pub fn requests(&self) -> impl Iterator<Item = &Request<T>> {
        self.requests.iter().flatten()
    }

    /// The queues that are not empty.
    pub fn queues(&self) -> &BTreeMap<usize, Queue> {
        &self.queues
    }

    /// What is done above the limit.
    pub fn response(&self) -> Response {
        self.response
    }

    /// The request that was next since this was last asked, but for which there were too few seats.
    pub fn take_blocked(&mut self) -> Option<&Request<T>> {
        let id = self.blocked.take()?;
        self.request(id)
    }

    /// How long the queue of a request is.
    pub fn length_behind(&self, id: Id) -> u64 {
        let queue = self
            .request(id)
            .and_then(|request| self.queues.get(&request.queue?));
        queue.map_or(0, |queue| u64::try_from(queue.waiting.len()).unwrap_or(u64::MAX))
    }

    /// Requests that wait, and that are served.
    pub fn counts(&self) -> (usize, usize) {
        (self.waiting, self.executing)
    }

    /// Seats that are in use, and that are waited for.
    pub fn seats(&self) -> (u64, u64) {
        (self.in_use, self.seats_waiting)
    }

    /// Virtual time.
    pub fn r(&self) -> f64 {
        self.r
    }

    /// Virtual time when one was last dispatched from a queue, and its start in virtual time.
    pub fn last_dispatch(&self) -> (f64, f64) {
        self.last_dispatch
    }

    /// The first and last start of the oldest requests of queues; less the work that is under way, if `discounted`.
    pub fn next_starts(&self, discounted: bool) -> Option<(f64, f64)> {
        let start = |queue: &Queue| {
            let under_way = seat_count(queue.in_use) * SERVICE.as_secs_f64();
            queue.next_r - if discounted { under_way } else { 0.0 }
        };
        let waiting = self.queues.values().filter(|queue| !queue.waiting.is_empty());
        waiting.map(start).fold(None, |bounds, start| {
            let (min, max) = bounds.unwrap_or((start, start));
            Some((f64::min(min, start), f64::max(max, start)))
        })
    }

    /// Whether nobody waits or is served.
    pub fn is_idle(&self) -> bool {
        self.waiting == 0 && self.executing == 0
    }

    /// Virtual time goes on, and seats that were kept become free.
    fn pass(&mut self, now: Duration) {
        while let Some(Reverse((at, seats, queue))) =
            self.kept.peek().copied().filter(|Reverse((at, ..))| *at <= now)
        {
            self.kept.pop();
            self.flow(at);
            self.release(seats, queue);
        }
        self.flow(now);
        if self.r > EPOCH {
            self.totals.epochs += 1;
            self.begin_anew();
        }
    }

    fn flow(&mut self, to: Duration) {
        let passed = to.saturating_sub(self.now).as_secs_f64();
        self.now = self.now.max(to);
        let active = |queue: &&Queue| !queue.waiting.is_empty() || queue.executing > 0;
        let active = match self.waiting + self.executing {
            0 => 0,
            1 => 1,
            _ => self.queues.values().filter(active).count(),
        };
        if passed > 0.0 && active > 0 {
            let rate = seat_count((self.in_use + self.seats_waiting).min(self.limit));
            self.r += passed * rate / f64::from(u32::try_from(active).unwrap_or(u32::MAX));
        }
    }

    fn begin_anew(&mut self) {
        let past = self.r;
        self.r = 0.0;
        for queue in self.queues.values_mut() {
            queue.next_r -= past;
        }
        for request in self.requests.iter_mut().flatten() {
            request.arrived_r -= past;
        }
    }

    /// The queue of the hand with the least work; of several the next round.
    fn choose(&mut self, dealer: Dealer, hash: u64) -> usize {
        let hand = dealer.deal(hash);
        self.arrivals = self.arrivals.wrapping_add(1);
        let work = |index: usize| self.queues.get(&index).map_or(0.0, |queue| queue.work);
        let (mut best, mut least) = (0, f64::INFINITY);
        for index in hand.starting(self.arrivals) {
            let work = work(index);
            if work < least {
                (best, least) = (index, work);
            }
        }
        best
    }

    fn put(&mut self, about: T, work: Work, queue: Option<usize>) -> Id {
        let request = Request {
            about,
            work,
            arrived: self.now,
            started: None,
            queue,
            arrived_r: self.r,
        };
        let id = self.free.pop().unwrap_or(self.requests.len());
        if id == self.requests.len() {
            self.requests.push(Some(request));
        } else {
            self.requests[id] = Some(request);
        }
        id
    }

    fn take(&mut self, id: Id) -> Option<Request<T>> {
        let request = self.requests.get_mut(id)?.take()?;
        self.free.push(id);
        Some(request)
    }

    fn enqueue(&mut self, index: usize, id: Id) {
        let Some(work) = self.request(id).map(|request| request.work) else {
            return;
        };
        let r = self.r;
        let queue = self.queues.entry(index).or_default();
        if queue.waiting.is_empty() && queue.executing == 0 {
            queue.next_r = r;
        }
        queue.waiting.push_back(id);
        queue.work += work.total();
        self.waiting += 1;
        self.seats_waiting += work.most_seats();
        self.bound(Some(index));
        self.note();
    }

    /// Dispatches as many as there are seats for.
    fn dispatch(&mut self) -> Vec<Id> {
        let mut dispatched = Vec::new();
        while self.waiting > 0 && (self.in_use < self.limit || self.response == Response::Exempt) {
            let Some(id) = self.dispatch_one() else { break };
            dispatched.push(id);
        }
        dispatched
    }

    /// The queue whose oldest request would end first; of several the next round.
    fn next_queue(&self) -> Option<usize> {
        let after = self.queues.range(self.robin.saturating_add(1)..);
        let (mut best, mut first) = (None, f64::INFINITY);
        for (index, queue) in after.chain(self.queues.range(..=self.robin)) {
            let oldest = queue.waiting.front().and_then(|id| self.request(*id));
            let end = oldest.map_or(f64::INFINITY, |oldest| queue.next_r + oldest.work.total());
            if end < first {
                (best, first) = (Some(*index), end);
            }
        }
        best
    }

    fn dispatch_one(&mut self) -> Option<Id> {
        let index = self.next_queue()?;
        let id = *self.queues.get(&index)?.waiting.front()?;
        let seats = self.request(id)?.work.most_seats();
        if !self.accommodates(seats) {
            self.blocked = Some(id);
            return None;
        }
        self.robin = index;
        let before = self.request(id)?.work.total();
        let limit = self.limit;
        let work = self.requests.get_mut(id)?.as_mut().map(|request| {
            request.work.narrow(limit);
            request.work
        })?;
        let queue = self.queues.get_mut(&index)?;
        queue.waiting.pop_front();
        queue.work -= before;
        if queue.waiting.is_empty() {
            // What is left is what sums of fractions leave.
            queue.work = 0.0;
        }
        self.last_dispatch = (self.r, queue.next_r);
        queue.next_r += work.total();
        self.waiting -= 1;
        self.seats_waiting -= seats;
        self.start(id);
        self.bound(Some(index));
        Some(id)
    }

    fn start(&mut self, id: Id) {
        let now = self.now;
        let Some(request) = self.requests.get_mut(id).and_then(Option::as_mut) else {
            return;
        };
        request.started = Some(now);
        let (seats, index) = (request.work.most_seats(), request.queue);
        if let Some(queue) = index.and_then(|index| self.queues.get_mut(&index)) {
            queue.executing += 1;
            queue.in_use += seats;
        }
        self.executing += 1;
        self.in_use += seats;
        self.totals.dispatched += 1;
        self.note();
    }

    /// Whether a request of so many seats can be served. One that is wider than the level is served alone.
    fn accommodates(&self, seats: u64) -> bool {
        match self.response {
            Response::Exempt => true,
            _ if seats > self.limit => self.executing == 0,
            _ => self.in_use + seats <= self.limit,
        }
    }

    fn release(&mut self, seats: u64, index: Option<usize>) {
        self.in_use -= seats;
        if let Some((index, queue)) = index.and_then(|index| Some((index, self.queues.get_mut(&index)?))) {
            queue.in_use -= seats;
            self.forget(index);
        }
        self.note();
    }

    /// Dispatch does not come before arrival, so that a queue that used less than its due does not save it up.
    fn bound(&mut self, index: Option<usize>) {
        let Some(index) = index else { return };
        let oldest = self.queues.get(&index).and_then(|queue| queue.waiting.front());
        let Some(arrived) = oldest
            .and_then(|id| self.request(*id))
            .map(|request| request.arrived_r)
        else {
            return;
        };
        if let Some(queue) = self.queues.get_mut(&index) {
            queue.next_r = queue.next_r.max(arrived);
        }
    }

    /// Forgets a queue of which nothing is left.
    fn forget(&mut self, index: usize) {
        let empty = |queue: &Queue| queue.waiting.is_empty() && queue.executing == 0 && queue.in_use == 0;
        if self.queues.get(&index).is_some_and(empty) {
            self.queues.remove(&index);
        }
    }

    fn note(&mut self) {
        let demand = self.in_use + self.seats_waiting;
        self.demand.set(self.now, seat_count(demand));
    }
}

/// Seats as a number that divides.
pub fn seat_count(seats: u64) -> f64 {
    f64::from(u32::try_from(seats).unwrap_or(u32::MAX))
}
