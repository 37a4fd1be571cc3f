//! When a container runs again: its own policy, and rules for its exit codes (KEP-5307).

use crate::rules;
use api::{field, field::Error};
use k8s_openapi::api::core::v1::Container;

pub(super) fn validate(container: &Container, path: &str, errors: &mut Vec<Error>) {
    let (at, list) = (
        field::child(path, "restartPolicy"),
        field::child(path, "restartPolicyRules"),
    );
    let own = container.restart_policy_rules.as_deref().unwrap_or_default();
    match container.restart_policy.as_deref() {
        Some(policy) if !["Always", "OnFailure", "Never"].contains(&policy) => {
            errors.push(Error::not_supported(
                at,
                policy,
                &["Always", "OnFailure", "Never"],
            ));
        }
        None if !own.is_empty() => {
            let why = "must specify restartPolicy when restart rules are used";
            errors.push(Error::required(at, why));
        }
        _ => {}
    }
    rules::at_most(&list, own.len(), 20, errors);
    for (i, rule) in own.iter().enumerate() {
        let path = field::index(&list, i);
        if !["Restart", "RestartAllContainers"].contains(&&*rule.action) {
            let known = ["Restart", "RestartAllContainers"];
            errors.push(Error::not_supported(
                field::child(&path, "action"),
                &rule.action,
                &known,
            ));
        }
        let path = field::child(&path, "exitCodes");
        let Some(codes) = &rule.exit_codes else {
            errors.push(Error::required(path, "must be specified"));
            continue;
        };
        if !["In", "NotIn"].contains(&&*codes.operator) {
            let at = field::child(&path, "operator");
            errors.push(Error::not_supported(at, &codes.operator, &["In", "NotIn"]));
        }
        let values = codes.values.as_deref().unwrap_or_default();
        rules::at_most(&field::child(&path, "values"), values.len(), 255, errors);
    }
}
