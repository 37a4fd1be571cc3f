//! Does the actions of a plan.

use super::{Next, Worker};
use crate::{
    about,
    actions::{Action, Observed},
    pod::{Objects, limits_of, sandbox_config},
    view::Pod,
};
use client::Severity;
use jiff::{SignedDuration, Timestamp};
use runtime::{ContainerId, SandboxId};
use std::sync::Arc;

impl Worker {
    pub(super) async fn execute(
        &mut self,
        pod: &Arc<Pod>,
        observed: &Observed,
        actions: Vec<Action>,
    ) -> Next {
        let starts = actions
            .iter()
            .any(|a| matches!(a, Action::CreateSandbox { .. } | Action::Start { .. }));
        let over = self.memory.failure.is_some() || self.memory.finished || self.memory.gone;
        let stands = observed.sandbox().is_some() && !over;
        let going = pod.metadata.deletion_timestamp.is_some();
        let mut wake: Option<Timestamp> = None;
        let mut objects = Objects::default();
        if starts || (stands && !going) {
            match self.prepare(pod, observed).await {
                Ok((found, renew)) => {
                    objects = found;
                    wake = renew;
                }
                // What runs goes on; what is to start waits.
                Err(until) if starts => return Next::Wait(Some(until)),
                Err(until) => wake = Some(until),
            }
        }
        let (mut again, mut hooked) = (false, false);
        for action in actions {
            let later = match action {
                // What comes after a container with a postStart hook waits for that.
                Action::Start { .. } if hooked => Ok(true),
                Action::Start { container, attempt } => {
                    match self.start(pod, observed, &objects, &container, attempt).await {
                        Ok(()) => {
                            let of = pod.container(&container);
                            hooked = of.is_some_and(|c| c.lifecycle.post_start.is_some());
                            Ok(true)
                        }
                        Err(until) => Err(until),
                    }
                }
                Action::Wait { until, .. } => Err(until),
                Action::Kill(kill) => {
                    self.kill(pod, observed, kill);
                    Ok(false)
                }
                Action::Resize { container, id } => self.resize(pod, observed, &container, id).await,
                Action::Finalize => return self.finalize(pod).await,
                other => self.change(pod, observed, other).await,
            };
            match later {
                Ok(changed) => again |= changed,
                Err(until) => wake = Some(wake.map_or(until, |w| w.min(until))),
            }
        }
        if again { Next::Again } else { Next::Wait(wake) }
    }

    /// The next time to try `what`: doubles from `first` to `most`.
    pub(super) fn back_off(&mut self, what: &str, first: SignedDuration, most: SignedDuration) -> Timestamp {
        let now = self.shared.env.clock.wall();
        let retry = self.retries.entry(what.to_owned()).or_default();
        retry.delay = (retry.delay * 2).clamp(first, most);
        let until = now.saturating_add(retry.delay).unwrap_or(now);
        retry.until = Some(until);
        until
    }

    /// Gives a running container, and the pod as a whole, other limits. Which comes first depends on whether they grow.
    async fn resize(
        &mut self,
        pod: &Pod,
        observed: &Observed,
        name: &str,
        id: ContainerId,
    ) -> Result<bool, Timestamp> {
        let (Some(container), Some(sandbox)) = (pod.container(name), observed.sandbox()) else {
            return Ok(false);
        };
        let capacity = i64::try_from(self.shared.facts.memory).unwrap_or(i64::MAX);
        let (own, whole) = limits_of(pod, container, capacity);
        let runtime = &self.shared.runtime;
        let mut done = runtime.update_container(id.clone(), own.clone()).await;
        let pods = runtime.update_sandbox(sandbox.id.clone(), whole).await;
        if done.is_err() {
            done = runtime.update_container(id, own).await;
        }
        match done.and(pods) {
            Ok(()) => {
                self.memory.resize_error = None;
                Ok(true)
            }
            Err(error) => {
                self.memory.resize_error = Some(error.to_string());
                Err(self.after(5))
            }
        }
    }

    /// Sandboxes and dead containers. Whether anything changed; an error: when to try again.
    async fn change(&mut self, pod: &Pod, observed: &Observed, action: Action) -> Result<bool, Timestamp> {
        let runtime = self.shared.runtime.clone();
        let done = match &action {
            Action::CreateSandbox { attempt } => return self.create_sandbox(pod, *attempt).await,
            Action::StopSandbox(id) => runtime.stop_sandbox(id.clone()).await,
            Action::RemoveSandbox(id) => runtime.remove_sandbox(id.clone()).await,
            Action::RemoveContainer(id) => {
                let removed = runtime.remove_container(id.clone()).await;
                let log = observed
                    .containers
                    .iter()
                    .find(|c| c.id == *id)
                    .map(|c| c.log_path.clone());
                if let Some(log) = log.filter(|log| removed.is_ok() && !log.is_empty()) {
                    self.remove_logs(&log);
                }
                removed
            }
            _ => return Ok(false),
        };
        match done {
            Ok(()) => Ok(true),
            Err(error) => {
                tracing::warn!(pod = pod.full_name(), %action, %error, "runtime refused");
                Err(self.after(1))
            }
        }
    }

    async fn create_sandbox(&mut self, pod: &Pod, attempt: u32) -> Result<bool, Timestamp> {
        let now = self.shared.env.clock.wall();
        if let Some(until) = self
            .retries
            .get("sandbox/")
            .and_then(|r| r.until)
            .filter(|until| *until > now)
        {
            return Err(until);
        }
        let config = &self.shared.config;
        let sandbox = sandbox_config(
            pod,
            attempt,
            &config.log_dir,
            &self.shared.machine.resolv_conf(),
            &config.cluster_dns,
            &config.cluster_domain,
        );
        if attempt > 0 {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            self.shared
                .recorder
                .record(about::pod(pod), Severity::Normal, "SandboxChanged", message);
        }
        let made = match sandbox {
            Ok(mut sandbox) => {
                sandbox.config.resources.pids_limit = config.pod_pids_limit;
                for (reason, text) in sandbox.warnings {
                    self.shared
                        .recorder
                        .record(about::pod(pod), Severity::Warning, reason, text);
                }
                let made = self.shared.runtime.run_sandbox(sandbox.config).await;
                made.map_err(|error| error.to_string())
            }
            Err(why) => Err(why),
        };
        match made {
            Ok(SandboxId(id)) => {
                self.retries.remove("sandbox/");
                self.shared.registry.own(&SandboxId(id), &self.uid);
                Ok(true)
            }
            Err(error) => {
                let message = format!("Failed to create pod sandbox: {error}");
                self.shared.recorder.record(
                    about::pod(pod),
                    Severity::Warning,
                    "FailedCreatePodSandBox",
                    message,
                );
                Err(self.back_off(
                    "sandbox/",
                    SignedDuration::from_secs(1),
                    SignedDuration::from_secs(60),
                ))
            }
        }
    }
}
