//! Field paths and field errors, in upstream's words (apimachinery `util/validation/field`).

use crate::Cause;
use std::fmt;

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// It must be there.
    Required,
    /// It may not be this.
    Invalid,
    /// It is none of the supported values.
    NotSupported,
    /// It may not be there, or not so.
    Forbidden,
    /// It stands twice.
    Duplicate,
    /// What it names is not there.
    NotFound,
    /// It is of another type.
    TypeInvalid,
    /// It is too long.
    TooLong,
    /// There are too many.
    TooMany,
    /// The server failed on it.
    Internal,
}

impl ErrorType {
    /// The reason of the `Status` cause.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::Duplicate => "Duplicate value",
            Self::NotFound => "Not found",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// A field error. `value` is JSON text, as upstream prints it after the words; empty: none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorType,
    /// Where, such as `spec.containers[0].image`.
    pub field: String,
    /// The value, as JSON text.
    pub value: String,
    /// More words.
    pub detail: String,
}

impl Error {
    fn new(kind: ErrorType, field: impl Into<String>, value: String, detail: impl Into<String>) -> Self {
        Self {
            kind,
            field: field.into(),
            value,
            detail: detail.into(),
        }
    }

    /// It must be there.
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Required, field, String::new(), detail)
    }

    /// It may not be this value.
    pub fn invalid(
        field: impl Into<String>,
        value: impl serde::Serialize,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(ErrorType::Invalid, field, json(value), detail)
    }

    /// It is none of `supported`.
    pub fn not_supported(field: impl Into<String>, value: impl serde::Serialize, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let detail = format!("supported values: {}", list.join(", "));
        Self::new(ErrorType::NotSupported, field, json(value), detail)
    }

    /// It may not be there, or not be changed so.
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Forbidden, field, String::new(), detail)
    }

    /// It stands twice.
    pub fn duplicate(field: impl Into<String>, value: impl serde::Serialize) -> Self {
        Self::new(ErrorType::Duplicate, field, json(value), "")
    }

    /// What it names is not there.
    pub fn not_found(field: impl Into<String>, value: impl serde::Serialize) -> Self {
        Self::new(ErrorType::NotFound, field, json(value), "")
    }

    /// It is longer than `max` bytes.
    pub fn too_long(field: impl Into<String>, max: usize) -> Self {
        Self::new(
            ErrorType::TooLong,
            field,
            String::new(),
            format!("may not be more than {max} bytes"),
        )
    }

    fn body(&self) -> String {
        let words = self.kind.words();
        let value = if self.value.is_empty() {
            String::new()
        } else {
            format!(": {}", self.value)
        };
        let detail = if self.detail.is_empty() {
            String::new()
        } else {
            format!(": {}", self.detail)
        };
        format!("{words}{value}{detail}")
    }

    /// As a cause of a `Status`.
    pub fn into_cause(self) -> Cause {
        Cause {
            reason: self.kind.reason().to_owned(),
            message: self.body(),
            field: self.field,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

fn json(value: impl serde::Serialize) -> String {
    serde_json::to_string(&value).unwrap_or_default()
}

/// `parent.child`; the child alone when the parent is empty.
pub fn child(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}

/// `parent[3]`.
pub fn index(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// `parent[key]`.
pub fn key(parent: &str, key: &str) -> String {
    format!("{parent}[{key}]")
}
