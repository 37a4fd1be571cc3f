//! Requests without credentials (upstream `apiserver/pkg/authentication/request/anonymous`).

use crate::security::User;
use serde::Deserialize;

/// Who has no credentials, and what for that is enough.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Anonymous {
    /// Whether they are `system:anonymous`; else they are refused.
    #[serde(default)]
    pub enabled: bool,
    /// For which paths alone; none: for all.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// A path for which it is enough.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The path, whole.
    #[serde(default)]
    pub path: String,
}

impl Default for Anonymous {
    fn default() -> Self {
        Self {
            enabled: true,
            conditions: Vec::new(),
        }
    }
}

impl Anonymous {
    /// The user of a request for `path`; none: it is refused.
    pub fn user(&self, path: &str) -> Option<User> {
        let conditions = &self.conditions;
        let met = conditions.is_empty() || conditions.iter().any(|condition| condition.path == path);
        (self.enabled && met).then(User::anonymous)
    }
}
