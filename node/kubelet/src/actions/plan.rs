//! `pod_actions`.

use super::{Action, Kill, Memory, Observed};
use crate::{
    pod::resize,
    view::{Container, Pod},
};
use jiff::Timestamp;
use runtime::{ContainerId, ContainerState, ContainerStatus};

struct Planner<'a> {
    pod: &'a Pod,
    observed: &'a Observed,
    memory: &'a Memory,
    now: Timestamp,
    actions: Vec<Action>,
}

/// The next steps for `pod`. Called again after they were done, or when anything changed; no steps: it is as it should
/// be.
pub fn pod_actions(pod: &Pod, observed: &Observed, memory: &Memory, now: Timestamp) -> Vec<Action> {
    let mut planner = Planner {
        pod,
        observed,
        memory,
        now,
        actions: Vec::new(),
    };
    if memory.gone || pod.metadata.deletion_timestamp.is_some() {
        planner.terminate();
    } else if memory.failure.is_some() || memory.finished || planner.finished() {
        planner.put_out();
    } else if observed.sandbox().is_none() {
        planner.renew_sandbox();
    } else {
        planner.tidy();
        planner.containers();
    }
    planner.actions
}

impl Planner<'_> {
    /// Whether a container has ended for good.
    fn over(&self, container: &Container) -> bool {
        let last = self.observed.latest(&container.name);
        last.is_some_and(|l| l.state == ContainerState::Exited && !self.pod.restarts(container, l.exit_code))
    }

    /// Whether nothing of the pod will ever run again.
    fn finished(&self) -> bool {
        let init_failed = self
            .pod
            .spec
            .init_containers
            .iter()
            .filter(|c| !c.is_sidecar())
            .any(|c| {
                let last = self.observed.latest(&c.name);
                self.over(c) && last.is_some_and(|l| l.exit_code != 0)
            });
        init_failed || self.pod.spec.containers.iter().all(|c| self.over(c))
    }

    fn terminate(&mut self) {
        self.put_out();
        if self.actions.is_empty() {
            let gone = self
                .observed
                .sandboxes
                .iter()
                .map(|s| Action::RemoveSandbox(s.id.clone()));
            self.actions = gone.chain([Action::Finalize]).collect();
        }
    }

    /// Stops containers, after them side-cars from the last to the first, then the sandboxes. All are told at once;
    /// side-cars wait for their turn within the same grace.
    fn put_out(&mut self) {
        // Who is deleted by force still gets a moment.
        let evicted = self
            .memory
            .failure
            .as_ref()
            .is_some_and(|f| f.reason == "Evicted");
        let grace = if evicted { 1 } else { self.pod.grace().max(1) };
        let mut sidecars: Vec<(usize, &ContainerStatus)> = Vec::new();
        let mut before: Vec<ContainerId> = Vec::new();
        for running in self.observed.running() {
            match self.sidecar_index(&running.name) {
                Some(index) => sidecars.push((index, running)),
                None => {
                    self.actions.push(Action::Kill(kill(running, grace, "")));
                    if self.pod.spec.containers.iter().any(|c| c.name == running.name) {
                        before.push(running.id.clone());
                    }
                }
            }
        }
        sidecars.sort_by_key(|(index, _)| std::cmp::Reverse(*index));
        for (_, sidecar) in sidecars {
            self.actions.push(Action::Kill(Kill {
                after: before.clone(),
                ..kill(sidecar, grace, "")
            }));
            before.push(sidecar.id.clone());
        }
        if self.actions.is_empty() {
            let standing = self.observed.sandboxes.iter().filter(|s| s.ready);
            self.actions
                .extend(standing.map(|s| Action::StopSandbox(s.id.clone())));
        }
    }

    fn sidecar_index(&self, name: &str) -> Option<usize> {
        let init = &self.pod.spec.init_containers;
        init.iter().position(|c| c.name == name && c.is_sidecar())
    }

    /// The sandbox is lost, or there was none.
    fn renew_sandbox(&mut self) {
        let lost = self.observed.running().map(|c| {
            Action::Kill(kill(
                c,
                0,
                "Pod sandbox changed, it will be killed and re-created.",
            ))
        });
        self.actions.extend(lost);
        self.actions.extend(
            self.observed
                .sandboxes
                .iter()
                .map(|s| Action::StopSandbox(s.id.clone())),
        );
        let attempt = self.observed.sandboxes.first().map_or(0, |s| s.attempt + 1);
        self.actions.push(Action::CreateSandbox { attempt });
    }

    /// Removes instances that nobody asks about any more: of each container the newest two stay.
    fn tidy(&mut self) {
        for container in self.pod.all_containers() {
            let old = self
                .observed
                .instances(&container.name)
                .skip(2)
                .filter(|c| c.state == ContainerState::Exited);
            self.actions
                .extend(old.map(|c| Action::RemoveContainer(c.id.clone())));
        }
        let settled = self
            .pod
            .spec
            .containers
            .iter()
            .all(|c| self.observed.current(&c.name).is_some());
        if settled {
            let old = self.observed.sandboxes.iter().skip(1);
            self.actions
                .extend(old.map(|s| Action::RemoveSandbox(s.id.clone())));
        }
    }

    fn containers(&mut self) {
        self.ephemeral_containers();
        if !self.init_containers() {
            return;
        }
        let pod = self.pod;
        // Upstream starts one after the other, each with its postStart hook.
        let mut held = false;
        for container in &pod.spec.containers {
            match self.observed.latest(&container.name) {
                Some(last) if last.state == ContainerState::Running => {
                    self.keep(container, last);
                    held |= self.memory.hooked.contains(&last.id);
                }
                _ if self.over(container) => {}
                last if !held => self.start(container, last),
                _ => {}
            }
        }
    }

    /// Containers that were added to look at the others: each is started once.
    fn ephemeral_containers(&mut self) {
        let pod = self.pod;
        for container in &pod.spec.ephemeral_containers {
            let name = &container.name;
            let known = self.memory.attempts.contains_key(name);
            match self.observed.latest(name) {
                Some(last) if last.state != ContainerState::Created => {}
                None if known => {}
                last => self.start(container, last),
            }
        }
    }

    /// Init containers in their order; whether all that must come before the others is done.
    fn init_containers(&mut self) -> bool {
        let pod = self.pod;
        let initialized = pod
            .spec
            .containers
            .iter()
            .any(|c| self.observed.current(&c.name).is_some());
        for container in &pod.spec.init_containers {
            let current = self.observed.current(&container.name);
            if container.is_sidecar() {
                let up = current.is_some_and(|c| c.state == ContainerState::Running);
                match current {
                    Some(last) if up => self.keep(container, last),
                    last => self.start(container, last),
                }
                let starting = current.is_some_and(|c| {
                    self.memory.starting.contains(&c.id) || self.memory.hooked.contains(&c.id)
                });
                if !initialized && (!up || starting) {
                    return false;
                }
            } else if !initialized {
                match current {
                    Some(c) if c.state == ContainerState::Exited && c.exit_code == 0 => continue,
                    Some(c) if c.state == ContainerState::Running => self.keep(container, c),
                    last => self.start(container, last),
                }
                return false;
            }
        }
        true
    }

    /// A running container: stopped when a probe condemned it or its definition changed.
    fn keep(&mut self, container: &Container, running: &ContainerStatus) {
        if let Some((grace, why)) = self.memory.condemned.get(&running.id) {
            self.actions.push(Action::Kill(kill(running, *grace, why)));
        } else if running.image != container.image {
            let why = format!(
                "Container {} definition changed, will be restarted",
                container.name
            );
            self.actions
                .push(Action::Kill(kill(running, self.pod.grace(), &why)));
        } else if self.memory.unfit.is_none()
            && let Some(restart) = resize(self.pod, container, running)
        {
            self.actions.push(if restart {
                let why = format!("Container {} resize requires restart", container.name);
                Action::Kill(kill(running, self.pod.grace(), &why))
            } else {
                Action::Resize {
                    container: container.name.clone(),
                    id: running.id.clone(),
                }
            });
        }
    }

    fn start(&mut self, container: &Container, last: Option<&ContainerStatus>) {
        if let Some(exited) = last.filter(|l| l.state == ContainerState::Exited) {
            let backoff = self.memory.backoff.get(&container.name);
            if let Some(until) = backoff.and_then(|b| b.until(exited.finished_at, self.now)) {
                self.actions.push(Action::Wait {
                    container: container.name.clone(),
                    until,
                });
                return;
            }
        }
        if let Some(stale) =
            last.filter(|l| matches!(l.state, ContainerState::Created | ContainerState::Unknown))
        {
            self.actions.push(Action::RemoveContainer(stale.id.clone()));
        }
        let remembered = self.memory.attempts.get(&container.name).map(|n| n + 1);
        let attempt = self
            .observed
            .latest(&container.name)
            .map(|l| l.attempt + 1)
            .max(remembered)
            .unwrap_or(0);
        self.actions.push(Action::Start {
            container: container.name.clone(),
            attempt,
        });
    }
}

fn kill(container: &ContainerStatus, grace: i64, why: &str) -> Kill {
    Kill {
        container: container.name.clone(),
        id: container.id.clone(),
        grace,
        why: why.to_owned(),
        after: Vec::new(),
    }
}
