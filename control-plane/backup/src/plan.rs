//! Snapshots by a schedule.

use crate::{Chunks, Error, Place, Snapshot, Taken};
use api::schedule::Schedule;
use component::{
    Env,
    metrics::{Counter, Description, Gauge},
};
use futures::future::BoxFuture;
use std::{sync::Arc, time::Duration};

/// Takes a snapshot.
pub type Source = Arc<dyn Fn() -> BoxFuture<'static, Result<Taken, Error>> + Send + Sync>;

/// The clock of the machine may be set while one waits.
const LOOK: Duration = Duration::from_secs(60);

const TAKEN: Description = Description::new(
    "ferrokube_snapshots_total",
    "Snapshots of the store that were to be taken by schedule, by where they are kept and what became of them.",
    &["place", "result"],
);
const NEWEST: Description = Description::new(
    "ferrokube_snapshot_last_success_timestamp_seconds",
    "When the newest snapshot of the store was kept, by where.",
    &["place"],
);
const SIZE: Description = Description::new(
    "ferrokube_snapshot_last_size_bytes",
    "Bytes of the newest snapshot of the store, by where it is kept.",
    &["place"],
);

/// When snapshots are taken, where they are kept and how many.
#[derive(Clone)]
pub struct Plan {
    /// When.
    pub schedule: Schedule,
    /// How many are kept in each place; 0: all.
    pub retention: usize,
    /// Where.
    pub places: Vec<Place>,
}

impl Plan {
    /// Takes snapshots until it is dropped. What fails is told and counted, and tried again when it is time again.
    pub async fn run(self, source: Source, env: Env) {
        // All are told from the beginning.
        for place in &self.places {
            let place = place.to_string();
            for result in ["ok", "error"] {
                env.metrics.family::<Counter>(TAKEN).of(&[&place, result]).add(0);
            }
        }
        loop {
            let Some(next) = self.schedule.next(env.clock.wall()) else {
                tracing::warn!("no snapshot is ever taken: the schedule has no time within five years");
                return;
            };
            while env.clock.wall() < next {
                let left = Duration::try_from(next.duration_since(env.clock.wall())).unwrap_or_default();
                env.clock.sleep(left.clamp(Duration::from_millis(1), LOOK)).await;
            }
            self.once(&source, &env).await;
        }
    }

    /// Takes one snapshot, keeps it everywhere, and forgets what is old.
    pub async fn once(&self, source: &Source, env: &Env) {
        let mut first: Option<Snapshot> = None;
        for place in &self.places {
            let chunks = match &first {
                Some(first) => Ok(first.chunks(env)),
                None => source().await.map(|taken| taken.chunks),
            };
            let kept = match chunks {
                Ok(chunks) => self.keep(place, chunks, env).await,
                Err(error) => Err(error),
            };
            let label = place.to_string();
            let result = match kept {
                Ok((name, snapshot)) => {
                    first.get_or_insert(snapshot);
                    tracing::info!(place = label, name, "snapshot taken");
                    "ok"
                }
                Err(error) => {
                    tracing::error!(place = label, %error, "no snapshot was taken");
                    "error"
                }
            };
            env.metrics.family::<Counter>(TAKEN).of(&[&label, result]).add(1);
        }
    }

    async fn keep(&self, place: &Place, chunks: Chunks, env: &Env) -> Result<(String, Snapshot), Error> {
        let taken = env.clock.wall();
        let (name, snapshot) = place.put(None, chunks, env).await?;
        let label = place.to_string();
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        env.metrics
            .family::<Gauge>(NEWEST)
            .of(&[&label])
            .set(taken.as_second());
        env.metrics
            .family::<Gauge>(SIZE)
            .of(&[&label])
            .set(number(snapshot.bytes()));
        if self.retention > 0 {
            for old in place.prune(self.retention, env).await? {
                tracing::info!(
                    place = label,
                    name = old.name,
                    "snapshot removed: newer ones are kept"
                );
            }
        }
        Ok((name, snapshot))
    }
}
