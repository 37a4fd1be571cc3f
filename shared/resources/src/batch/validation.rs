//! Rules for the spec of a job, in a Job or in the template of a CronJob.

use crate::{core::pod::template, meta, names, rules};
use api::{field, field::Error};
use k8s_openapi::api::batch::v1::{
    JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule, SuccessPolicyRule,
};
use std::collections::BTreeSet;

const MAX_PARALLELISM: i32 = 100_000;
const MANY_COMPLETIONS: i32 = 100_000;
const MAX_PARALLELISM_OF_MANY: i32 = 10_000;
const MAX_FAILED_OF_MANY: i32 = 10_000;

/// Rules for the spec at `path`.
pub(super) fn spec(spec: &JobSpec, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    rules::count(&at("parallelism"), spec.parallelism, errors);
    rules::count(&at("completions"), spec.completions, errors);
    rules::count(&at("activeDeadlineSeconds"), spec.active_deadline_seconds, errors);
    rules::count(&at("backoffLimit"), spec.backoff_limit, errors);
    rules::count(
        &at("ttlSecondsAfterFinished"),
        spec.ttl_seconds_after_finished,
        errors,
    );
    rules::count(&at("backoffLimitPerIndex"), spec.backoff_limit_per_index, errors);
    rules::count(&at("maxFailedIndexes"), spec.max_failed_indexes, errors);
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        let why = "when maxFailedIndexes is specified";
        errors.push(Error::required(at("backoffLimitPerIndex"), why));
    }
    if let Some(manager) = &spec.managed_by {
        let path = at("managedBy");
        names::domain_prefixed_path(&path, manager, errors);
        if manager.len() > 63 {
            errors.push(Error::too_long(path, 63));
        }
    }
    mode(spec, path, errors);
    if let Some(policy) = &spec.pod_failure_policy {
        let path = field::child(&at("podFailurePolicy"), "rules");
        rules::at_most(&path, policy.rules.len(), 20, errors);
        for (i, rule) in policy.rules.iter().enumerate() {
            failure_rule(spec, rule, &field::index(&path, i), errors);
        }
    }
    success(spec, &at("successPolicy"), errors);
    replacement(spec, &at("podReplacementPolicy"), errors);
    template::validate(&spec.template, &at("template"), errors);
    restart(spec, &field::child(&at("template"), "spec.restartPolicy"), errors);
}

fn indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

fn mode(spec: &JobSpec, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    if let Some(mode) = &spec.completion_mode
        && !["NonIndexed", "Indexed"].contains(&mode.as_str())
    {
        let supported = ["NonIndexed", "Indexed"];
        errors.push(Error::not_supported(at("completionMode"), mode, &supported));
    }
    if !indexed(spec) {
        let why = "requires indexed completion mode";
        for (name, value) in [
            ("backoffLimitPerIndex", spec.backoff_limit_per_index),
            ("maxFailedIndexes", spec.max_failed_indexes),
        ] {
            if let Some(value) = value {
                errors.push(Error::invalid(at(name), value, why));
            }
        }
        return;
    }
    let parallelism = spec.parallelism.unwrap_or_default();
    let Some(completions) = spec.completions else {
        let why = "when completion mode is Indexed";
        errors.push(Error::required(at("completions"), why));
        return;
    };
    if parallelism > MAX_PARALLELISM {
        let why = format!("must be less than or equal to {MAX_PARALLELISM} when completion mode is Indexed");
        errors.push(Error::invalid(at("parallelism"), parallelism, why));
    }
    let failed = spec.max_failed_indexes;
    if let Some(failed) = failed.filter(|failed| *failed > completions) {
        let why = "must be less than or equal to completions";
        errors.push(Error::invalid(at("maxFailedIndexes"), failed, why));
    }
    if completions <= MANY_COMPLETIONS || spec.backoff_limit_per_index.is_none() {
        return;
    }
    if failed.is_none() {
        let why = format!("must be specified when completions is above {MANY_COMPLETIONS}");
        errors.push(Error::required(at("maxFailedIndexes"), why));
    }
    let limits = [
        ("parallelism", parallelism, MAX_PARALLELISM_OF_MANY),
        ("maxFailedIndexes", failed.unwrap_or_default(), MAX_FAILED_OF_MANY),
    ];
    for (name, value, limit) in limits.into_iter().filter(|(_, value, limit)| value > limit) {
        let why = format!(
            "must be less than or equal to {limit} when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
        );
        errors.push(Error::invalid(at(name), value, why));
    }
}

fn failure_rule(spec: &JobSpec, rule: &PodFailurePolicyRule, path: &str, errors: &mut Vec<Error>) {
    let actions = ["Count", "FailIndex", "FailJob", "Ignore"];
    let action = field::child(path, "action");
    match rule.action.as_str() {
        "" => {
            let why = r#"valid values: ["Count" "FailIndex" "FailJob" "Ignore"]"#;
            errors.push(Error::required(action, why));
        }
        "FailIndex" if spec.backoff_limit_per_index.is_none() => {
            let why = "requires the backoffLimitPerIndex to be set";
            errors.push(Error::invalid(action, &rule.action, why));
        }
        known if actions.contains(&known) => {}
        other => errors.push(Error::not_supported(action, other, &actions)),
    }
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
    if let Some(codes) = &rule.on_exit_codes {
        exit_codes(spec, codes, &field::child(path, "onExitCodes"), errors);
    }
    let place = field::child(path, "onPodConditions");
    rules::at_most(&place, patterns.len(), 20, errors);
    for (i, pattern) in patterns.iter().enumerate() {
        let path = field::index(&place, i);
        let words = names::qualified_name(&pattern.type_);
        meta::invalid(errors, &field::child(&path, "type"), &pattern.type_, words);
        let status = pattern.status.as_deref().unwrap_or_default();
        let known = ["False", "True", "Unknown"];
        if !known.contains(&status) {
            errors.push(Error::not_supported(
                field::child(&path, "status"),
                status,
                &known,
            ));
        }
    }
    match (rule.on_exit_codes.is_some(), !patterns.is_empty()) {
        (true, true) => {
            let why = "specifying both OnExitCodes and OnPodConditions is not supported";
            errors.push(rules::wrong(path, why));
        }
        (false, false) => {
            let why = "specifying one of OnExitCodes and OnPodConditions is required";
            errors.push(rules::wrong(path, why));
        }
        _ => {}
    }
}

fn exit_codes(
    spec: &JobSpec,
    codes: &PodFailurePolicyOnExitCodesRequirement,
    path: &str,
    errors: &mut Vec<Error>,
) {
    let operators = ["In", "NotIn"];
    let operator = field::child(path, "operator");
    match codes.operator.as_str() {
        "" => errors.push(Error::required(operator, r#"valid values: ["In" "NotIn"]"#)),
        known if operators.contains(&known) => {}
        other => errors.push(Error::not_supported(operator, other, &operators)),
    }
    if let Some(name) = &codes.container_name {
        let pod = spec.template.spec.as_ref();
        let init = pod.iter().flat_map(|pod| pod.init_containers.iter().flatten());
        let mut all = pod.iter().flat_map(|pod| &pod.containers).chain(init);
        if !all.any(|container| container.name == *name) {
            let why = "must be one of the container or initContainer names in the pod template";
            errors.push(Error::invalid(field::child(path, "containerName"), name, why));
        }
    }
    let path = field::child(path, "values");
    if codes.values.is_empty() {
        errors.push(Error::invalid(
            &path,
            &codes.values,
            "at least one value is required",
        ));
    }
    rules::at_most(&path, codes.values.len(), 255, errors);
    let mut seen = BTreeSet::new();
    for (i, code) in codes.values.iter().enumerate() {
        let path = field::index(&path, i);
        if codes.operator == "In" && *code == 0 {
            errors.push(Error::invalid(&path, code, "must not be 0 for the In operator"));
        }
        if !seen.insert(code) {
            errors.push(Error::duplicate(&path, code));
        }
    }
    if !codes.values.is_sorted() {
        errors.push(Error::invalid(&path, &codes.values, "must be ordered"));
    }
}

fn success(spec: &JobSpec, path: &str, errors: &mut Vec<Error>) {
    let Some(policy) = &spec.success_policy else {
        return;
    };
    if !indexed(spec) {
        errors.push(Error::invalid(path, policy, "requires indexed completion mode"));
        return;
    }
    let path = field::child(path, "rules");
    if policy.rules.is_empty() {
        let why = "at least one rules must be specified when the successPolicy is specified";
        errors.push(Error::required(&path, why));
    }
    rules::at_most(&path, policy.rules.len(), 20, errors);
    let completions = spec.completions.unwrap_or_default();
    for (i, rule) in policy.rules.iter().enumerate() {
        success_rule(rule, completions, &field::index(&path, i), errors);
    }
}

fn success_rule(rule: &SuccessPolicyRule, completions: i32, path: &str, errors: &mut Vec<Error>) {
    if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
        let why = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(Error::required(path, why));
    }
    let mut total = None;
    if let Some(text) = &rule.succeeded_indexes {
        match indexes(text, completions) {
            Ok(count) => total = Some(count),
            Err(why) => {
                let why = format!("error parsing succeededIndexes: {why}");
                errors.push(Error::invalid(field::child(path, "succeededIndexes"), text, why));
            }
        }
    }
    let Some(count) = rule.succeeded_count else { return };
    let path = field::child(path, "succeededCount");
    rules::count(&path, Some(count), errors);
    if count > completions {
        let why =
            format!("must be less than or equal to {completions} (the number of specified completions)");
        errors.push(Error::invalid(&path, count, why));
    }
    if let Some(total) = total.filter(|total| count > *total) {
        let why = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.push(Error::invalid(&path, count, why));
    }
}

/// The number of indexes in `1,3-5,7`.
fn indexes(text: &str, completions: i32) -> Result<i32, String> {
    let number = |text: &str| {
        let wrong = |_| format!("cannot convert string to integer for index: {text:?}");
        let number: i32 = text.parse().map_err(wrong)?;
        if number < completions {
            Ok(number)
        } else {
            Err(format!("too large index: {text:?}"))
        }
    };
    let (mut total, mut last) = (0, None);
    for interval in text.split(',').filter(|_| !text.is_empty()) {
        let (first, end) = match interval.split_once('-') {
            Some((first, end)) => (number(first)?, number(end)?),
            None => (number(interval)?, number(interval)?),
        };
        if interval.contains('-') && first >= end {
            return Err(format!("non-increasing order, previous: {first}, current: {end}"));
        }
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!(
                "non-increasing order, previous: {last}, current: {first}"
            ));
        }
        (total, last) = (total + end - first + 1, Some(end));
    }
    Ok(total)
}

fn replacement(spec: &JobSpec, path: &str, errors: &mut Vec<Error>) {
    let supported: &[&str] = if spec.pod_failure_policy.is_some() {
        &["Failed"]
    } else {
        &["Failed", "TerminatingOrFailed"]
    };
    if let Some(policy) = spec.pod_replacement_policy.as_deref()
        && !supported.contains(&policy)
    {
        errors.push(Error::not_supported(path, policy, supported));
    }
}

fn restart(spec: &JobSpec, path: &str, errors: &mut Vec<Error>) {
    let pod = spec.template.spec.as_ref();
    match pod
        .and_then(|pod| pod.restart_policy.as_deref())
        .unwrap_or_default()
    {
        "" | "Always" => {
            let why = r#"valid values: "OnFailure", "Never""#;
            errors.push(Error::required(path, why));
        }
        "OnFailure" if spec.pod_failure_policy.is_some() => {
            let why = r#"only "Never" is supported when podFailurePolicy is specified"#;
            errors.push(Error::invalid(path, "OnFailure", why));
        }
        "OnFailure" | "Never" => {}
        other => errors.push(Error::not_supported(path, other, &["OnFailure", "Never"])),
    }
}
