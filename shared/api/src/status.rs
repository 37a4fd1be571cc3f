//! `Status`: the one error on the wire, in upstream's words (apimachinery `api/errors`).

use crate::{Gvr, field};
use serde::{Deserialize, Serialize};

/// `metav1.Status`, as an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(default)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, such as `NotFound`.
    pub reason: String,
    /// For a person.
    pub message: String,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
    /// Of a list that cannot be continued as it was: the token to go on with; empty for none.
    #[serde(skip)]
    pub continue_token: String,
}

/// `metav1.StatusDetails`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind, or resource where upstream says the resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// UID of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One entry a field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Seconds after which a client may try again; 0: not said.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

/// `metav1.StatusCause`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// Such as `FieldValueRequired`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For a person.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Field path, such as `spec.containers[0].image`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Status {
    fn new(code: u16, reason: &str, message: String) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message,
            ..Self::default()
        }
    }

    fn about(mut self, resource: &Gvr, name: &str) -> Self {
        let details = Details {
            name: name.to_owned(),
            group: resource.group.to_string(),
            kind: resource.resource.to_string(),
            ..Details::default()
        };
        self.details = Some(Box::new(details));
        self
    }

    /// Adds a cause.
    #[must_use]
    pub fn with_cause(mut self, reason: &str, message: impl Into<String>, field: impl Into<String>) -> Self {
        let cause = Cause {
            reason: reason.to_owned(),
            message: message.into(),
            field: field.into(),
        };
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// Says how to go on with a list.
    #[must_use]
    pub fn continued(mut self, token: String) -> Self {
        self.continue_token = token;
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// 404, of an object.
    pub fn not_found(resource: &Gvr, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{resource} {name:?} not found")).about(resource, name)
    }

    /// 404, of a path.
    pub fn no_such_path() -> Self {
        let status = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource".to_owned(),
        );
        Self {
            details: Some(Box::default()),
            ..status
        }
    }

    /// 409, create of what is there.
    pub fn already_exists(resource: &Gvr, name: &str) -> Self {
        Self::new(
            409,
            "AlreadyExists",
            format!("{resource} {name:?} already exists"),
        )
        .about(resource, name)
    }

    /// 409, with the cause in words.
    pub fn conflict(resource: &Gvr, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// 409, stale resourceVersion.
    pub fn modified(resource: &Gvr, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 422, of fields. `group` and `kind` of the object.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: Vec<field::Error>) -> Self {
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let list = match texts.as_slice() {
            [] => "<nil>".to_owned(),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let qualified = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let mut status = Self::new(422, "Invalid", format!("{qualified} {name:?} is invalid: {list}"));
        let details = Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            causes: errors.into_iter().map(field::Error::into_cause).collect(),
            ..Details::default()
        };
        status.details = Some(Box::new(details));
        status
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into())
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized".to_owned())
    }

    /// 403, of an object, with the reason in words.
    pub fn forbidden(resource: &Gvr, name: &str, why: &str) -> Self {
        let message = if resource.resource.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} {name:?} is forbidden: {why}")
        };
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message.to_owned())
    }

    /// 406.
    pub fn not_acceptable(accepted: &str) -> Self {
        let message = format!("only the following media types are accepted: {accepted}");
        Self::new(406, "NotAcceptable", message)
    }

    /// 410: the resourceVersion or continue token is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message.into())
    }

    /// 413.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message.into())
    }

    /// 415.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message.into())
    }

    /// 429.
    pub fn too_many_requests(message: impl Into<String>, retry_after: u32) -> Self {
        Self::new(429, "TooManyRequests", message.into()).retry_after(retry_after)
    }

    /// 500.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
        .with_cause("", message.to_string(), "")
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message.into())
    }

    /// 504, when the outcome of a write is not known or took too long.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(504, "Timeout", message.into()).retry_after(1)
    }

    /// Whether it says that the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.code == 404
    }

    /// Whether it says that the object was there already.
    pub fn is_already_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    /// Whether it says that the object changed meanwhile.
    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    /// As the JSON body of an answer.
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            kind: &'static str,
            api_version: &'static str,
            metadata: Meta<'a>,
            status: &'static str,
            message: &'a str,
            reason: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            details: Option<&'a Details>,
            code: u16,
        }
        #[derive(Serialize)]
        struct Meta<'a> {
            #[serde(rename = "continue", skip_serializing_if = "str::is_empty")]
            continue_token: &'a str,
        }
        let wire = Wire {
            kind: "Status",
            api_version: "v1",
            metadata: Meta {
                continue_token: &self.continue_token,
            },
            status: "Failure",
            message: &self.message,
            reason: &self.reason,
            details: self.details.as_deref(),
            code: self.code,
        };
        serde_json::to_vec(&wire).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_words() {
        let deployments = Gvr::new("apps", "v1", "deployments");
        assert_eq!(
            Status::not_found(&deployments, "web").message,
            r#"deployments.apps "web" not found"#
        );
        let errors = vec![field::Error::required("spec.containers", "")];
        let invalid = Status::invalid("", "Pod", "web", errors);
        assert_eq!(
            invalid.message,
            r#"Pod "web" is invalid: spec.containers: Required value"#
        );
        assert_eq!(invalid.details.unwrap().causes[0].reason, "FieldValueRequired");
    }
}
