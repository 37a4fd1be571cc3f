//! Stops containers, with their hooks, and lets go of the pod.

use super::{Next, Worker};
use crate::{
    about,
    actions::Observed,
    pod::log_directory,
    probes::{Prober, Subject},
    resources::PODS,
    view::{Handler, Pod},
};
use api::Key;
use client::{DeleteOptions, Severity};
use runtime::{ContainerId, SandboxId};
use std::{
    path::Path,
    sync::{Arc, PoisonError},
    time::Duration,
};

impl Worker {
    fn prober(&self) -> Prober {
        Prober {
            runtime: self.shared.runtime.clone(),
            machine: self.shared.machine.clone(),
            clock: self.shared.env.clock.clone(),
            tasks: self.tasks.clone(),
        }
    }

    /// Stops a container in the background: hook, signal, grace, kill. A stop that is under way is only made faster.
    pub(super) fn kill(
        &self,
        pod: &Arc<Pod>,
        observed: &Observed,
        name: String,
        id: ContainerId,
        grace: i64,
        why: String,
    ) {
        let mut killing = self.killing.lock().unwrap_or_else(PoisonError::into_inner);
        if killing.get(&id).is_some_and(|under_way| *under_way <= grace) {
            return;
        }
        let first = killing.insert(id.clone(), grace).is_none();
        drop(killing);
        let shared = self.shared.clone();
        if first {
            let message = if why.is_empty() {
                format!("Stopping container {name}")
            } else {
                why
            };
            shared
                .recorder
                .record(about::container(pod, &name), Severity::Normal, "Killing", message);
        }
        let hook = pod
            .container(&name)
            .and_then(|c| c.lifecycle.pre_stop.clone())
            .filter(|_| first && grace > 0);
        let ip = shared
            .pod_facts(observed, pod)
            .pod_ips
            .first()
            .cloned()
            .unwrap_or_default();
        let subject = Subject {
            pod: pod.clone(),
            container: name,
            id: id.clone(),
            ip,
        };
        let (prober, killing, poke) = (self.prober(), self.killing.clone(), self.poke.clone());
        self.tasks.spawn("kill", async move {
            let mut left = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
            if let Some(hook) = hook {
                let began = shared.env.clock.now();
                if let Err(why) = prober.run(&subject, &hook, left).await {
                    let about = about::container(&subject.pod, &subject.container);
                    shared.recorder.record(
                        about,
                        Severity::Warning,
                        "FailedPreStopHook",
                        format!("PreStopHook failed: {why}"),
                    );
                }
                // However long the hook took, the process gets a moment, as upstream's minimum of two seconds.
                left = left
                    .saturating_sub(shared.env.clock.now() - began)
                    .max(Duration::from_secs(2));
            }
            if let Err(error) = shared.runtime.stop_container(id.clone(), left).await {
                tracing::warn!(container = id.0, %error, "container not stopped");
                shared.env.clock.sleep(Duration::from_secs(1)).await;
            }
            killing.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            poke.notify_one();
        });
    }

    /// Runs the postStart hook; a failure kills the container.
    pub(super) fn post_start(&self, pod: &Arc<Pod>, name: &str, id: ContainerId, _sandbox: &SandboxId) {
        let hook: Option<Handler> = pod.container(name).and_then(|c| c.lifecycle.post_start.clone());
        let Some(hook) = hook else { return };
        let ip = self.writer.last().pod_ip.unwrap_or_default();
        let subject = Subject {
            pod: pod.clone(),
            container: name.to_owned(),
            id: id.clone(),
            ip,
        };
        let (prober, shared) = (self.prober(), self.shared.clone());
        self.tasks.spawn("post-start", async move {
            let limit = Duration::from_secs(3600);
            let Err(why) = prober.run(&subject, &hook, limit).await else {
                return;
            };
            let about = about::container(&subject.pod, &subject.container);
            shared.recorder.record(
                about.clone(),
                Severity::Warning,
                "FailedPostStartHook",
                format!("PostStartHook failed: {why}"),
            );
            shared
                .recorder
                .record(about, Severity::Normal, "Killing", "FailedPostStartHook");
            let grace = Duration::from_secs(u64::try_from(subject.pod.grace()).unwrap_or(30));
            if let Err(error) = shared.runtime.stop_container(id, grace).await {
                tracing::warn!(%error, "container not stopped after its failed postStart hook");
            }
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
