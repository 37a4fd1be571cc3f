//! The groups of Kubernetes itself need an approval.

use std::collections::BTreeMap;

/// The annotation that names it.
pub(super) const ANNOTATION: &str = "api-approved.kubernetes.io";
const PROPOSAL: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Approval {
    Invalid,
    Approved,
    Bypassed,
    Missing,
}

impl Approval {
    /// The status and reason of the condition.
    pub fn condition(self) -> (&'static str, &'static str) {
        match self {
            Self::Invalid => ("False", "InvalidAnnotation"),
            Self::Approved => ("True", "ApprovedAnnotation"),
            Self::Bypassed => ("False", "UnapprovedAnnotation"),
            Self::Missing => ("False", "MissingAnnotation"),
        }
    }
}

/// Whether definitions of the group need an approval.
pub(super) fn protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"].iter().any(|owner| {
        group
            .strip_suffix(owner)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// Whether there is one, and what to say.
pub(super) fn approval(annotations: Option<&BTreeMap<String, String>>) -> (Approval, String) {
    let annotation = annotations
        .and_then(|a| a.get(ANNOTATION))
        .map_or("", String::as_str);
    let url = annotation
        .split_once("://")
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.starts_with('/') && !rest.is_empty());
    if annotation.is_empty() {
        let why = format!("protected groups must have approval annotation {ANNOTATION:?}, {PROPOSAL}");
        (Approval::Missing, why)
    } else if annotation.starts_with("unapproved") {
        (Approval::Bypassed, format!("not approved: {annotation:?}"))
    } else if url {
        (Approval::Approved, format!("approved in {annotation}"))
    } else {
        let why = format!(
            "protected groups must have approval annotation {ANNOTATION:?} with either a URL or a reason starting \
             with \"unapproved\", {PROPOSAL}"
        );
        (Approval::Invalid, why)
    }
}
