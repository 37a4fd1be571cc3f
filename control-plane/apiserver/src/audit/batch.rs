//! A queue before a back end.

use super::{Batch, Event, Output, metrics::Metrics};
use component::{Clock, Env, Tasks};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::Instant,
};

/// The queue.
pub(super) struct Queue(Sender<Arc<Event>>);

/// Who takes from it.
struct Worker {
    name: &'static str,
    output: Arc<dyn Output>,
    batch: Batch,
    /// Bytes of a batch, if there is a limit.
    most: Option<usize>,
    metrics: Arc<Metrics>,
    clock: Clock,
    tasks: Tasks,
    bucket: Option<Bucket>,
}

/// So many batches a second.
struct Bucket {
    qps: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// How long to wait for the next.
    fn take(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.qps).min(self.burst) - 1.0;
        self.at = now;
        Duration::from_secs_f64((-self.tokens / self.qps).max(0.0))
    }
}

impl Queue {
    pub fn start(
        name: &'static str,
        output: Arc<dyn Output>,
        batch: Batch,
        most: Option<usize>,
        metrics: Arc<Metrics>,
        env: &Env,
    ) -> Self {
        let (sender, receiver) = channel(batch.buffer_size);
        let bucket = batch.throttle.map(|(qps, burst)| Bucket {
            qps,
            burst: f64::from(burst),
            tokens: f64::from(burst),
            at: env.clock.now(),
        });
        let worker = Worker {
            name,
            output,
            batch,
            most,
            metrics,
            clock: env.clock.clone(),
            tasks: env.tasks.clone(),
            bucket,
        };
        env.tasks.spawn_draining("audit-queue", worker.run(receiver));
        Self(sender)
    }

    /// Puts an event in, or says that it is lost.
    pub fn put(&self, event: Arc<Event>, metrics: &Metrics) {
        if let Err(error) = self.0.try_send(event) {
            use tokio::sync::mpsc::error::TrySendError::{Closed, Full};
            let (why, event) = match error {
                Full(event) => ("audit buffer queue blocked", event),
                Closed(event) => ("audit backend shut down", event),
            };
            metrics.lost("buffered", why, &[event]);
        }
    }
}

impl Worker {
    async fn run(mut self, mut events: Receiver<Arc<Event>>) {
        loop {
            let batch = self.collect(&mut events).await;
            if batch.is_empty() {
                return;
            }
            for part in self.parts(batch) {
                self.send(part).await;
            }
        }
    }

    /// The next batch; an empty one at the end.
    async fn collect(&self, events: &mut Receiver<Arc<Event>>) -> Vec<Arc<Event>> {
        let mut batch = Vec::new();
        let first = tokio::select! {
            biased;
            event = events.recv() => event,
            () = self.tasks.stopping() => None,
        };
        // What came before the end is still given on.
        batch.extend(first.or_else(|| events.try_recv().ok()));
        if batch.is_empty() {
            return batch;
        }
        let late = self.clock.now() + self.batch.max_wait;
        while batch.len() < self.batch.max_size {
            if let Ok(event) = events.try_recv() {
                batch.push(event);
                continue;
            }
            let left = late.saturating_duration_since(self.clock.now());
            if left.is_zero() {
                break;
            }
            let next = tokio::select! {
                biased;
                next = self.clock.timeout(left, events.recv()) => next.flatten(),
                () = self.tasks.stopping() => None,
            };
            match next {
                Some(event) => batch.push(event),
                None => break,
            }
        }
        batch
    }

    /// In parts that are not too large.
    fn parts(&self, batch: Vec<Arc<Event>>) -> Vec<Vec<Arc<Event>>> {
        let Some(most) = self.most else { return vec![batch] };
        let (mut parts, mut size) = (vec![Vec::new()], 0);
        for event in batch {
            let length = event.json().len();
            if size > 0 && size + length > most {
                parts.push(Vec::new());
                size = 0;
            }
            size += length;
            if let Some(part) = parts.last_mut() {
                part.push(event);
            }
        }
        parts
    }

    async fn send(&mut self, events: Vec<Arc<Event>>) {
        if let Some(bucket) = &mut self.bucket {
            let pause = bucket.take(self.clock.now());
            if !pause.is_zero() && !self.tasks.is_stopping() {
                self.clock.sleep(pause).await;
            }
        }
        let (name, output, metrics) = (self.name, self.output.clone(), self.metrics.clone());
        let work = async move {
            if let Err(why) = output.write(&events).await {
                metrics.lost(name, &why, &events);
            }
        };
        if self.batch.several {
            self.tasks.spawn_draining("audit-batch", work);
        } else {
            work.await;
        }
    }
}
