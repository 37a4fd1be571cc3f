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
    if body.trim_ascii_start().first() == Some(&b'[') {
        let why = "couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type \
            struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";
        return Err(Status::bad_request(why));
    }
    let wire: Wire = serde_json::from_slice(body)
        .map_err(|e| Status::bad_request(format!("unable to decode DeleteOptions: {e}")))?;
    if !wire.kind.is_empty() && wire.kind != "DeleteOptions" {
        return Err(Status::bad_request(format!(
            "decoded object cannot be converted to DeleteOptions: {}",
            wire.kind
        )));
    }
    if let (Some(_), Some(policy)) = (wire.orphan_dependents, &wire.propagation_policy) {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        let error = api::field::Error::invalid("propagationPolicy", policy, why);
        return Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", vec![error]));
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
    let dry = dry_run("DeleteOptions", wire.dry_run.iter().map(String::as_str))?;
    Ok((options, dry))
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

/// Whether `values` of `dryRun`, of these `options` (such as `CreateOptions`), say so; `All` is the only one there is.
pub fn dry_run<'a>(options: &str, values: impl Iterator<Item = &'a str>) -> Result<bool, Status> {
    let values: Vec<&str> = values.filter(|value| !value.is_empty()).collect();
    if values.iter().any(|value| *value != "All") {
        let error = api::field::Error::not_supported("dryRun", values, &["All"]);
        return Err(Status::invalid("meta.k8s.io", options, "", vec![error]));
    }
    Ok(!values.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        delete_options(body.as_bytes()).unwrap_err().message
    }

    #[test]
    fn options_of_a_delete_are_checked() {
        for version in ["v1", "meta.k8s.io/v1", "apps/v1"] {
            let body = format!(
                r#"{{"kind":"DeleteOptions","apiVersion":"{version}","propagationPolicy":"Orphan"}}"#
            );
            let (options, dry) = delete_options(body.as_bytes()).unwrap();
            assert_eq!((options.propagation_policy, dry), (Some("Orphan"), false));
        }
        let dry = delete_options(br#"{"dryRun":["All"]}"#).unwrap();
        assert!(dry.1);
        assert_eq!(
            refused(r#"{"orphanDependents":true,"propagationPolicy":"Orphan"}"#),
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": orphanDependents and deletionPropagation cannot be both set"
        );
        assert_eq!(
            refused(r#"{"propagationPolicy":"Foo"}"#),
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Foo\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
        );
        assert_eq!(
            refused(r#"{"dryRun":["All","x"]}"#),
            "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"All\",\"x\"]: supported values: \"All\""
        );
        assert_eq!(
            refused("[]"),
            "couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }"
        );
    }
}
