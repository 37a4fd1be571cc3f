//! Pod failure policies and success policies (upstream `pod_failure_policy.go`, `success_policy.go`).

use super::{
    indexes::Indexes,
    view::{ExitCodes, FailurePolicy, SuccessPolicy},
};
use crate::views::{ContainerStatus, Pod, Seen};

/// What a policy says of a failed pod.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Judgement {
    /// The whole Job fails, with this message.
    pub fails_job: Option<String>,
    /// The pod's index fails.
    pub fails_index: bool,
    /// The failure does not count.
    pub ignored: bool,
}

/// The first rule that fits decides; if none does the failure counts.
pub(super) fn judge(policy: Option<&FailurePolicy>, pod: &Seen<Pod>) -> Judgement {
    let name = format!("{}/{}", pod.object.namespace(), pod.object.name());
    for (index, rule) in policy.iter().flat_map(|policy| &policy.rules).enumerate() {
        let action = rule.action.as_str();
        let why = match &rule.on_exit_codes {
            Some(codes) => exit(codes, pod).map(|(container, code)| {
                format!(
                    "Container {container} for pod {name} failed with exit code {code} matching {action} rule at index {index}"
                )
            }),
            None => {
                let conditions = &pod.view.status.conditions;
                let mut patterns = rule.on_pod_conditions.iter();
                let met = patterns.find(|pattern| {
                    let fits = |c: &crate::views::Condition| c.r#type == pattern.r#type && c.status == pattern.status;
                    conditions.iter().any(fits)
                });
                met.map(|pattern| {
                    let kind = &pattern.r#type;
                    format!("Pod {name} has condition {kind} matching {action} rule at index {index}")
                })
            }
        };
        if let Some(why) = why {
            return Judgement {
                fails_job: (action == "FailJob").then_some(why),
                fails_index: action == "FailIndex",
                ignored: action == "Ignore",
            };
        }
    }
    Judgement::default()
}

/// The first container that ended with one of these codes.
fn exit<'a>(codes: &ExitCodes, pod: &'a Seen<Pod>) -> Option<(&'a str, i32)> {
    let status = &pod.view.status;
    let all = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses);
    let named = |container: &&ContainerStatus| {
        codes
            .container_name
            .as_ref()
            .is_none_or(|name| *name == container.name)
    };
    let ended = all.filter(named).filter_map(|container| {
        let code = container.state.terminated.as_ref()?.exit_code;
        Some((container.name.as_str(), code))
    });
    ended.into_iter().find(|(_, code)| {
        let listed = codes.values.contains(code);
        *code != 0
            && if codes.operator == "NotIn" {
                !listed
            } else {
                listed
            }
    })
}

/// The message of the first rule that the succeeded indexes meet.
pub(super) fn success(
    policy: Option<&SuccessPolicy>,
    succeeded: &Indexes,
    completions: i32,
) -> Option<String> {
    let mut rules = policy?.rules.iter();
    let index = rules.position(|rule| {
        let listed = rule
            .succeeded_indexes
            .as_ref()
            .map(|text| Indexes::parse(text, completions));
        let met = match &listed {
            Some(listed) => listed.0.intersection(&succeeded.0).count(),
            None => succeeded.0.len(),
        };
        match (rule.succeeded_count, &listed) {
            (Some(count), _) => usize::try_from(count).is_ok_and(|count| met >= count),
            (None, Some(listed)) => met == listed.0.len(),
            (None, None) => false,
        }
    })?;
    Some(format!("Matched rules at index {index}"))
}
