//! `AdmissionReview`: the question, and what is made of the answer.

use super::configuration::{Hook, Review};
use crate::admission::{Attributes, Operation, matching::Target};
use api::{Gvk, Gvr, Object, Status};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    kind: &'static str,
    api_version: &'static str,
    request: Request<'a>,
}

/// The request as webhooks and expressions see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    kind: Kind<'a>,
    resource: Resource<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    sub_resource: &'a str,
    request_kind: Kind<'a>,
    request_resource: Resource<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_sub_resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    operation: &'static str,
    user_info: UserInfo<'a>,
    object: Option<&'a RawValue>,
    old_object: Option<&'a RawValue>,
    dry_run: bool,
    options: Option<Options<'a>>,
}

#[derive(Serialize)]
struct Kind<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
}

#[derive(Serialize)]
struct Resource<'a> {
    group: &'a str,
    version: &'a str,
    resource: &'a str,
}

#[derive(Serialize)]
struct UserInfo<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
}

/// The options of the request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options<'a> {
    kind: &'static str,
    api_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_period_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preconditions: Option<Preconditions<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    propagation_policy: Option<&'a str>,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    dry_run: &'static [&'static str],
    #[serde(skip_serializing_if = "str::is_empty")]
    field_manager: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    field_validation: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Preconditions<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<String>,
}

fn kind(of: &Gvk) -> Kind<'_> {
    Kind {
        group: &of.group,
        version: &of.version,
        kind: &of.kind,
    }
}

fn resource(of: &Gvr) -> Resource<'_> {
    Resource {
        group: &of.group,
        version: &of.version,
        resource: &of.resource,
    }
}

fn options<'a>(request: &'a Attributes<'_>) -> Option<Options<'a>> {
    let call = request.call;
    let (kind, writes) = match request.operation {
        Operation::Create => ("CreateOptions", true),
        Operation::Update => ("UpdateOptions", true),
        Operation::Delete => ("DeleteOptions", false),
        Operation::Connect => return None,
    };
    let delete = request.delete;
    let preconditions = delete.map(|delete| Preconditions {
        uid: delete.uid.as_deref(),
        resource_version: delete.resource_version.map(|version| version.to_string()),
    });
    let some = |given: &Preconditions<'_>| given.uid.is_some() || given.resource_version.is_some();
    Some(Options {
        kind,
        api_version: "meta.k8s.io/v1",
        grace_period_seconds: delete.and_then(|delete| delete.grace_period_seconds),
        preconditions: preconditions.filter(some),
        propagation_policy: delete.and_then(|delete| delete.propagation_policy),
        dry_run: if call.dry_run { &["All"] } else { &[] },
        field_manager: if writes { &call.field_manager } else { "" },
        field_validation: if writes { call.validation.name() } else { "" },
    })
}

/// The objects of a request in the version in which a webhook is asked, as text.
#[derive(Default)]
pub struct Texts {
    /// The object.
    pub object: Option<Bytes>,
    /// The object as it was.
    pub old: Option<Bytes>,
}

impl Texts {
    /// Of these objects.
    pub fn of(object: Option<&Arc<Object>>, old: Option<&Arc<Object>>) -> Self {
        let text = |object: &Arc<Object>| object.to_json();
        Self {
            object: object.map(text),
            old: old.map(text),
        }
    }
}

fn raw(text: Option<&Bytes>) -> Result<Option<&RawValue>, Status> {
    let read = text.map(|text| serde_json::from_slice(text));
    read.transpose().map_err(Status::internal)
}

/// The request as a webhook sees it; with no `uid` and no `texts`, as expressions see it.
///
/// # Errors
/// An object is no JSON.
pub fn request<'a>(
    request: &'a Attributes<'_>,
    target: &'a Target,
    asked: &'a Gvr,
    uid: &'a str,
    texts: &'a Texts,
) -> Result<Request<'a>, Status> {
    let (of, user) = (request.request(), request.user());
    Ok(Request {
        uid,
        kind: kind(&target.kind),
        resource: resource(&target.resource),
        sub_resource: &of.subresource,
        request_kind: kind(&request.kind),
        request_resource: resource(asked),
        request_sub_resource: &of.subresource,
        name: request.name,
        namespace: &of.namespace,
        operation: request.operation.name(),
        user_info: UserInfo {
            username: &user.name,
            uid: &user.uid,
            groups: &user.groups,
            extra: &user.extra,
        },
        object: raw(texts.object.as_ref())?,
        old_object: raw(texts.old.as_ref())?,
        dry_run: request.call.dry_run,
        options: options(request),
    })
}

/// The text of a review of `request`.
///
/// # Errors
/// It cannot be written.
pub fn question(review: Review, request: Request<'_>) -> Result<Bytes, Status> {
    let asked = Asked {
        kind: "AdmissionReview",
        api_version: review.api_version(),
        request,
    };
    serde_json::to_vec(&asked)
        .map(Bytes::from)
        .map_err(Status::internal)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    api_version: String,
    response: Option<Response>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Response {
    uid: String,
    allowed: bool,
    status: Option<Status>,
    patch: Option<String>,
    patch_type: Option<String>,
    audit_annotations: Option<BTreeMap<String, String>>,
    warnings: Option<Vec<String>>,
}

/// What a webhook said.
#[derive(Debug, Default)]
pub struct Answer {
    /// Yes.
    pub allowed: bool,
    /// Why not.
    pub status: Option<Status>,
    /// A JSON patch; empty: none.
    pub patch: Vec<u8>,
    /// What the patch is.
    pub patch_type: String,
    /// For audit.
    pub annotations: BTreeMap<String, String>,
    /// For the client.
    pub warnings: Vec<String>,
}

/// The answer to the question `uid`; a webhook that only validates may not patch.
///
/// # Errors
/// Why it is none.
pub fn answer(text: &[u8], review: Review, uid: &str, mutating: bool) -> Result<Answer, String> {
    let answered: Answered = serde_json::from_slice(text)
        .map_err(|error| format!("couldn't get version/kind; json parse error: {error}"))?;
    let response = answered.response.ok_or("webhook response was absent")?;
    let patch = STANDARD.decode(response.patch.as_deref().unwrap_or_default());
    let patch = patch.map_err(|error| format!("illegal base64 data in response.patch: {error}"))?;
    let mut patch_type = response.patch_type.clone();
    if review == Review::V1 {
        if response.uid != uid {
            return Err(format!("expected response.uid={uid:?}, got {:?}", response.uid));
        }
        let given = (answered.api_version.as_str(), answered.kind.as_str());
        if given != (review.api_version(), "AdmissionReview") {
            let version = if given.0.contains('/') {
                given.0.to_owned()
            } else {
                format!("/{}", given.0)
            };
            return Err(format!(
                "expected webhook response of {}, Kind=AdmissionReview, got {version}, Kind={}",
                review.api_version(),
                given.1
            ));
        }
        match (mutating, patch.is_empty(), &response.patch_type) {
            (true, false, None) => {
                return Err("webhook returned response.patch but not response.patchType".to_owned());
            }
            (true, true, Some(_)) => {
                return Err("webhook returned response.patchType but not response.patch".to_owned());
            }
            (true, false, Some(empty)) if empty.is_empty() => {
                return Err("webhook returned invalid response.patchType of \"\"".to_owned());
            }
            (false, false, _) => return Err("validating webhook may not return response.patch".to_owned()),
            (false, true, Some(_)) => {
                return Err("validating webhook may not return response.patchType".to_owned());
            }
            _ => {}
        }
    } else if !patch.is_empty() {
        patch_type = Some("JSONPatch".to_owned());
    }
    Ok(Answer {
        allowed: response.allowed,
        status: response.status,
        patch: if mutating { patch } else { Vec::new() },
        patch_type: patch_type.unwrap_or_default(),
        annotations: response.audit_annotations.unwrap_or_default(),
        warnings: response.warnings.unwrap_or_default(),
    })
}

/// The refusal of a webhook as the client gets it.
pub fn denial(hook: &Hook, status: Option<Status>) -> Status {
    let mut status = status.unwrap_or_default();
    let denied = format!("admission webhook {:?} denied the request", hook.name);
    status.code = status.code.max(400);
    status.message = if !status.message.is_empty() {
        format!("{denied}: {}", status.message)
    } else if !status.reason.is_empty() {
        format!("{denied}: {}", status.reason)
    } else {
        format!("{denied} without explanation")
    };
    status
}
