//! `DeleteOptions` as a client sends them.

use api::Status;
use client::DeleteOptions;
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    kind: String,
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: Preconditions,
    dry_run: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

/// Reads the options of a delete, and whether it is a dry run. An empty body is no options.
pub fn delete_options(body: &[u8]) -> Result<(DeleteOptions, bool), Status> {
    if body.trim_ascii().is_empty() {
        return Ok((DeleteOptions::default(), false));
    }
    let wire: Wire = serde_json::from_slice(body)
        .map_err(|e| Status::bad_request(format!("unable to decode DeleteOptions: {e}")))?;
    if !wire.kind.is_empty() && wire.kind != "DeleteOptions" {
        return Err(Status::bad_request(format!(
            "decoded object cannot be converted to DeleteOptions: {}",
            wire.kind
        )));
    }
    let version = wire
        .preconditions
        .resource_version
        .filter(|v| !v.is_empty())
        .map(|v| v.parse());
    let options = DeleteOptions {
        uid: wire.preconditions.uid.filter(|uid| !uid.is_empty()),
        resource_version: version
            .transpose()
            .map_err(|_| Status::bad_request("invalid resourceVersion"))?,
        grace_period_seconds: wire.grace_period_seconds,
        propagation_policy: match wire.orphan_dependents {
            Some(true) => Some("Orphan"),
            Some(false) => Some("Background"),
            None => wire.propagation_policy.as_deref().map(propagation).transpose()?,
        },
    };
    Ok((options, dry_run(wire.dry_run.iter().map(String::as_str))?))
}

/// One of the three policies.
pub fn propagation(text: &str) -> Result<&'static str, Status> {
    let policies = ["Background", "Foreground", "Orphan"];
    policies
        .into_iter()
        .find(|policy| *policy == text)
        .ok_or_else(|| {
            let error = api::field::Error::not_supported(
                "propagationPolicy",
                text,
                &["Foreground", "Background", "Orphan", "nil"],
            );
            Status::invalid("meta.k8s.io", "DeleteOptions", "", vec![error])
        })
}

/// Whether `values` of `dryRun` say so; `All` is the only one there is.
pub fn dry_run<'a>(values: impl Iterator<Item = &'a str>) -> Result<bool, Status> {
    let mut dry = false;
    for value in values.filter(|value| !value.is_empty()) {
        if value != "All" {
            let error = api::field::Error::not_supported("dryRun", value, &["All"]);
            return Err(Status::invalid("meta.k8s.io", "CreateOptions", "", vec![error]));
        }
        dry = true;
    }
    Ok(dry)
}
