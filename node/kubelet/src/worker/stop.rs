//! Stops containers, with their hooks, and lets go of the pod.

use super::{Next, Shared, Worker};
use crate::{
    about,
    actions::{Kill, Observed},
    pod::log_directory,
    prober::{Prober, Subject},
    resources::PODS,
    view::{Handler, Pod},
};
use api::Key;
use client::{DeleteOptions, Severity};
use runtime::ContainerId;
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

impl Worker {
    fn prober(&self) -> Prober {
        Prober {
            runtime: self.shared.runtime.clone(),
            machine: self.shared.machine.clone(),
            clock: self.shared.env.clock.clone(),
            tasks: self.tasks.clone(),
        }
    }

    fn subject(&self, pod: &Arc<Pod>, container: &str, id: &ContainerId, ip: String) -> Subject {
        Subject {
            pod: pod.clone(),
            container: container.to_owned(),
            id: id.clone(),
            ip,
            ..Subject::default()
        }
    }

    /// Stops a container in the background: hook, its turn, signal, grace, kill. A stop that is under way is only made
    /// faster.
    pub(super) fn kill(&self, pod: &Arc<Pod>, observed: &Observed, kill: Kill) {
        let mut killing = self.killing.lock().unwrap_or_else(PoisonError::into_inner);
        if killing
            .get(&kill.id)
            .is_some_and(|under_way| *under_way <= kill.grace)
        {
            return;
        }
        let first = killing.insert(kill.id.clone(), kill.grace).is_none();
        drop(killing);
        let shared = self.shared.clone();
        if first {
            let message = match kill.why.as_str() {
                "" => format!("Stopping container {}", kill.container),
                why => why.to_owned(),
            };
            let about = about::container(pod, &kill.container);
            shared
                .recorder
                .record(about, Severity::Normal, "Killing", message);
        }
        let hook = pod
            .container(&kill.container)
            .and_then(|c| c.lifecycle.pre_stop.clone());
        let hook = hook.filter(|_| first && kill.grace > 0);
        let ip = shared.pod_facts(observed, pod).pod_ips.first().cloned();
        let subject = self.subject(pod, &kill.container, &kill.id, ip.unwrap_or_default());
        let (prober, running) = (self.prober(), self.running.subscribe());
        let (killing, poke) = (self.killing.clone(), self.poke.clone());
        self.tasks.spawn("kill", async move {
            let left = use_grace(&shared, &prober, &subject, hook, &kill, running).await;
            if let Err(error) = shared.runtime.stop_container(kill.id.clone(), left).await {
                tracing::warn!(container = kill.id.0, %error, "container not stopped");
                shared.env.clock.sleep(Duration::from_secs(1)).await;
            }
            killing
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&kill.id);
            poke.notify_one();
        });
    }

    /// Runs the postStart hook; a failure kills the container. Until it is over the container does not count as one
    /// that runs.
    pub(super) fn post_start(&self, pod: &Arc<Pod>, name: &str, id: ContainerId) {
        let hook: Option<Handler> = pod.container(name).and_then(|c| c.lifecycle.post_start.clone());
        let Some(hook) = hook else { return };
        let hooked = self.hooked.clone();
        hooked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.clone());
        let ip = self.writer.last().pod_ip.unwrap_or_default();
        let subject = self.subject(pod, name, &id, ip);
        let (prober, shared, poke) = (self.prober(), self.shared.clone(), self.poke.clone());
        let mut running = self.running.subscribe();
        self.tasks.spawn("post-start", async move {
            // The container is seen to run before it can be seen to have ended.
            let ended = async {
                let _ = running.wait_for(|r| r.contains(&id)).await;
                let _ = running.wait_for(|r| !r.contains(&id)).await;
            };
            let done = tokio::select! {
                biased;
                done = prober.hook(&subject, &hook) => done,
                () = ended => Err("container ended".to_owned()),
            };
            if let Err(why) = done {
                tracing::info!(
                    pod = subject.pod.full_name(),
                    container = subject.container,
                    why,
                    "postStart hook failed"
                );
                let about = about::container(&subject.pod, &subject.container);
                let told = [
                    (Severity::Warning, "FailedPostStartHook", "PostStartHook failed"),
                    (Severity::Normal, "Killing", "FailedPostStartHook"),
                ];
                for (severity, reason, message) in told {
                    shared.recorder.record(about.clone(), severity, reason, message);
                }
                let grace = Duration::from_secs(u64::try_from(subject.pod.grace()).unwrap_or(30));
                if let Err(error) = shared.runtime.stop_container(id.clone(), grace).await {
                    tracing::warn!(%error, "container not stopped after its failed postStart hook");
                }
            }
            hooked.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            poke.notify_one();
        });
    }

    pub(super) fn remove_logs(&self, log: &str) {
        let path = Path::new(log);
        let (Some(folder), Some(file)) = (path.parent(), path.file_name().and_then(|f| f.to_str())) else {
            return;
        };
        for name in self
            .shared
            .machine
            .children(folder)
            .into_iter()
            .filter(|n| n.starts_with(file))
        {
            if let Err(error) = self.shared.machine.remove_tree(&folder.join(&name)) {
                tracing::debug!(log = name, %error, "log not removed");
            }
        }
    }

    /// Writes the last status, lets go of the object, and removes what is left on disk.
    pub(super) async fn finalize(&mut self, pod: &Pod) -> Next {
        let meta = &pod.metadata;
        let machine = &self.shared.machine;
        let left = [
            self.shared.volumes.remove(&self.uid),
            machine.remove_tree(&log_directory(&self.shared.config.log_dir, pod)),
        ];
        if let Some(error) = left.into_iter().find_map(Result::err) {
            tracing::warn!(pod = pod.full_name(), %error, "cannot clean up");
            return Next::Wait(Some(self.after(1)));
        }
        if self.memory.gone {
            return Next::Done;
        }
        self.writer.flushed().await;
        // Who waits for its ports may come as soon as the object is gone.
        self.shared.registry.give_back(&self.uid);
        let options = DeleteOptions {
            uid: Some(self.uid.clone()),
            grace_period_seconds: Some(0),
            ..DeleteOptions::default()
        };
        match self
            .shared
            .client
            .delete(&PODS, &Key::new(&meta.namespace, &meta.name), options)
            .await
        {
            Ok(_) if meta.finalizers.is_empty() => Next::Done,
            // Someone else's finalizer holds the object: the worker stays until it is gone.
            Ok(_) => Next::Wait(None),
            Err(error) if error.is_not_found() || error.is_conflict() => Next::Done,
            Err(error) => {
                tracing::debug!(pod = pod.full_name(), %error, "pod not deleted");
                Next::Wait(Some(self.after(1)))
            }
        }
    }
}

/// What of a container's seconds comes before its signal: the preStop hook, and the end of those that go first. The
/// answer is what is left, which is never less than two seconds unless there were none (upstream:
/// `minimumGracePeriodInSeconds`).
async fn use_grace(
    shared: &Shared,
    prober: &Prober,
    subject: &Subject,
    hook: Option<Handler>,
    kill: &Kill,
    mut running: watch::Receiver<BTreeSet<ContainerId>>,
) -> Duration {
    let clock = &shared.env.clock;
    let grace = Duration::from_secs(u64::try_from(kill.grace).unwrap_or(0));
    let began = clock.now();
    if let Some(hook) = hook
        && let Some(Err(why)) = clock.timeout(grace, prober.hook(subject, &hook)).await
    {
        tracing::info!(
            pod = subject.pod.full_name(),
            container = subject.container,
            why,
            "preStop hook failed"
        );
        let about = about::container(&subject.pod, &subject.container);
        let message = "PreStopHook failed";
        shared
            .recorder
            .record(about, Severity::Warning, "FailedPreStopHook", message);
    }
    let left = || grace.saturating_sub(clock.now() - began);
    let turn = running.wait_for(|running| !kill.after.iter().any(|id| running.contains(id)));
    // Whoever did not end in time has used it all up.
    let _ = clock.timeout(left(), turn).await;
    if grace.is_zero() {
        grace
    } else {
        left().max(Duration::from_secs(2))
    }
}
