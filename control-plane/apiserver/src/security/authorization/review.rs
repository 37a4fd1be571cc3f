//! A SubjectAccessReview as it is asked of others.

use crate::security::{Attributes, Decision, Selectors};
use api::Requirement;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The question.
#[derive(Serialize)]
pub(super) struct Review<'a> {
    pub kind: &'static str,
    #[serde(rename = "apiVersion")]
    pub api_version: &'static str,
    pub metadata: Metadata,
    pub spec: &'a Spec<'a>,
    pub status: Blank,
}

#[derive(Serialize)]
pub(super) struct Metadata {
    #[serde(rename = "creationTimestamp")]
    pub created: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Blank {
    pub allowed: bool,
}

/// Who wants to do what.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_attributes: Option<Resource<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    non_resource_attributes: Option<Path<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    /// v1beta1 calls the groups `group`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    group: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    verb: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subresource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field_selector: Option<Selected<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label_selector: Option<Selected<'a>>,
}

#[derive(Serialize)]
struct Path<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    path: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    verb: &'a str,
}

#[derive(Serialize)]
pub(super) struct Selected<'a> {
    requirements: Vec<Required<'a>>,
}

#[derive(Serialize)]
pub(super) struct Required<'a> {
    key: &'a str,
    operator: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<&'a str>,
}

impl<'a> Spec<'a> {
    /// What is asked, in the form of `version`.
    pub fn of(asked: &'a Attributes, version: Version) -> Self {
        let selectors = asked.selectors.as_deref();
        let resource = || Resource {
            namespace: &asked.namespace,
            verb: &asked.verb,
            group: &asked.group,
            version: &asked.version,
            resource: &asked.resource,
            subresource: &asked.subresource,
            name: &asked.name,
            field_selector: selectors.and_then(fields),
            label_selector: selectors.and_then(labels),
        };
        let path = || Path {
            path: &asked.path,
            verb: &asked.verb,
        };
        let groups: [&[String]; 2] = match version {
            Version::V1 => [&asked.user.groups, &[]],
            Version::V1beta1 => [&[], &asked.user.groups],
        };
        Self {
            resource_attributes: asked.is_resource.then(resource),
            non_resource_attributes: (!asked.is_resource).then(path),
            user: &asked.user.name,
            groups: groups[0],
            extra: &asked.user.extra,
            uid: &asked.user.uid,
            group: groups[1],
        }
    }
}

/// The requirements on fields; none without any.
pub(super) fn fields(selectors: &Selectors) -> Option<Selected<'_>> {
    let requirements = selectors.fields.iter().map(|of| Required {
        key: &of.0,
        operator: if of.1 { "In" } else { "NotIn" },
        values: vec![&of.2],
    });
    selected(requirements.collect())
}

/// The requirements on labels; those that a review cannot tell are left out, which asks for more.
pub(super) fn labels(selectors: &Selectors) -> Option<Selected<'_>> {
    let requirements = selectors.labels.iter().filter_map(|of| {
        let (key, operator, values) = match of {
            Requirement::In(key, values) => (key, "In", values.iter().map(String::as_str).collect()),
            Requirement::NotIn(key, values) => (key, "NotIn", values.iter().map(String::as_str).collect()),
            Requirement::Exists(key) => (key, "Exists", Vec::new()),
            Requirement::Absent(key) => (key, "DoesNotExist", Vec::new()),
            Requirement::Greater(..) | Requirement::Less(..) => return None,
        };
        Some(Required {
            key,
            operator,
            values,
        })
    });
    selected(requirements.collect())
}

fn selected(requirements: Vec<Required<'_>>) -> Option<Selected<'_>> {
    (!requirements.is_empty()).then_some(Selected { requirements })
}

/// In which version reviews are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `authorization.k8s.io/v1`.
    V1,
    /// `authorization.k8s.io/v1beta1`.
    V1beta1,
}

impl Version {
    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1beta1),
            _ => None,
        }
    }

    /// Its API version.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "authorization.k8s.io/v1",
            Self::V1beta1 => "authorization.k8s.io/v1beta1",
        }
    }
}

/// What another server says of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered {
    #[serde(default)]
    pub api_version: String,
    #[serde(default)]
    pub kind: String,
    pub status: Option<Box<RawValue>>,
}

/// What it decided.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Judged {
    pub allowed: bool,
    denied: bool,
    reason: String,
}

impl Judged {
    /// Of the text of a status. Only an object is one: serde would take a list for it as well.
    pub fn parse(status: Option<&RawValue>) -> Result<Self, String> {
        match status.map_or("null", RawValue::get) {
            "null" => Ok(Self::default()),
            text if text.starts_with('{') => serde_json::from_str(text).map_err(|error| error.to_string()),
            _ => Err("its status is no object".to_owned()),
        }
    }

    pub fn decision(&self) -> Decision {
        let reason = self.reason.clone();
        match (self.allowed, self.denied) {
            (true, true) => Decision::deny(reason)
                .failed("webhook subject access review returned both allow and deny response"),
            (false, true) => Decision::deny(reason),
            (true, false) => Decision::allow(reason),
            (false, false) => Decision::no_opinion(reason),
        }
    }
}
