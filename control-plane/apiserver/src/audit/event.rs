//! `Event`, `audit.k8s.io/v1`.

use crate::security::User;
use api::Status;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Level {
    /// Nothing.
    None,
    /// Who asked for what, and what became of it.
    Metadata,
    /// And what was sent.
    Request,
    /// And what was answered.
    RequestResponse,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Request, Self::RequestResponse];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Stage {
    /// It is there.
    RequestReceived,
    /// The head of an answer that goes on is sent.
    ResponseStarted,
    /// It is answered.
    ResponseComplete,
    /// It made the server panic.
    Panic,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::RequestReceived,
        Self::ResponseStarted,
        Self::ResponseComplete,
        Self::Panic,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

/// A request at a stage.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    kind: &'static str,
    api_version: &'static str,
    /// How much is told.
    pub level: Level,
    /// The request.
    #[serde(rename = "auditID")]
    pub audit_id: String,
    /// How far it has come.
    pub stage: Stage,
    #[serde(rename = "requestURI")]
    pub(super) request_uri: String,
    pub(super) verb: String,
    #[serde(serialize_with = "who")]
    pub(super) user: Arc<User>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "other")]
    pub(super) impersonated_user: Option<Arc<User>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authentication_metadata: Option<AuthenticationMetadata>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    pub(super) source_ips: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) user_agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object_ref: Option<ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "ended")]
    pub(super) response_status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw")]
    pub(super) request_object: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw")]
    pub(super) response_object: Option<Bytes>,
    #[serde(serialize_with = "micros")]
    pub(super) request_received_timestamp: Timestamp,
    #[serde(serialize_with = "micros")]
    pub(super) stage_timestamp: Timestamp,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

/// How it was found out who asks.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthenticationMetadata {
    /// The verb that let a user act as another.
    pub impersonation_constraint: String,
}

/// What a request is about.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectRef {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

#[derive(Serialize)]
struct Who<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> From<&'a User> for Who<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            username: &user.name,
            uid: &user.uid,
            groups: &user.groups,
            extra: &user.extra,
        }
    }
}

fn who<S: Serializer>(user: &User, serializer: S) -> Result<S::Ok, S::Error> {
    Who::from(user).serialize(serializer)
}

fn other<S: Serializer>(user: &Option<Arc<User>>, serializer: S) -> Result<S::Ok, S::Error> {
    user.as_deref().map(Who::from).serialize(serializer)
}

fn raw<S: Serializer>(body: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = body.as_deref().unwrap_or(b"null");
    match serde_json::from_slice::<&RawValue>(text) {
        Ok(raw) => raw.serialize(serializer),
        // What a client sends need not be JSON.
        Err(_) => String::from_utf8_lossy(text).serialize(serializer),
    }
}

fn micros<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    format!("{at:.6}").serialize(serializer)
}

#[derive(Serialize)]
struct Ended<'a> {
    metadata: Blank,
    #[serde(skip_serializing_if = "str::is_empty")]
    status: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a api::Details>,
    code: u16,
}

#[derive(Serialize)]
struct Blank {}

fn ended<S: Serializer>(status: &Option<Status>, serializer: S) -> Result<S::Ok, S::Error> {
    let made = status.as_ref().map(|status| Ended {
        metadata: Blank {},
        status: match (status.code, &status.details) {
            (400.., _) if !status.message.is_empty() => "Failure",
            (..400, Some(_)) => "Success",
            (..400, None) if !status.message.is_empty() => "Success",
            _ => "",
        },
        message: &status.message,
        reason: &status.reason,
        details: status.details.as_deref(),
        code: status.code,
    });
    made.serialize(serializer)
}

impl Event {
    /// Of a request that was received now.
    pub(super) fn new(level: Level, audit_id: String, user: Arc<User>, now: Timestamp) -> Self {
        Self {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level,
            audit_id,
            stage: Stage::RequestReceived,
            request_uri: String::new(),
            verb: String::new(),
            user,
            impersonated_user: None,
            authentication_metadata: None,
            source_ips: Vec::new(),
            user_agent: String::new(),
            object_ref: None,
            response_status: None,
            request_object: None,
            response_object: None,
            request_received_timestamp: now,
            stage_timestamp: now,
            annotations: BTreeMap::new(),
        }
    }

    /// As JSON.
    pub fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Without what was sent and answered.
    pub(super) fn truncated(&self) -> Self {
        let mut made = Self {
            request_object: None,
            response_object: None,
            ..self.clone()
        };
        made.annotations
            .insert("audit.k8s.io/truncated".to_owned(), "true".to_owned());
        made
    }

    /// As a line of words.
    pub fn line(&self) -> String {
        let list = |groups: &[String]| {
            let quoted: Vec<String> = groups.iter().map(|group| format!("{group:?}")).collect();
            quoted.join(",")
        };
        let named = |text: &str, none: &str| if text.is_empty() { none } else { text }.to_owned();
        let groups = match self.user.groups.as_slice() {
            [] => "<none>".to_owned(),
            groups => list(groups),
        };
        let (other, other_groups) = match &self.impersonated_user {
            Some(user) => (user.name.clone(), list(&user.groups)),
            None => ("<self>".to_owned(), "<lookup>".to_owned()),
        };
        let namespace = self.object_ref.as_ref().map_or("", |of| of.namespace.as_str());
        let code = self
            .response_status
            .as_ref()
            .map_or_else(|| "<deferred>".to_owned(), |s| s.code.to_string());
        let ip = self.source_ips.first().map_or("<unknown>", String::as_str);
        format!(
            "{} AUDIT: id={:?} stage={:?} ip={ip:?} method={:?} user={:?} groups={groups:?} as={other:?} asgroups={other_groups:?} user-agent={:?} namespace={:?} uri={:?} response=\"{code}\"",
            self.request_received_timestamp,
            self.audit_id,
            self.stage.name(),
            self.verb,
            named(&self.user.name, "<none>"),
            self.user_agent,
            named(namespace, "<none>"),
            self.request_uri,
        )
    }
}
