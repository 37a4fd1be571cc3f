//! Images of containers: pull policies and back-off (upstream: `pkg/kubelet/images`).

use crate::{
    about,
    actions::{Backoff, go_duration},
    pod::{Objects, PullPolicy, default_tag, pull_policy, registry_auth, valid_reference},
    view::{Container, Pod, Waiting},
};
use client::{About, Recorder, Severity};
use component::Clock;
use jiff::{SignedDuration, Timestamp};
use runtime::{Image, Runtime};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Why there is no image, and when to look again.
#[derive(Clone, Debug)]
pub struct Unavailable {
    /// For the status.
    pub waiting: Waiting,
    /// When to look again.
    pub until: Timestamp,
}

#[derive(Clone, Debug, Default)]
struct Trouble {
    backoff: Backoff,
    error: String,
    /// The failure itself, which is shown for a moment before the back-off is.
    fresh: Option<Unavailable>,
}

/// How long ErrImagePull stands before it becomes ImagePullBackOff.
const SHOWN: SignedDuration = SignedDuration::from_secs(1);

/// The images of this node.
pub struct Images {
    runtime: Arc<dyn Runtime>,
    recorder: Recorder,
    clock: Clock,
    trouble: Mutex<BTreeMap<String, Trouble>>,
    pulls: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Images")
    }
}

struct Request<'a> {
    pod: &'a Pod,
    container: &'a Container,
    objects: &'a Objects,
}

impl Images {
    /// Over `runtime`.
    pub fn new(runtime: Arc<dyn Runtime>, recorder: Recorder, clock: Clock) -> Self {
        Self {
            runtime,
            recorder,
            clock,
            trouble: Mutex::default(),
            pulls: Mutex::default(),
        }
    }

    /// The image of a container, pulled if its policy says so.
    pub async fn ensure(
        &self,
        pod: &Pod,
        container: &Container,
        objects: &Objects,
    ) -> Result<Image, Unavailable> {
        let request = Request {
            pod,
            container,
            objects,
        };
        let image = &container.image;
        if let Err(why) = valid_reference(image) {
            let message = format!(
                "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: {why}"
            );
            return Err(self.refuse(&request, "InspectFailed", "InvalidImageName", message));
        }
        let policy = pull_policy(container);
        if policy != PullPolicy::Always {
            match self.present(&request).await? {
                Some(found) => return Ok(found),
                None if policy == PullPolicy::Never => {
                    let message =
                        format!("Container image {image:?} is not present with pull policy of Never");
                    return Err(self.refuse(&request, "ErrImageNeverPull", "ErrImageNeverPull", message));
                }
                None => {}
            }
        }
        self.backed_off(&request)?;
        self.recorder.record(
            about(&request),
            Severity::Normal,
            "Pulling",
            format!("Pulling image {image:?}"),
        );
        let asked = self.clock.now();
        let turn = self.turn(image);
        let _turn = turn.lock().await;
        if policy == PullPolicy::IfNotPresent
            && let Some(found) = self.present(&request).await?
        {
            return Ok(found);
        }
        self.pull(&request, asked).await
    }

    fn turn(&self, image: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.retain(|_, turn| Arc::strong_count(turn) > 1);
        pulls.entry(image.to_owned()).or_default().clone()
    }

    async fn present(&self, request: &Request<'_>) -> Result<Option<Image>, Unavailable> {
        let image = &request.container.image;
        match self.runtime.image(default_tag(image)).await {
            Ok(Some(found)) => {
                let message = format!(
                    "Container image {image:?} already present on machine and can be accessed by the pod"
                );
                self.recorder
                    .record(about(request), Severity::Normal, "Pulled", message);
                Ok(Some(found))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                let message = format!("Failed to inspect image {image:?}: {error}");
                Err(self.refuse(request, "InspectFailed", "ImageInspectError", message))
            }
        }
    }

    async fn pull(&self, request: &Request<'_>, asked: tokio::time::Instant) -> Result<Image, Unavailable> {
        let image = &request.container.image;
        let auth = registry_auth(request.pod, request.objects, image);
        let began = self.clock.now();
        let pulled = self.runtime.pull(default_tag(image), auth).await;
        let now = self.clock.now();
        let took = |from: tokio::time::Instant| {
            go_duration(SignedDuration::from_millis(
                i64::try_from((now - from).as_millis()).unwrap_or(i64::MAX),
            ))
        };
        match pulled {
            Ok(found) => {
                let message = format!(
                    "Successfully pulled image {image:?} in {} ({} including waiting). Image size: {} bytes.",
                    took(began),
                    took(asked),
                    found.size
                );
                self.recorder
                    .record(about(request), Severity::Normal, "Pulled", message);
                self.trouble(|t| t.remove(&key(request)));
                Ok(found)
            }
            Err(error) => {
                let message = format!("Failed to pull image {image:?}: {error}");
                self.recorder
                    .record(about(request), Severity::Warning, "Failed", message);
                // Upstream's runtimes do not tell a registry that does not answer from one that refuses.
                let reason = "ErrImagePull";
                self.recorder.record(
                    about(request),
                    Severity::Warning,
                    "Failed",
                    format!("Error: {reason}"),
                );
                let wall = self.clock.wall();
                let waiting = Waiting {
                    reason: reason.to_owned(),
                    message: error.to_string(),
                };
                let until = wall.saturating_add(SHOWN).unwrap_or(wall);
                let unavailable = Unavailable { waiting, until };
                self.trouble(|all| {
                    let trouble = all.entry(key(request)).or_default();
                    trouble.backoff.next(wall, wall);
                    trouble.error = format!("{reason}: {error}");
                    trouble.fresh = Some(unavailable.clone());
                });
                Err(unavailable)
            }
        }
    }

    fn trouble<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Trouble>) -> T) -> T {
        f(&mut self.trouble.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn backed_off(&self, request: &Request<'_>) -> Result<(), Unavailable> {
        let now = self.clock.wall();
        let found = self.trouble(|all| {
            let trouble = all.get(&key(request))?;
            let until = trouble.backoff.until_since_update(now)?;
            Some((
                until,
                trouble.error.clone(),
                trouble.fresh.clone().filter(|f| f.until > now),
            ))
        });
        let Some((until, error, fresh)) = found else {
            return Ok(());
        };
        if let Some(fresh) = fresh {
            return Err(fresh);
        }
        let message = format!("Back-off pulling image {:?}", request.container.image);
        self.recorder
            .record(about(request), Severity::Normal, "BackOff", message.clone());
        self.recorder.record(
            about(request),
            Severity::Warning,
            "Failed",
            "Error: ImagePullBackOff",
        );
        let waiting = Waiting {
            reason: "ImagePullBackOff".to_owned(),
            message: format!("{message}: {error}"),
        };
        Err(Unavailable { waiting, until })
    }

    fn refuse(
        &self,
        request: &Request<'_>,
        event: &'static str,
        reason: &str,
        message: String,
    ) -> Unavailable {
        self.recorder
            .record(about(request), Severity::Warning, event, message.clone());
        self.recorder.record(
            about(request),
            Severity::Warning,
            "Failed",
            format!("Error: {reason}"),
        );
        let now = self.clock.wall();
        let until = now.saturating_add(SignedDuration::from_secs(60)).unwrap_or(now);
        Unavailable {
            waiting: Waiting {
                reason: reason.to_owned(),
                message,
            },
            until,
        }
    }

    /// Forgets the troubles of a pod.
    pub fn forget(&self, uid: &str) {
        self.trouble(|all| all.retain(|key, _| !key.starts_with(uid)));
    }
}

fn about(request: &Request<'_>) -> About {
    about::container(request.pod, &request.container.name)
}

fn key(request: &Request<'_>) -> String {
    format!("{}_{}", request.pod.metadata.uid, request.container.image)
}
