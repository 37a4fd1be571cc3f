//! What a pod's containers are given before they start: whether the node takes the pod at all, objects, volumes, images
//! that are volumes, files of variables.

use super::Worker;
use crate::{
    about,
    actions::{Failure, Observed},
    images::Unavailable,
    pod::{self, Objects, Offer, references},
    view::{Container, Pod},
};
use client::Severity;
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, path::Path};

/// Most bytes of a file of variables.
const FILE_LIMIT: u64 = 64 << 10;

impl Worker {
    /// Rejects a pod that this node cannot take, before anything of it is made.
    pub(super) fn admit(&mut self, pod: &Pod, observed: &Observed) {
        let over = self.memory.failure.is_some() || self.memory.finished || self.memory.gone;
        if over {
            return self.shared.registry.give_back(&self.uid);
        }
        let runs = !observed.sandboxes.is_empty();
        let claimed = self.shared.registry.claim(pod, &self.shared.capacity(), runs);
        if runs {
            return;
        }
        let enabled = "/sys/module/apparmor/parameters/enabled".as_ref();
        let app_armor = self
            .shared
            .machine
            .read_tail(enabled, 1)
            .is_ok_and(|text| text.starts_with(b"Y"));
        let offer = Offer {
            unsafe_sysctls: &self.shared.config.allowed_unsafe_sysctls,
            app_armor,
        };
        let verdict = pod::admit(pod, offer).and(claimed);
        if let Err((reason, message)) = verdict {
            self.shared.registry.give_back(&self.uid);
            self.shared
                .recorder
                .record(about::pod(pod), Severity::Warning, &reason, &message);
            self.memory.failure = Some(Failure {
                reason,
                message: format!("Pod was rejected: {message}"),
            });
        }
    }

    /// Objects and volumes; when tokens must be renewed. An error: when to try again.
    pub(super) async fn prepare(
        &mut self,
        pod: &Pod,
        observed: &Observed,
    ) -> Result<(Objects, Option<Timestamp>), Timestamp> {
        let shared = self.shared.clone();
        let facts = shared.pod_facts(observed, pod);
        let objects = shared
            .sources
            .objects(&pod.metadata.namespace, &references(pod))
            .await;
        let objects = match objects {
            Ok(objects) => objects,
            Err(why) => {
                shared
                    .recorder
                    .record(about::pod(pod), Severity::Warning, "FailedMount", why);
                return Err(self.after(1));
            }
        };
        let made = shared
            .volumes
            .sync(pod, &objects, &facts, &mut self.volumes)
            .await;
        for (reason, text) in self.volumes.take_events() {
            shared
                .recorder
                .record(about::pod(pod), Severity::Warning, reason, text);
        }
        let failure = match made {
            Ok(mounted) => {
                for (reason, text) in &mounted.warnings {
                    shared
                        .recorder
                        .record(about::pod(pod), Severity::Warning, reason, text.clone());
                }
                let renew = mounted.renew;
                self.mounted = mounted;
                self.retries.remove("volumes/");
                self.retries.remove("claims/");
                return Ok((objects, renew));
            }
            Err(failure) => failure,
        };
        let now = shared.env.clock.wall();
        let told = self.retries.get("volumes/").and_then(|retry| retry.until);
        let until = match told.filter(|until| *until > now) {
            Some(until) => until,
            None => {
                // Of a claim that is bound in a moment there is nothing to tell.
                if !failure.waits || self.retries.contains_key("volumes/") {
                    shared.recorder.record(
                        about::pod(pod),
                        Severity::Warning,
                        failure.reason,
                        failure.message,
                    );
                }
                let first = SignedDuration::from_millis(if failure.waits { 2000 } else { 500 });
                self.back_off("volumes/", first, SignedDuration::from_secs(122))
            }
        };
        // Claims tell nobody when they are bound: they are asked again, however seldom that is told of.
        Err(if failure.waits {
            let (first, most) = (SignedDuration::from_millis(50), SignedDuration::from_secs(1));
            until.min(self.back_off("claims/", first, most))
        } else {
            until
        })
    }

    /// The images that the container has as volumes, by volume; pulled as their policies say.
    pub(super) async fn image_volumes(
        &self,
        pod: &Pod,
        container: &Container,
        objects: &Objects,
    ) -> Result<BTreeMap<String, String>, Unavailable> {
        let mut images = BTreeMap::new();
        for volume in &pod.spec.volumes {
            let Some(source) = &volume.image else { continue };
            if source.reference.is_empty() || !container.volume_mounts.iter().any(|m| m.name == volume.name) {
                continue;
            }
            let wanted = Container {
                name: container.name.clone(),
                image: source.reference.clone(),
                image_pull_policy: source.pull_policy.clone(),
                ..Container::default()
            };
            let image = self.shared.images.ensure(pod, &wanted, objects).await?;
            images.insert(volume.name.clone(), image.id);
        }
        Ok(images)
    }

    /// `objects` with the files of variables that the container names.
    pub(super) fn with_files(&self, container: &Container, objects: &Objects) -> Result<Objects, String> {
        let mut objects = objects.clone();
        let sources = container
            .env
            .iter()
            .filter_map(|e| e.value_from.as_ref()?.file_key_ref.as_ref());
        for source in sources {
            let Some(place) = self.mounted.places.get(&source.volume_name) else {
                return Err(format!(
                    "cannot find the volume {:?} referenced by fileKeyRef",
                    source.volume_name
                ));
            };
            match self
                .shared
                .machine
                .read_beneath(&place.path, Path::new(&source.path), FILE_LIMIT)
            {
                Ok(bytes) => {
                    let text =
                        String::from_utf8(bytes).map_err(|e| format!("env file {:?}: {e}", source.path))?;
                    objects
                        .files
                        .insert((source.volume_name.clone(), source.path.clone()), text);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("env file {:?}: {error}", source.path)),
            }
        }
        Ok(objects)
    }
}
