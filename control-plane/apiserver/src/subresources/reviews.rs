//! The reviews: questions about tokens and rights. Asked, answered, never stored.

use super::selected::{self, Selected};
use crate::{
    Server,
    handler::{Call, Did, Outcome},
    security::{Attributes, Decision, PathRule, ResourceRule, User, Verdict},
};
use api::{Object, Status, field, scan};
use resources::VirtualResource;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

/// Answers a POST of the review `of`.
pub async fn create(
    server: &Server,
    of: &VirtualResource,
    namespace: &str,
    call: &Call,
    body: &[u8],
) -> Result<Outcome, Status> {
    let text = match of.kind {
        "TokenReview" => token(server, of, call, body).await?,
        "SubjectAccessReview" => subject_access(server, of, body, None).await?,
        "LocalSubjectAccessReview" => subject_access(server, of, body, Some(namespace)).await?,
        "SelfSubjectAccessReview" => self_access(server, of, &call.attributes.user, body).await?,
        "SelfSubjectRulesReview" => self_rules(server, of, &call.attributes.user, body)?,
        "SelfSubjectReview" => answer(
            of,
            None,
            SelfStatus {
                user_info: UserInfo::of(&call.attributes.user),
            },
        )?,
        _ => return Err(Status::method_not_allowed()),
    };
    let object = Object::parse(text.into(), 0, &[])
        .map(Arc::new)
        .map_err(Status::internal)?;
    Ok(Outcome {
        object,
        did: Did::Created,
        warnings: Vec::new(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a, T> {
    kind: &'a str,
    api_version: String,
    metadata: Empty,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<&'a RawValue>,
    status: T,
}

#[derive(Serialize)]
struct Empty {}

fn answer<T: Serialize>(of: &VirtualResource, spec: Option<&RawValue>, status: T) -> Result<Vec<u8>, Status> {
    let api_version = format!("{}/{}", of.group, of.version);
    let answer = Answer {
        kind: of.kind,
        api_version,
        metadata: Empty {},
        spec,
        status,
    };
    serde_json::to_vec(&answer).map_err(Status::internal)
}

/// The `spec` of a review, as text and decoded.
fn spec<'a, T: Deserialize<'a>>(of: &VirtualResource, body: &'a [u8]) -> Result<(&'a RawValue, T), Status> {
    let bad = |why: String| {
        let message = format!(
            "{0} in version {1:?} cannot be handled as a {0}: {why}",
            of.kind, of.version
        );
        Status::bad_request(message)
    };
    let kind = scan::scalar(body, "kind").map_err(|e| bad(e.to_string()))?;
    if !kind.is_empty() && kind != of.kind {
        return Err(bad("unknown conversion".to_owned()));
    }
    let range = scan::find(body, "spec").map_err(|e| bad(e.to_string()))?;
    let text: &[u8] = range.map_or(b"{}", |range| &body[range]);
    let raw = serde_json::from_slice(text).map_err(|e| bad(e.to_string()))?;
    let decoded = serde_json::from_slice(text).map_err(|e| bad(e.to_string()))?;
    Ok((raw, decoded))
}

/// What a review must not have: metadata, but for what the server takes off, and for its namespace in a namespace.
fn bare(body: &[u8], namespace: Option<&str>, errors: &mut Vec<field::Error>) -> Result<(), Status> {
    let Ok(Some(range)) = scan::find(body, "metadata") else {
        return Ok(());
    };
    let text = &body[range];
    let said: Option<BTreeMap<String, &RawValue>> = serde_json::from_slice(text).unwrap_or_default();
    let mut more = false;
    for (name, value) in said.iter().flatten() {
        match (name.as_str(), value.get(), namespace) {
            ("managedFields", _, _) | (_, "null" | "\"\"" | "{}" | "[]" | "0", _) => {}
            ("namespace", of, Some(namespace)) if of == format!("{namespace:?}") => {}
            ("namespace", _, Some(_)) => {
                return Err(Status::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            _ => more = true,
        }
    }
    if more {
        let value: Option<&RawValue> = serde_json::from_slice(text).ok();
        let detail = match namespace {
            Some(_) => "must be empty except for namespace",
            None => "must be empty",
        };
        errors.push(field::Error::invalid("metadata", value, detail));
    }
    Ok(())
}

#[derive(Serialize, Default)]
struct UserInfo<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a BTreeMap<String, Vec<String>>>,
}

impl<'a> UserInfo<'a> {
    fn of(user: &'a User) -> Self {
        let extra = (!user.extra.is_empty()).then_some(&user.extra);
        Self {
            username: &user.name,
            uid: &user.uid,
            groups: &user.groups,
            extra,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SelfStatus<'a> {
    user_info: UserInfo<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenSpec {
    token: String,
    audiences: Vec<String>,
}

#[derive(Serialize, Default)]
struct TokenStatus<'a> {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    authenticated: bool,
    user: UserInfo<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    audiences: &'a [String],
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

async fn token(server: &Server, of: &VirtualResource, call: &Call, body: &[u8]) -> Result<Vec<u8>, Status> {
    let (raw, asked) = spec::<TokenSpec>(of, body)?;
    if asked.token.is_empty() {
        return Err(Status::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    match server
        .handler
        .security
        .authn
        .token(&asked.token, &asked.audiences)
        .get()
        .await
    {
        Ok(Some((user, audiences))) => {
            call.notes.authenticated(&user.remarks, &user.warnings);
            let status = TokenStatus {
                authenticated: true,
                user: UserInfo::of(&user),
                audiences: &audiences,
                error: String::new(),
            };
            answer(of, Some(raw), status)
        }
        Ok(None) => answer(of, Some(raw), TokenStatus::default()),
        Err(refusal) => {
            call.notes.authenticated(&refusal.remarks, &[]);
            let status = TokenStatus {
                error: refusal.why,
                ..TokenStatus::default()
            };
            answer(of, Some(raw), status)
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AccessSpec {
    resource_attributes: Option<ResourceAttributes>,
    non_resource_attributes: Option<PathAttributes>,
    user: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
    uid: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ResourceAttributes {
    namespace: String,
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    name: String,
    #[serde(rename = "fieldSelector")]
    field_selector: Option<Selected>,
    #[serde(rename = "labelSelector")]
    label_selector: Option<Selected>,
}

#[derive(Deserialize, Serialize, Default)]
#[serde(default)]
struct PathAttributes {
    path: String,
    verb: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessStatus {
    allowed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    denied: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    evaluation_error: String,
}

impl From<Decision> for AccessStatus {
    fn from(decision: Decision) -> Self {
        let denied = decision.verdict == Verdict::Deny;
        Self {
            allowed: decision.allowed(),
            denied,
            reason: decision.reason,
            evaluation_error: decision.error,
        }
    }
}

async fn subject_access(
    server: &Server,
    of: &VirtualResource,
    body: &[u8],
    namespace: Option<&str>,
) -> Result<Vec<u8>, Status> {
    let (raw, asked) = spec::<AccessSpec>(of, body)?;
    let mut errors = asked.check();
    if asked.user.is_empty() && asked.groups.is_empty() {
        let detail = "at least one of user or group must be specified";
        errors.push(field::Error::invalid("spec.user", "", detail));
    }
    bare(body, namespace, &mut errors)?;
    let inside = asked.resource_attributes.as_ref().map(|r| r.namespace.as_str());
    if let (Some(namespace), Some(inside)) = (namespace, inside)
        && inside != namespace
    {
        let path = "spec.resourceAttributes.namespace";
        errors.push(field::Error::invalid(
            path,
            inside,
            "must match metadata.namespace",
        ));
    }
    if namespace.is_some() && asked.non_resource_attributes.is_some() {
        let detail = "disallowed on this kind of request";
        errors.push(field::Error::invalid("spec.nonResourceAttributes", "", detail));
    }
    refuse(of, errors)?;
    let user = User {
        name: asked.user.clone(),
        uid: asked.uid.clone(),
        groups: asked.groups.clone(),
        extra: asked.extra.clone(),
        ..User::default()
    };
    decide(server, of, raw, &asked, user).await
}

async fn self_access(
    server: &Server,
    of: &VirtualResource,
    user: &Arc<User>,
    body: &[u8],
) -> Result<Vec<u8>, Status> {
    let (raw, asked) = spec::<AccessSpec>(of, body)?;
    let mut errors = asked.check();
    bare(body, None, &mut errors)?;
    refuse(of, errors)?;
    decide(server, of, raw, &asked, user.as_ref().clone()).await
}

async fn decide(
    server: &Server,
    of: &VirtualResource,
    raw: &RawValue,
    asked: &AccessSpec,
    user: User,
) -> Result<Vec<u8>, Status> {
    let user = Arc::new(user);
    let mut told = Vec::new();
    let mut attributes = Attributes {
        user,
        ..Attributes::default()
    };
    if let Some(r) = &asked.resource_attributes {
        let (selectors, ignored) = selected::read(r.field_selector.as_ref(), r.label_selector.as_ref());
        told = ignored;
        let any = || "*".to_owned();
        attributes = Attributes {
            verb: r.verb.clone(),
            group: r.group.clone(),
            version: if r.version.is_empty() {
                any()
            } else {
                r.version.clone()
            },
            resource: r.resource.clone(),
            subresource: r.subresource.clone(),
            namespace: r.namespace.clone(),
            name: r.name.clone(),
            is_resource: true,
            selectors,
            ..attributes
        };
    } else if let Some(p) = &asked.non_resource_attributes {
        attributes.verb.clone_from(&p.verb);
        attributes.path.clone_from(&p.path);
    }
    let mut decision = server.handler.security.authz.authorize(&attributes).get().await;
    if !decision.error.is_empty() {
        told.insert(0, decision.error);
    }
    decision.error = told.join("; ");
    answer(of, Some(raw), AccessStatus::from(decision))
}

impl AccessSpec {
    /// What is wrong with it.
    fn check(&self) -> Vec<field::Error> {
        let mut errors = Vec::new();
        match (&self.resource_attributes, &self.non_resource_attributes) {
            (Some(_), Some(path)) => {
                let detail = "cannot be specified in combination with resourceAttributes";
                errors.push(field::Error::invalid("spec.nonResourceAttributes", path, detail));
            }
            (None, None) => {
                let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
                errors.push(field::Error::invalid("spec.resourceAttributes", (), detail));
            }
            (Some(of), None) => {
                let path = |name: &str| format!("spec.resourceAttributes.{name}");
                if let Some(fields) = &of.field_selector {
                    fields.check(&path("fieldSelector"), false, &mut errors);
                }
                if let Some(labels) = &of.label_selector {
                    labels.check(&path("labelSelector"), true, &mut errors);
                }
            }
            (None, Some(_)) => {}
        }
        errors
    }
}

fn refuse(of: &VirtualResource, errors: Vec<field::Error>) -> Result<(), Status> {
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid(of.group, of.kind, "", errors)),
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RulesSpec {
    namespace: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RulesStatus {
    resource_rules: Vec<ResourceRule>,
    non_resource_rules: Vec<PathRule>,
    incomplete: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    evaluation_error: String,
}

fn self_rules(server: &Server, of: &VirtualResource, user: &User, body: &[u8]) -> Result<Vec<u8>, Status> {
    let (raw, asked) = spec::<RulesSpec>(of, body)?;
    if asked.namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let rules = server.handler.security.authz.rules(user, &asked.namespace);
    let status = RulesStatus {
        resource_rules: rules.resources,
        non_resource_rules: rules.paths,
        incomplete: rules.incomplete,
        evaluation_error: rules.error,
    };
    answer(of, Some(raw), status)
}
