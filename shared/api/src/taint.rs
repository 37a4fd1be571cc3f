//! Taints of nodes, and the tolerations of pods that put up with them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What keeps pods off a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_added: Option<Timestamp>,
}

/// Which taints a pod puts up with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// Key; empty for all of them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// `Equal`, which is the default, or `Exists`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// Value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Effect; empty for all of them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub effect: String,
    /// For how long, of `NoExecute` taints; without it for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

impl Toleration {
    /// Whether it is about this taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && (self.operator == "Exists" || (!self.key.is_empty() && self.value == taint.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toleration(json: &str) -> Toleration {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn tolerates_by_key_value_and_effect() {
        let taint: Taint =
            serde_json::from_str(r#"{"key": "disk", "value": "slow", "effect": "NoExecute"}"#).unwrap();
        for yes in [
            r#"{"operator": "Exists"}"#,
            r#"{"key": "disk", "operator": "Exists"}"#,
            r#"{"key": "disk", "value": "slow"}"#,
            r#"{"key": "disk", "operator": "Equal", "value": "slow", "effect": "NoExecute"}"#,
        ] {
            assert!(toleration(yes).tolerates(&taint), "{yes}");
        }
        for no in [
            "{}",
            r#"{"key": "disk"}"#,
            r#"{"key": "disk", "value": "fast"}"#,
            r#"{"key": "other", "operator": "Exists"}"#,
            r#"{"operator": "Exists", "effect": "NoSchedule"}"#,
        ] {
            assert!(!toleration(no).tolerates(&taint), "{no}");
        }
    }
}
