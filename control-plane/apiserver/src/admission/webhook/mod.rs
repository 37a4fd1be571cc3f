//! MutatingAdmissionWebhook and ValidatingAdmissionWebhook: servers that are asked about writes before they are done
//! (upstream `apiserver/pkg/admission/plugin/webhook`).
//!
//! The configurations are compiled when they change. A request that no rule of theirs is about costs a look at the
//! rules. Those that mutate are asked in the order of their configurations' names, those that validate all at once.

mod call;
mod conditions;
mod configuration;
pub mod metrics;
mod review;
#[cfg(test)]
pub(super) mod stories;
mod users;

use super::{Attributes, Parts, Remote, forms, matching::Target};
use crate::{audit::Layer, custom::Webhooks, security::Authorizer, webhook::Caller};
use api::{Gvr, Object, Status};
use call::Refusal;
use conditions::Verdict;
use configuration::{Configurations, Hook};
use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use std::sync::Arc;
pub use users::Configuration;
use users::Users;

const GROUP: &str = "admissionregistration.k8s.io";

/// Which of the two plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Mutating,
    Validating,
}

impl Phase {
    /// As metrics name it.
    const fn name(self) -> &'static str {
        match self {
            Self::Mutating => "admit",
            Self::Validating => "validating",
        }
    }

    /// As audit tells how long it took.
    const fn layer(self) -> Layer {
        match self {
            Self::Mutating => Layer::MutatingWebhook,
            Self::Validating => Layer::ValidatingWebhook,
        }
    }
}

/// Either plugin.
pub struct AdmissionWebhooks {
    phase: Phase,
    configurations: Configurations,
    parts: Parts,
    caller: Caller,
}

impl AdmissionWebhooks {
    /// MutatingAdmissionWebhook.
    pub fn mutating(parts: &Parts) -> Self {
        let users = Users::new(&parts.configuration.mutating_webhooks);
        Self::new(Phase::Mutating, "mutatingwebhookconfigurations", users, parts)
    }

    /// ValidatingAdmissionWebhook.
    pub fn validating(parts: &Parts) -> Self {
        let users = Users::new(&parts.configuration.validating_webhooks);
        Self::new(Phase::Validating, "validatingwebhookconfigurations", users, parts)
    }

    fn new(phase: Phase, resource: &'static str, users: Users, parts: &Parts) -> Self {
        Self {
            phase,
            configurations: Configurations::new(parts.reader.clone(), Gvr::new(GROUP, "v1", resource), users),
            caller: parts.conversions.caller().clone(),
            parts: parts.clone(),
        }
    }

    fn concern(&self, request: &Attributes<'_>) -> bool {
        let concerns = |hook: &Arc<Hook>| hook.matching.as_ref().map_or(true, |of| of.concerns(request));
        self.configurations.hooks().iter().any(concerns)
    }

    fn conversions(&self) -> &Webhooks {
        &self.parts.conversions
    }

    fn authorizer(&self) -> &dyn Authorizer {
        self.parts.authorizer.as_ref()
    }

    /// As what the hook is asked about the request, and the objects in that version; none if it is not asked.
    async fn target(
        &self,
        hook: &Hook,
        request: &Attributes<'_>,
    ) -> Result<Option<(Target, Objects)>, Status> {
        let matching = hook.matching.as_ref().map_err(Status::internal)?;
        let Some(target) = matching.matches(request, &self.parts.reader)? else {
            return Ok(None);
        };
        let objects = Objects {
            object: self.seen(request, request.object.as_ref(), &target).await?,
            old: self.seen(request, request.old.as_ref(), &target).await?,
        };
        if hook.conditions.is_empty() {
            return Ok(Some((target, objects)));
        }
        let seen = [objects.object.as_ref(), objects.old.as_ref()];
        let judged = hook.conditions.judge(request, &target, seen, self.authorizer());
        let (verdict, failed) = judged.await?;
        let metrics = &self.parts.metrics.webhooks;
        metrics.conditions_failed(&hook.name, self.phase.name(), request.operation, failed);
        match verdict {
            Verdict::Matches => Ok(Some((target, objects))),
            Verdict::Excluded => {
                metrics.excluded(&hook.name, self.phase.name(), request.operation);
                Ok(None)
            }
            Verdict::Failed(why) => Err(Status::forbidden(&request.gvr(), request.name, &why)),
        }
    }

    /// `object` in the version of `target`, if it is of the resource's own kind.
    async fn seen(
        &self,
        request: &Attributes<'_>,
        object: Option<&Arc<Object>>,
        target: &Target,
    ) -> Result<Option<Arc<Object>>, Status> {
        let (Some(object), Some(place), Some(version)) = (object, request.place, target.version) else {
            return Ok(object.cloned());
        };
        if object.kind() != place.row().kind {
            return Ok(Some(object.clone()));
        }
        forms::in_version(self.conversions(), place, object, version)
            .await
            .map(Some)
    }

    /// One after the other.
    async fn mutate(&self, request: &mut Attributes<'_>) -> Result<(), Status> {
        let rounds = &mut request.rounds;
        if rounds.second && rounds.webhooks.outdated(request.object.as_ref()) {
            rounds.webhooks.changed();
        }
        for (index, hook) in self.configurations.hooks().iter().enumerate() {
            let Some((target, objects)) = self.target(hook, request).await? else {
                continue;
            };
            // Who was not asked in the first round is not asked in the second.
            if request.rounds.second && !request.rounds.webhooks.again.contains(&hook.id) {
                continue;
            }
            let asked = self.ask(hook, index, request, &target, objects).await;
            let mutated = match asked {
                Ok(Some(body)) => {
                    let taken = self.take(request, &target, body).await;
                    taken.inspect_err(|status| {
                        tracing::warn!(webhook = hook.name, %status, "what it made of the object is refused");
                    })
                }
                Ok(None) => Ok(false),
                Err(status) => Err(status),
            };
            call::annotate_mutation(
                hook,
                index,
                request,
                mutated.as_ref().is_ok_and(|mutated| *mutated),
            );
            if mutated? {
                request.rounds.webhooks.changed();
                request.rounds.wanted = true;
            }
            if hook.again {
                request.rounds.webhooks.before.insert(hook.id.clone());
            }
        }
        request.rounds.webhooks.left = request.object.clone();
        Ok(())
    }

    /// Takes the object as a webhook left it, in the version of `target`. Whether it is another.
    async fn take(
        &self,
        request: &mut Attributes<'_>,
        target: &Target,
        body: bytes::Bytes,
    ) -> Result<bool, Status> {
        let own = request.place.zip(target.version);
        let own = own.filter(|(place, _)| *place.row().kind == *request.kind.kind);
        let body = match own {
            Some((place, version)) => forms::returned(self.conversions(), place, body, version).await?,
            None => body,
        };
        let before = request.object.clone();
        request.set_foreign(body)?;
        let same = before
            .zip(request.object.as_ref())
            .is_some_and(|(a, b)| a.body() == b.body());
        Ok(!same)
    }

    /// Asks one that mutates: the object as it wants it, in the version in which it was asked.
    async fn ask(
        &self,
        hook: &Hook,
        index: usize,
        request: &Attributes<'_>,
        target: &Target,
        objects: Objects,
    ) -> Result<Option<bytes::Bytes>, Status> {
        let object = objects.object.clone();
        let asked = self.call(hook, request, target, &objects).await;
        let answer = match self.judged(hook, request, asked) {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                call::failed_open(hook, index, request);
                return Ok(None);
            }
            Err(status) => return Err(status),
        };
        let patched = call::patched(hook, &answer, object.as_ref());
        let patched = self.judged(hook, request, patched)?.flatten();
        if patched.is_some() {
            call::annotate_patch(hook, index, request, &answer);
        }
        Ok(patched)
    }

    /// All at once.
    async fn check(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let hooks = self.configurations.hooks();
        let mut asked = Vec::new();
        for hook in hooks.iter() {
            if let Some((target, objects)) = self.target(hook, request).await? {
                asked.push((hook, target, objects));
            }
        }
        // Those that are asked are numbered.
        let all = asked
            .iter()
            .enumerate()
            .map(|(index, (hook, target, objects))| async move {
                let asked = self.call(hook, request, target, objects).await;
                if self.judged(hook, request, asked)?.is_none() {
                    call::failed_open_validating(hook, index, request);
                }
                Ok(())
            });
        join_all(all).await.into_iter().collect()
    }

    /// A failure of the hook itself is let through if it may be ignored: none.
    fn judged<T>(
        &self,
        hook: &Hook,
        request: &Attributes<'_>,
        asked: Result<T, Refusal>,
    ) -> Result<Option<T>, Status> {
        let metrics = &self.parts.metrics.webhooks;
        let refusal = match asked {
            Ok(answer) => return Ok(Some(answer)),
            Err(refusal) => refusal,
        };
        let (name, phase) = (hook.name.as_str(), self.phase.name());
        if let Refusal::Failed(why, _) = &refusal
            && hook.ignore
        {
            tracing::warn!(webhook = name, why, "failed, and is let go by");
            metrics.fail_open(name, phase);
            return Ok(None);
        }
        metrics.rejected(name, phase, request.operation, &refusal);
        match &refusal {
            Refusal::Denied(status) => tracing::debug!(webhook = name, %status, "denied"),
            Refusal::Failed(why, _) => {
                tracing::warn!(webhook = name, why, "failed, and nothing is let go by")
            }
            Refusal::Unable(status) => tracing::warn!(webhook = name, %status, "wants what cannot be done"),
        }
        Err(refusal.status())
    }
}

/// The objects of a request in the version in which a hook is asked.
struct Objects {
    object: Option<Arc<Object>>,
    old: Option<Arc<Object>>,
}

impl Remote for AdmissionWebhooks {
    fn mutates(&self, request: &Attributes<'_>) -> bool {
        self.phase == Phase::Mutating && self.concern(request)
    }

    fn admit<'a>(&'a self, request: &'a mut Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        self.mutate(request).boxed()
    }

    fn validates(&self, request: &Attributes<'_>) -> bool {
        self.phase == Phase::Validating && self.concern(request)
    }

    fn validate<'a>(&'a self, request: &'a Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        self.check(request).boxed()
    }
}
