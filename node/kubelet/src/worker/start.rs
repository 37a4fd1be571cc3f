//! Starts a container: image, config, create, start.

use super::Worker;
use crate::{
    about,
    actions::Observed,
    images::Unavailable,
    pod::{ContainerSite, Objects, container_config, hosts_file},
    view::{Container, Pod, Service, Waiting},
};
use client::{Cache, Severity};
use jiff::{SignedDuration, Timestamp};
use runtime::{ContainerConfig, ContainerState, Image, SandboxId};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

impl Worker {
    /// Makes and starts a container. An error: when to try again.
    pub(super) async fn start(
        &mut self,
        pod: &Arc<Pod>,
        observed: &Observed,
        objects: &Objects,
        name: &str,
        attempt: u32,
    ) -> Result<(), Timestamp> {
        let now = self.shared.env.clock.wall();
        if let Some(until) = self
            .retries
            .get(name)
            .and_then(|r| r.until)
            .filter(|until| *until > now)
        {
            return Err(until);
        }
        let (Some(container), Some(sandbox)) = (pod.container(name), observed.sandbox()) else {
            return Err(self.after(1));
        };
        let mut input = self.input.clone();
        let leaving = async {
            // The worker holds the other end as long as it lives.
            let _ = input
                .wait_for(|i| i.gone || i.pod.metadata.deletion_timestamp.is_some())
                .await;
        };
        let images = async {
            let image = self.shared.images.ensure(pod, container, objects).await?;
            Ok((image, self.image_volumes(pod, container, objects).await?))
        };
        let images: Result<_, Unavailable> = tokio::select! {
            biased;
            images = images => images,
            () = leaving => return Err(now),
        };
        let (image, given) = match images {
            Ok(images) => images,
            Err(unavailable) => {
                self.waiting.insert(name.to_owned(), unavailable.waiting);
                return Err(unavailable.until);
            }
        };
        let config = match self
            .config(pod, observed, objects, container, attempt, (&image, &given))
            .await
        {
            Ok(config) => config,
            Err(why) => {
                let error = format!("Error: {why}");
                self.shared
                    .recorder
                    .record(about::container(pod, name), Severity::Warning, "Failed", error);
                return Err(self.fail(
                    name,
                    "CreateContainerConfigError",
                    why,
                    SignedDuration::from_secs(10),
                ));
            }
        };
        let failed = observed
            .latest(name)
            .filter(|c| c.state == ContainerState::Exited);
        let failed = failed.map(|c| c.finished_at);
        self.launch(pod, sandbox.id.clone(), config, failed).await
    }

    fn fail(&mut self, name: &str, reason: &str, message: String, first: SignedDuration) -> Timestamp {
        self.waiting.insert(
            name.to_owned(),
            Waiting {
                reason: reason.to_owned(),
                message,
            },
        );
        // A ConfigMap or Secret that comes later pokes the worker: only other failures must wait.
        let gate = reason != "CreateContainerConfigError";
        let now = self.shared.env.clock.wall();
        let retry = self.retries.entry(name.to_owned()).or_default();
        retry.delay = (retry.delay * 2).clamp(first, SignedDuration::from_secs(300));
        let until = now.saturating_add(retry.delay).unwrap_or(now);
        retry.until = gate.then_some(until);
        until
    }

    async fn config(
        &self,
        pod: &Pod,
        observed: &Observed,
        objects: &Objects,
        container: &Container,
        attempt: u32,
        (image, given): (&Image, &BTreeMap<String, String>),
    ) -> Result<ContainerConfig, String> {
        let shared = &self.shared;
        let services = &shared.services;
        // A static pod may be what brings the API server.
        let patient = !self.input.borrow().is_static;
        if patient
            && shared
                .env
                .clock
                .timeout(Duration::from_secs(10), services.synced())
                .await
                .is_none()
        {
            return Err("services have not yet been read at least once, cannot construct envvars".to_owned());
        }
        let facts = shared.pod_facts(observed, pod);
        let folder = shared.volumes.pod_dir(&pod.metadata.uid);
        let termination_log = folder
            .join("containers")
            .join(&container.name)
            .join(attempt.to_string());
        let write = |path: &PathBuf, bytes: &[u8], mode| {
            shared
                .machine
                .write(path, bytes, mode)
                .map_err(|e| format!("{}: {e}", path.display()))
        };
        write(&termination_log, b"", 0o666)?;
        let hosts = folder.join("etc-hosts");
        let host_file = if pod.spec.host_network {
            let text = shared
                .machine
                .read_tail("/etc/hosts".as_ref(), 1 << 20)
                .unwrap_or_default();
            String::from_utf8_lossy(&text).into_owned()
        } else {
            String::new()
        };
        let text = hosts_file(pod, &facts.pod_ips, &shared.config.cluster_domain, &host_file);
        write(&hosts, text.as_bytes(), 0o644)?;
        let site = ContainerSite {
            attempt,
            image,
            objects: &self.with_files(container, objects)?,
            services: &visible_services(services, &pod.metadata.namespace),
            facts: &facts,
            volumes: &self.mounted.places,
            images: given,
            groups: &self.mounted.groups,
            sub_path: &|index, mount, place, sub| {
                let volumes = &shared.volumes;
                volumes.sub_path(pod, (&mount.name, &place.path), sub, (&container.name, index))
            },
            hosts_file: Some(hosts),
            termination_log,
            memory_capacity: i64::try_from(shared.facts.memory).unwrap_or(i64::MAX),
            seccomp_root: &shared.config.root_dir.join("seccomp"),
        };
        let mut config = container_config(pod, container, &site)?;
        let target = &container.target_container_name;
        if !target.is_empty() {
            let of = observed.running().find(|c| c.name == *target);
            let id = of.map(|c| c.id.clone());
            config.target = Some(id.ok_or_else(|| format!("unable to find target container {target}"))?);
        }
        Ok(config)
    }

    async fn launch(
        &mut self,
        pod: &Arc<Pod>,
        sandbox: SandboxId,
        config: ContainerConfig,
        failed: Option<Timestamp>,
    ) -> Result<(), Timestamp> {
        let name = config.name.clone();
        let about = about::container(pod, &name);
        let recorder = self.shared.recorder.clone();
        let created = self
            .shared
            .runtime
            .create_container(sandbox.clone(), config)
            .await;
        let id = match created {
            Ok(id) => id,
            Err(error) => {
                recorder.record(about, Severity::Warning, "Failed", format!("Error: {error}"));
                return Err(self.fail(
                    &name,
                    "CreateContainerError",
                    error.to_string(),
                    SignedDuration::from_secs(10),
                ));
            }
        };
        recorder.record(about.clone(), Severity::Normal, "Created", "Container created");
        if let Some(failed) = failed {
            let now = self.shared.env.clock.wall();
            let backoff = self.memory.backoff.entry(name.clone()).or_default();
            backoff.next(failed, now);
        }
        if let Err(error) = self.shared.runtime.start_container(id.clone()).await {
            recorder.record(about, Severity::Warning, "Failed", format!("Error: {error}"));
            let until = self.fail(
                &name,
                "RunContainerError",
                error.to_string(),
                SignedDuration::from_secs(10),
            );
            if matches!(error, runtime::Error::CannotRun(_)) {
                // It counts as a run that ended: the crash back-off says when to try again.
                self.retries.remove(&name);
                return Err(self.shared.env.clock.wall());
            }
            return Err(until);
        }
        recorder.record(about, Severity::Normal, "Started", "Container started");
        self.waiting.remove(&name);
        self.retries.remove(&name);
        self.post_start(pod, &name, id);
        Ok(())
    }
}

/// The services that a pod of `namespace` may be told of.
fn visible_services(cache: &Cache, namespace: &str) -> Vec<Service> {
    let mut objects = cache.in_namespace(namespace);
    if namespace != "default" {
        objects.extend(cache.get(&api::Key::new("default", "kubernetes")));
    }
    objects.iter().filter_map(|o| o.view().ok()).collect()
}
