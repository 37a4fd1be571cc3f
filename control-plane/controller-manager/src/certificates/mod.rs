//! CertificateSigningRequests: approved when the API server says that who asks may have them, signed when they are
//! approved, deleted when they are old (upstream `pkg/controller/certificates`).
//!
//! Asking and signing are effects, so this is no `Controller`: [`step`] is pure and says what is next for a request.

mod bundle;
mod executor;
mod pod_requests;
mod request;
mod signer;
mod signers;
#[cfg(test)]
mod stories;

pub use bundle::ServingBundleController;
pub(crate) use executor::start;
pub use pod_requests::PodCertificateRequestCleaner;
pub use signer::{Signer, SignerError};
pub use signers::Signers;

use api::{Gvr, Object};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

const REQUESTS: Gvr = Gvr::new("certificates.k8s.io", "v1", "certificatesigningrequests");

/// After so long, requests that were settled are deleted; and those that nobody settled.
const SETTLED: Duration = Duration::from_secs(3600);
const PENDING: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct View {
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    request: String,
    signer_name: String,
    expiration_seconds: Option<i64>,
    usages: Vec<String>,
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    certificate: String,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_transition_time: Option<Timestamp>,
}

/// What is to be done about a request.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// Ask in turn whether who asks may create it with one of these subresources; the first yes approves, with the
    /// message.
    Ask(Vec<(&'static str, &'static str)>),
    /// Sign it, for so long.
    Sign(SignedDuration),
    /// It cannot be signed: why.
    Fail(String),
    /// It is old.
    Delete,
    /// Nothing before so long.
    Wait(Duration),
}

/// What is next for a request.
fn step(object: &Object, view: &View, signers: &Signers, now: Timestamp) -> Step {
    let signs = signers.of(&view.spec.signer_name).is_some();
    let has = |kind: &str| view.status.conditions.iter().find(|c| c.r#type == kind);
    let (approved, denied, failed) = (has("Approved"), has("Denied"), has("Failed"));
    let issued = !view.status.certificate.is_empty();
    let settled = failed.or(denied).or(approved.filter(|_| issued));
    let wait = match settled {
        Some(condition) => left(condition.last_update_time, SETTLED, now),
        None if view.status.conditions.is_empty() => left(object.creation_timestamp(), PENDING, now),
        None => PENDING,
    };
    let expired = || {
        let text = BASE64.decode(&view.status.certificate).ok();
        let end = text.as_deref().and_then(signer::end_of);
        end.is_some_and(|end| end < now.as_second())
    };
    if wait.is_zero() || (approved.is_some() && issued && expired()) {
        return Step::Delete;
    }
    if issued || denied.is_some() || failed.is_some() {
        return Step::Wait(wait);
    }
    let text = BASE64.decode(&view.spec.request).unwrap_or_default();
    let text = match request::Text::new(&text) {
        Ok(text) => text,
        Err(why) => return unusable(approved.is_some() && signs, why, wait),
    };
    let request = match text.request() {
        Ok(request) => request,
        Err(why) => return unusable(approved.is_some() && signs, why, wait),
    };
    if approved.is_some() {
        return match request::check(&view.spec.signer_name, &request, &view.spec.usages) {
            Some(Ok(())) if signs => Step::Sign(signers.life(view.spec.expiration_seconds)),
            Some(Err(why)) if signs => Step::Fail(why),
            _ => Step::Wait(wait),
        };
    }
    let kubelet = view.spec.signer_name == request::KUBELET_CLIENT
        && request::check_kubelet_client(&request, &view.spec.usages).is_ok();
    if !kubelet {
        return Step::Wait(wait);
    }
    let own = (
        "selfnodeclient",
        "Auto approving self kubelet client certificate after SubjectAccessReview.",
    );
    let any = (
        "nodeclient",
        "Auto approving kubelet client certificate after SubjectAccessReview.",
    );
    if request.common_name() == view.spec.username {
        Step::Ask(vec![own, any])
    } else {
        Step::Ask(vec![any])
    }
}

fn unusable(fails: bool, why: String, wait: Duration) -> Step {
    if fails { Step::Fail(why) } else { Step::Wait(wait) }
}

/// What is left of `limit` since `since`; without a time, all of it.
fn left(since: Option<Timestamp>, limit: Duration, now: Timestamp) -> Duration {
    let Some(since) = since else { return limit };
    let passed = (now.as_second() - since.as_second()).max(0).unsigned_abs();
    limit.saturating_sub(Duration::from_secs(passed))
}
