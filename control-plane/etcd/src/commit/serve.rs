//! Who serves the writer's requests. Between them whoever has something to do for which nothing must be waited may use the
//! writer itself.

use super::{BATCH, Request, Writer};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// The writer, used by one at a time; `None`: it has ended.
pub(crate) type Place = Arc<Mutex<Option<Writer>>>;

/// The one who serves. The writer ends with it, however that ends.
pub(crate) struct Serving(pub Place);

impl Serving {
    /// Serves requests on a thread that may wait for the device.
    pub fn run_blocking(self, mut requests: mpsc::Receiver<Request>) {
        let mut inbox = Vec::with_capacity(BATCH);
        while requests.blocking_recv_many(&mut inbox, BATCH) > 0 && self.step(&mut inbox) {}
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
