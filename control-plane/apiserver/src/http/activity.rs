//! What goes on on a connection, and when it has been idle for long enough.

use component::Clock;
use http::Version;
use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Release},
    },
    task::Poll,
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// How long a client may take for the head of a request, as upstream.
const HEAD: Duration = Duration::from_secs(32);
/// How long a connection may do nothing between requests, as upstream.
const IDLE: Duration = Duration::from_secs(90);

/// What goes on on a connection.
pub struct Activity {
    clock: Clock,
    open: AtomicUsize,
    /// Since when the client is waited for, and for how long.
    waiting: Mutex<(Instant, Duration)>,
    /// There was a request.
    asked: AtomicBool,
    /// It was one of HTTP/1.
    heads: AtomicBool,
    /// It is to end when its requests are answered.
    pub enough: Notify,
}

/// A request that is not answered yet.
pub struct Open(pub Arc<Activity>);

impl Drop for Open {
    fn drop(&mut self) {
        // Set before, so that nobody sees an old time on a connection that is not busy.
        self.0.wait(IDLE);
        self.0.open.fetch_sub(1, AcqRel);
    }
}

impl Activity {
    /// Of a connection that begins now.
    pub fn new(clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            clock: clock.clone(),
            open: AtomicUsize::new(0),
            waiting: Mutex::new((clock.now(), HEAD)),
            asked: AtomicBool::new(false),
            heads: AtomicBool::new(false),
            enough: Notify::new(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, (Instant, Duration)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, patience: Duration) {
        *self.waiting() = (self.clock.now(), patience);
    }

    /// A request came.
    pub fn begin(self: &Arc<Self>, version: Version) -> Open {
        self.open.fetch_add(1, AcqRel);
        self.asked.store(true, Release);
        self.heads.store(version < Version::HTTP_2, Release);
        Open(self.clone())
    }

    /// Something was read: between requests of HTTP/1 the head of the next.
    pub fn heard(&self) {
        let between = self.heads.load(Acquire) && self.open.load(Acquire) == 0;
        if between && self.waiting().1 == IDLE {
            self.wait(HEAD);
        }
    }

    /// Whether there was a request.
    pub fn was_asked(&self) -> bool {
        self.asked.load(Acquire)
    }

    /// When it has been idle for long enough; none while a request is open.
    fn deadline(&self) -> Option<Instant> {
        let (since, patience) = *self.waiting();
        (self.open.load(Acquire) == 0).then(|| since + patience)
    }

    /// Until nothing went on for long enough. Polled by the task that reads, after it has read. The timer is only set anew
    /// when it is over, not for each request.
    pub async fn idle(&self) {
        let mut alarm = self.clock.now() + HEAD;
        loop {
            let earlier = poll_fn(|_| match self.deadline() {
                Some(deadline) if deadline < alarm => Poll::Ready(()),
                _ => Poll::Pending,
            });
            tokio::select! {
                biased;
                () = earlier => {}
                () = self.clock.sleep_until(alarm) => {}
            }
            let now = self.clock.now();
            match self.deadline() {
                Some(deadline) if deadline <= now => return,
                Some(deadline) => alarm = deadline,
                None => alarm = now + IDLE,
            }
        }
    }
}
