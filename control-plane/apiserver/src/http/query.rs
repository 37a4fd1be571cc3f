//! The query of a URL.

use crate::{
    cache::Selection,
    handler::{self, ListQuery, Match, Place, Validation},
};
use api::{Status, field};
use client::DeleteOptions;

const MATCH: &str = "resourceVersionMatch";

/// The name by which a client manages fields when it names none: what stands before the slash of its `User-Agent`.
pub fn manager_of(user_agent: &str) -> String {
    let name = user_agent.split('/').next().unwrap_or_default();
    let mut manager = String::new();
    for c in name.chars().filter(|c| handler::printable(*c)) {
        if manager.len() + c.len_utf8() > handler::MANAGER_LENGTH {
            break;
        }
        manager.push(c);
    }
    manager
}

/// Parameters in order; a name may stand more than once.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

/// Undoes percent encoding; broken escapes stay as they are.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = || u8::from_str_radix(text.get(at + 1..at + 3)?, 16).ok();
        match (bytes[at], hex()) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encodes all but unreserved characters.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl Query {
    /// Parses `a=b&c=d`.
    pub fn parse(text: &str) -> Self {
        let decode = |part: &str| percent_decode(&part.replace('+', " "));
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        };
        Self(
            text.split('&')
                .filter(|part| !part.is_empty())
                .map(pair)
                .collect(),
        )
    }

    /// All parameters.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The first value of `name`; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value)
    }

    /// All values of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether `name` is given and not `false` or `0`.
    pub fn flag(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(n, value)| n == name && !matches!(value.as_str(), "false" | "0"))
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Status> {
        match self.get(name) {
            "" => Ok(None),
            text => {
                let bad =
                    |_| Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
                text.parse().map(Some).map_err(bad)
            }
        }
    }

    /// The version that a read asks for, or what is wrong with it.
    fn version(&self) -> Result<Option<u64>, field::Error> {
        match self.get("resourceVersion") {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
                field::Error::invalid("resourceVersion", text, why)
            }),
        }
    }

    /// The version that a list asks for.
    pub fn resource_version(&self) -> Result<Option<u64>, Status> {
        let bad = |error| Status::bad_request(format!("invalid resource version: {error}"));
        self.version().map_err(bad)
    }

    /// The version that a watch of the collection at `place` asks for.
    pub fn watched_version(&self, place: &Place) -> Result<Option<u64>, Status> {
        let bad = |error| Status::invalid(place.group(), place.row().plural, "", vec![error]);
        self.version().map_err(bad)
    }

    /// Whether the options of a list go together.
    fn check_list(&self) -> Result<(), Status> {
        let (wished, version) = (self.get(MATCH), self.get("resourceVersion"));
        let mut errors = Vec::new();
        let mut forbid = |field, why: &str| errors.push(field::Error::forbidden(field, why));
        if !wished.is_empty() && version.is_empty() {
            forbid(
                MATCH,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            );
        }
        if !wished.is_empty() && !self.get("continue").is_empty() {
            forbid(
                MATCH,
                "resourceVersionMatch is forbidden when continue is provided",
            );
        }
        if (wished, version) == ("Exact", "0") {
            forbid(
                MATCH,
                r#"resourceVersionMatch "exact" is forbidden for resourceVersion "0""#,
            );
        }
        if !self.get("sendInitialEvents").is_empty() {
            forbid("sendInitialEvents", "sendInitialEvents is forbidden for list");
        }
        if !matches!(wished, "" | "Exact" | "NotOlderThan") {
            let known = ["Exact", "NotOlderThan", ""];
            errors.push(field::Error::not_supported(MATCH, wished, &known));
        }
        refused(errors)
    }

    /// Whether the options of a watch go together.
    pub fn check_watch(&self) -> Result<(), Status> {
        let (wished, initial) = (self.get(MATCH), !self.get("sendInitialEvents").is_empty());
        let mut errors = Vec::new();
        let mut forbid = |why: &str| errors.push(field::Error::forbidden(MATCH, why));
        if initial && wished != "NotOlderThan" {
            forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
        if !wished.is_empty() && !initial {
            forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        }
        if !wished.is_empty() && !self.get("continue").is_empty() {
            forbid("resourceVersionMatch is forbidden when continue is provided");
        }
        if !matches!(wished, "" | "NotOlderThan") {
            errors.push(field::Error::not_supported(MATCH, wished, &["NotOlderThan"]));
        }
        refused(errors)
    }

    /// Seconds after which a watch ends.
    pub fn timeout_seconds(&self) -> Result<Option<u64>, Status> {
        self.number("timeoutSeconds")
    }

    /// Selectors over the collection at `place`.
    pub fn selection(&self, place: &Place) -> Result<Selection, Status> {
        place.selection(self.get("labelSelector"), self.get("fieldSelector"))
    }

    /// A list.
    pub fn list(&self, place: &Place) -> Result<ListQuery, Status> {
        self.check_list()?;
        self.timeout_seconds()?;
        let version_match = match self.get("resourceVersionMatch") {
            "Exact" => Match::Exact,
            "NotOlderThan" => Match::NotOlderThan,
            _ => Match::Unset,
        };
        Ok(ListQuery {
            selection: self.selection(place)?,
            // Less than nothing is no limit.
            limit: usize::try_from(self.number::<i64>("limit")?.unwrap_or(0)).unwrap_or(0),
            continue_token: self.get("continue").to_owned(),
            resource_version: self.resource_version()?,
            version_match,
        })
    }

    /// Whether a write with these `options` (such as `CreateOptions`) is a dry run.
    pub fn dry_run(&self, options: &str) -> Result<bool, Status> {
        handler::dry_run(options, self.all("dryRun"))
    }

    /// What becomes of unknown fields in a write with these `options`.
    pub fn validation(&self, options: &str) -> Result<Validation, Status> {
        let text = self.get("fieldValidation");
        Validation::parse(text).ok_or_else(|| {
            let error =
                field::Error::not_supported("fieldValidation", text, &["", "Ignore", "Strict", "Warn"]);
            Status::invalid("meta.k8s.io", options, "", vec![error])
        })
    }

    /// The manager of the fields that a write with these `options` (such as `CreateOptions`) sets; empty: not said.
    pub fn field_manager(&self, options: &str) -> Result<String, Status> {
        let name = self.get("fieldManager");
        let errors = handler::check_manager("fieldManager", name);
        if errors.is_empty() {
            Ok(name.to_owned())
        } else {
            Err(Status::invalid("meta.k8s.io", options, "", errors))
        }
    }

    /// Whether an apply takes fields from other managers. No other patch (`apply` false) may say so, and an apply must
    /// say who the manager is.
    pub fn force(&self, apply: bool) -> Result<bool, Status> {
        let given = self.all("force").next().is_some();
        let error = match apply {
            true if self.get("fieldManager").is_empty() => {
                field::Error::required("fieldManager", "is required for apply patch")
            }
            false if given => field::Error::forbidden("force", "may not be specified for non-apply patch"),
            _ => return Ok(self.flag("force")),
        };
        Err(Status::invalid("meta.k8s.io", "PatchOptions", "", vec![error]))
    }

    /// The options of a delete: those of `body`, with what the query says about what it leaves open.
    pub fn delete_options(&self, body: &[u8]) -> Result<(DeleteOptions, bool), Status> {
        let (mut options, dry) = handler::delete_options(body)?;
        if options.grace_period_seconds.is_none() {
            options.grace_period_seconds = self.number("gracePeriodSeconds")?;
        }
        if options.propagation_policy.is_none() {
            options.propagation_policy = match (self.get("propagationPolicy"), self.get("orphanDependents")) {
                ("", "") => None,
                ("", "true") => Some("Orphan"),
                ("", _) => Some("Background"),
                (policy, _) => Some(handler::propagation(policy)?),
            };
        }
        Ok((options, dry || self.dry_run("DeleteOptions")?))
    }
}

fn refused(errors: Vec<field::Error>) -> Result<(), Status> {
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid("meta.k8s.io", "ListOptions", "", errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managers_are_named_as_upstream_names_them() {
        assert_eq!(manager_of("kubectl/v1.37.0 (linux/amd64)"), "kubectl");
        assert_eq!(manager_of("my\u{7} tool"), "my tool");
        assert_eq!(manager_of(&"ä".repeat(100)).len(), 128);
        let refused = |query: &str| {
            Query::parse(query)
                .field_manager("CreateOptions")
                .unwrap_err()
                .message
        };
        assert_eq!(
            refused("fieldManager=a%00"),
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\u0000\": invalid character U+0000 (at position 1)"
        );
        assert_eq!(
            refused(&format!("fieldManager={}", "a".repeat(129))),
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes"
        );
        let refused = |query: &str, apply| Query::parse(query).force(apply).unwrap_err().message;
        assert!(
            refused("force=false", false)
                .ends_with("force: Forbidden: may not be specified for non-apply patch")
        );
        assert!(
            refused("force=true", true)
                .ends_with("fieldManager: Required value: is required for apply patch")
        );
        assert!(Query::parse("force=true&fieldManager=me").force(true).unwrap());
    }

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&watch&limit=x&command=a&command=b+c&off=false");
        assert_eq!(query.get("labelSelector"), "a=b,c");
        assert!(query.flag("watch") && !query.flag("off") && !query.flag("none"));
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["a", "b c"]);
        assert!(query.number::<usize>("limit").is_err());
        assert_eq!(percent_encode("a b/ä"), "a%20b%2F%C3%A4");
        assert_eq!(percent_decode("%zz%41"), "%zzA");
    }
}
