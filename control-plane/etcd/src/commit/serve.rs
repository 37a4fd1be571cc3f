//! Who serves the writer's requests. Between them whoever has something to do for which nothing must be waited may use the
//! writer itself.

use super::{BATCH, Request, Writer};
use component::Clock;
use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::sync::mpsc;

/// How long those who were answered are waited for at most.
const WAIT: Duration = Duration::from_micros(100);

/// The writer, used by one at a time; `None`: it has ended.
pub(crate) type Place = Arc<Mutex<Option<Writer>>>;

/// The one who serves. The writer ends with it, however that ends.
pub(crate) struct Serving(pub Place);

impl Serving {
    /// Serves requests on a thread that may wait for the device.
    pub fn run_blocking(self, clock: &Clock, mut requests: mpsc::Receiver<Request>) {
        let mut inbox = Vec::with_capacity(BATCH);
        let mut crowd = Crowd::default();
        while requests.blocking_recv_many(&mut inbox, BATCH) > 0 {
            crowd.gather(clock, &mut requests, &mut inbox);
            let (size, begun) = (inbox.len(), clock.now());
            let goes_on = self.step(&mut inbox);
            crowd.went(size, clock.now() - begun);
            if !goes_on {
                break;
            }
        }
        self.finish(requests);
    }

    /// Serves requests of a store in memory.
    pub async fn run(self, mut requests: mpsc::Receiver<Request>) {
        let mut inbox = Vec::with_capacity(BATCH);
        while requests.recv_many(&mut inbox, BATCH).await > 0 && self.step(&mut inbox) {}
        self.finish(requests);
    }

    /// Does all that is in the inbox. False when the writer is to end, or somebody panicked who used it.
    fn step(&self, inbox: &mut Vec<Request>) -> bool {
        let held = self.0.lock();
        held.is_ok_and(|mut held| held.as_mut().is_some_and(|writer| writer.step(inbox)))
    }

    fn finish(self, requests: mpsc::Receiver<Request>) {
        if let Ok(mut held) = self.0.lock()
            && let Some(writer) = held.take()
        {
            writer.finish(requests);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Those whose requests were done together. Most of them come again at once, and if the first of them is not served alone, they
/// share a sync again.
#[derive(Debug, Default)]
struct Crowd {
    size: usize,
    /// What doing their requests took.
    took: Duration,
    /// How often in a row too few of them came again, and for how many batches nobody is waited for because of that.
    vain: u32,
    pause: u32,
}

impl Crowd {
    /// Adds to the inbox what they ask again, if that comes soon.
    fn gather(&self, clock: &Clock, requests: &mut mpsc::Receiver<Request>, inbox: &mut Vec<Request>) {
        let Some(limit) = self.limit() else {
            return;
        };
        let begun = clock.now();
        while inbox.len() + requests.len() < self.size && clock.now() - begun < limit {
            thread::yield_now();
        }
        while inbox.len() < BATCH
            && let Ok(request) = requests.try_recv()
        {
            inbox.push(request);
        }
    }

    /// How long to wait for them, at most.
    fn limit(&self) -> Option<Duration> {
        (self.size > 1 && self.pause == 0).then(|| WAIT.min(self.took / 4))
    }

    /// So many were served next, in this time.
    fn went(&mut self, size: usize, took: Duration) {
        if self.pause > 0 {
            self.pause -= 1;
        } else if self.size > 1 {
            let enough = size * 4 >= self.size * 3;
            self.vain = if enough { 0 } else { (self.vain + 1).min(10) };
            self.pause = (1 << self.vain) - 1;
        }
        (self.size, self.took) = (size, took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_micros(200);

    #[test]
    fn who_comes_again_is_waited_for() {
        let mut crowd = Crowd::default();
        assert_eq!(crowd.limit(), None);
        crowd.went(1, TOOK);
        assert_eq!(crowd.limit(), None, "one has nobody to wait for");
        for _ in 0..100 {
            crowd.went(64, TOOK);
            assert_eq!(crowd.limit(), Some(TOOK / 4));
        }
        crowd.went(64, Duration::from_secs(1));
        assert_eq!(crowd.limit(), Some(WAIT));
    }

    #[test]
    fn who_does_not_come_again_is_waited_for_ever_more_rarely() {
        let mut crowd = Crowd::default();
        let mut waits = 0;
        for _ in 0..5_000 {
            crowd.went(64, TOOK);
            crowd.went(2, TOOK);
            waits += usize::from(crowd.limit().is_some());
        }
        assert!(waits < 20, "{waits}");
        let mut batches = 0;
        while crowd.limit().is_none() {
            crowd.went(64, TOOK);
            batches += 1;
        }
        assert!(batches <= 1024, "{batches}");
    }
}
