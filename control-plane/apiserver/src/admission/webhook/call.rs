//! One question to one webhook.

use super::{
    AdmissionWebhooks, Objects, Phase,
    configuration::Hook,
    review::{self, Answer, Texts},
};
use crate::{
    admission::{Attributes, matching::Target},
    webhook::Failure,
};
use api::{Object, Status};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

/// Why a webhook does not let a request go on.
#[derive(Debug)]
pub enum Refusal {
    /// It failed: what its failure policy is for; with the code that it answered, or that stands for how it failed.
    Failed(String, u16),
    /// It said no.
    Denied(Status),
    /// This server cannot do what it wants.
    Unable(Status),
}

impl Refusal {
    /// As the client gets it.
    pub fn status(self) -> Status {
        match self {
            Self::Failed(why, _) => Status::internal(why),
            Self::Denied(status) | Self::Unable(status) => status,
        }
    }

    /// As metrics name it, and the code that they tell.
    pub fn sort(&self) -> (&'static str, u16) {
        match self {
            Self::Failed(_, code) => ("calling_webhook_error", *code),
            Self::Denied(status) => ("no_error", status.code.min(600)),
            Self::Unable(_) => ("apiserver_internal_error", 0),
        }
    }
}

fn failed(hook: &Hook, why: impl std::fmt::Display, code: u16) -> Refusal {
    Refusal::Failed(format!("failed calling webhook {:?}: {why}", hook.name), code)
}

impl AdmissionWebhooks {
    /// Asks `hook`. What it says beside yes and no is noted.
    pub(super) async fn call(
        &self,
        hook: &Hook,
        request: &Attributes<'_>,
        target: &Target,
        objects: &Objects,
    ) -> Result<Answer, Refusal> {
        let started = self.parts.env.clock.now();
        let asked = self.exchange(hook, request, target, objects);
        let asked = request.notes().during(self.phase.layer(), asked).await;
        let seconds = (self.parts.env.clock.now() - started).as_secs_f64();
        let (rejected, code) = match &asked {
            Ok(_) => (false, 200),
            Err(refusal @ Refusal::Failed(..)) => (!hook.ignore, refusal.sort().1),
            Err(refusal) => (true, refusal.sort().1),
        };
        let metrics = &self.parts.metrics.webhooks;
        metrics.asked(
            &hook.name,
            self.phase.name(),
            request.operation,
            rejected,
            code,
            seconds,
        );
        asked
    }

    async fn exchange(
        &self,
        hook: &Hook,
        request: &Attributes<'_>,
        target: &Target,
        objects: &Objects,
    ) -> Result<Answer, Refusal> {
        if request.call.dry_run && !hook.dry_run {
            let why = format!("admission webhook {:?} does not support dry run", hook.name);
            return Err(Refusal::Unable(Status::bad_request(why)));
        }
        let Some(review) = hook.review else {
            let why = "could not create admission objects: webhook does not accept known AdmissionReview versions \
                       (v1, v1beta1)";
            return Err(failed(hook, why, 400));
        };
        let Some(endpoint) = &hook.endpoint else {
            return Err(failed(
                hook,
                "could not get REST client: there is neither url nor service",
                500,
            ));
        };
        let uid = self.parts.env.random.uuid();
        let texts = Texts::of(objects.object.as_ref(), objects.old.as_ref());
        let asked = request.gvr();
        let question = review::request(request, target, &asked, &uid, &texts)
            .and_then(|request| review::question(review, request))
            .map_err(Refusal::Unable)?;
        let text = self.caller.post(endpoint, question, hook.patience).await;
        let text = text.map_err(|failure| {
            let code = match &failure {
                Failure::Unreached(_) => 503,
                Failure::Refused(code, _) => *code,
            };
            failed(hook, format!("failed to call webhook: {failure}"), code)
        })?;
        let mutating = self.phase == Phase::Mutating;
        let answer = review::answer(&text, review, &uid, mutating)
            .map_err(|why| failed(hook, format!("received invalid webhook response: {why}"), 503))?;
        let notes = request.notes();
        for (key, value) in &answer.annotations {
            notes.annotate(format!("{}/{key}", hook.name), value);
        }
        for warning in &answer.warnings {
            notes.warn(warning);
        }
        if answer.allowed {
            Ok(answer)
        } else {
            Err(Refusal::Denied(review::denial(hook, answer.status)))
        }
    }
}

/// `object` with the patch that was answered; none if there is none.
pub fn patched(hook: &Hook, answer: &Answer, object: Option<&Arc<Object>>) -> Result<Option<Bytes>, Refusal> {
    if answer.patch.is_empty() {
        return Ok(None);
    }
    let steps: Vec<&RawValue> = serde_json::from_slice(&answer.patch).map_err(|error| {
        failed(
            hook,
            format!("received undecodable patch in webhook response: {error}"),
            503,
        )
    })?;
    if steps.is_empty() {
        return Ok(None);
    }
    let Some(object) = object else {
        let why = format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            hook.name
        );
        return Err(Refusal::Unable(Status::internal(why)));
    };
    if answer.patch_type != "JSONPatch" {
        return Err(failed(
            hook,
            format!("unsupported patch type {:?}", answer.patch_type),
            400,
        ));
    }
    let patched = schema::json_patch(&object.to_json(), &answer.patch);
    patched
        .map(|body| Some(body.into()))
        .map_err(|why| Refusal::Unable(Status::internal(why)))
}

#[derive(Serialize)]
struct Mutation<'a> {
    configuration: &'a str,
    webhook: &'a str,
    mutated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Patch<'a> {
    configuration: &'a str,
    webhook: &'a str,
    patch: Vec<BTreeMap<String, Box<RawValue>>>,
    patch_type: &'a str,
}

fn place(request: &Attributes<'_>, index: usize) -> String {
    format!("round_{}_index_{index}", u8::from(request.rounds.second))
}

/// Notes for audit whether a mutating webhook that was asked changed the object.
pub fn annotate_mutation(hook: &Hook, index: usize, request: &Attributes<'_>, mutated: bool) {
    let mutation = Mutation {
        configuration: &hook.configuration,
        webhook: &hook.name,
        mutated,
    };
    if let Ok(text) = serde_json::to_string(&mutation) {
        let key = format!("mutation.webhook.admission.k8s.io/{}", place(request, index));
        request.notes().annotate(key, text);
    }
}

/// Notes for audit the patch of a mutating webhook, which belongs to the content of the request.
pub fn annotate_patch(hook: &Hook, index: usize, request: &Attributes<'_>, answer: &Answer) {
    let patch = Patch {
        configuration: &hook.configuration,
        webhook: &hook.name,
        patch: serde_json::from_slice(&answer.patch).unwrap_or_default(),
        patch_type: &answer.patch_type,
    };
    if let Ok(text) = serde_json::to_string(&patch) {
        let key = format!("patch.webhook.admission.k8s.io/{}", place(request, index));
        request.notes().annotate_content(key, text);
    }
}

/// Notes for audit that a mutating webhook failed and was let go by.
pub fn failed_open(hook: &Hook, index: usize, request: &Attributes<'_>) {
    let key = format!(
        "failed-open.mutation.webhook.admission.k8s.io/{}",
        place(request, index)
    );
    request.notes().annotate(key, &hook.name);
}

/// The same of a validating one.
pub fn failed_open_validating(hook: &Hook, index: usize, request: &Attributes<'_>) {
    let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}");
    request.notes().annotate(key, &hook.name);
}
