//! The task tree: every task has a parent that can stop it and wait for it.

use std::{future::Future, time::Duration};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A branch of the task tree. Clones are the same branch.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// A tree of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// A branch that stops when this one does, and can be stopped alone. Its tasks are waited for by itself only.
    pub fn child(&self) -> Self {
        Self {
            stop: self.stop.child_token(),
            tracker: TaskTracker::new(),
        }
    }

    /// Spawns `future` on the current runtime. It is dropped at its next await when the branch stops.
    pub fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let stop = self.stop.clone();
        self.spawn_draining(name, async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = future => {}
            }
        })
    }

    /// Spawns a `future` that watches [`Tasks::stopping`] itself and finishes its work before it returns.
    pub fn spawn_draining(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let stop = self.stop.clone();
        let guarded = async move {
            let panicked = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(future))
                .await
                .is_err();
            if panicked {
                tracing::error!(task = name, "task panicked; its branch stops");
                stop.cancel();
            }
        };
        self.tracker.spawn(guarded).abort_handle()
    }

    /// Runs blocking `work` off the async workers and waits for it.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.tracker.spawn_blocking(work).await.ok()
    }

    /// Runs blocking `work` in the background, counted in this branch.
    pub fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
        self.tracker.spawn_blocking(work)
    }

    /// Asks the branch to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Resolves when the branch was asked to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the branch was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Asks the branch to stop and waits until its tasks ended, at most `limit`. False if some did not.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_stops_the_branch_and_not_its_parent() {
        let root = Tasks::new();
        let branch = root.child();
        branch.spawn("bad", async { panic!("as the test wants") });
        branch.stopping().await;
        assert!(!root.is_stopping());
    }

    #[tokio::test]
    async fn drain_waits_for_draining_tasks() {
        let tasks = Tasks::new();
        let (sent, received) = tokio::sync::oneshot::channel();
        let inner = tasks.clone();
        tasks.spawn_draining("worker", async move {
            inner.stopping().await;
            let _ = sent.send(());
        });
        assert!(tasks.drain(Duration::from_secs(5)).await);
        assert!(received.await.is_ok());
    }
}
