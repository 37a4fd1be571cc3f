//! The flowcontrol group.

pub(crate) mod flow_schema;
pub(crate) mod priority_level_configuration;

use crate::encode;
use serde::{Serialize, de::DeserializeOwned};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// What may be said of a mandatory schema: its name and its spec.
const MANDATORY_SCHEMAS: [(&str, &str); 2] = [
    (
        "exempt",
        r#"{"matchingPrecedence":1,"priorityLevelConfiguration":{"name":"exempt"},"rules":[{"subjects":[{"kind":"Group","group":{"name":"system:masters"}}],"resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],"clusterScope":true,"namespaces":["*"]}],"nonResourceRules":[{"verbs":["*"],"nonResourceURLs":["*"]}]}]}"#,
    ),
    (
        "catch-all",
        r#"{"matchingPrecedence":10000,"priorityLevelConfiguration":{"name":"catch-all"},"distinguisherMethod":{"type":"ByUser"},"rules":[{"subjects":[{"kind":"Group","group":{"name":"system:unauthenticated"}},{"kind":"Group","group":{"name":"system:authenticated"}}],"resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],"clusterScope":true,"namespaces":["*"]}],"nonResourceRules":[{"verbs":["*"],"nonResourceURLs":["*"]}]}]}"#,
    ),
];

/// The same of the mandatory levels; of `exempt` without what may be changed.
const MANDATORY_LEVELS: [(&str, &str); 2] = [
    ("exempt", r#"{"type":"Exempt"}"#),
    (
        "catch-all",
        r#"{"type":"Limited","limited":{"nominalConcurrencyShares":5,"lendablePercent":0,"limitResponse":{"type":"Reject"}}}"#,
    ),
];

/// Whether `spec` is what is said of the mandatory object `name`, if it is one.
fn is_as_fixed<T: Serialize + DeserializeOwned>(
    table: &[(&str, &str)],
    name: Option<&str>,
    spec: &T,
) -> bool {
    let fixed = table.iter().find(|(mandatory, _)| Some(*mandatory) == name);
    fixed
        .is_none_or(|(_, text)| serde_json::from_str::<T>(text).is_ok_and(|fixed| encode::same(&fixed, spec)))
}
