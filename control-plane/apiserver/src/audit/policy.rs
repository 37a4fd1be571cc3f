//! `Policy`, `audit.k8s.io/v1`: how much is told of which requests.

use super::event::{Level, Stage};
use crate::security::Attributes;
use api::{
    field::{self, Error, child},
    valid_dns_subdomain,
};
use serde::Deserialize;
use std::path::Path;

/// The rules; the first that fits decides.
#[derive(Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: bool,
}

/// What is wanted of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub level: Level,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    api_version: String,
    kind: String,
    rules: Option<Vec<RawRule>>,
    omit_stages: Option<Vec<String>>,
    omit_managed_fields: bool,
    metadata: Option<serde::de::IgnoredAny>,
    #[serde(flatten)]
    unknown: std::collections::BTreeMap<String, serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawRule {
    level: String,
    users: Option<Vec<String>>,
    user_groups: Option<Vec<String>>,
    verbs: Option<Vec<String>>,
    resources: Option<Vec<Group>>,
    namespaces: Option<Vec<String>>,
    #[serde(rename = "nonResourceURLs")]
    paths: Option<Vec<String>>,
    omit_stages: Option<Vec<String>>,
    omit_managed_fields: Option<bool>,
    #[serde(flatten)]
    unknown: std::collections::BTreeMap<String, serde::de::IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Group {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

#[derive(Debug)]
struct Rule {
    level: Level,
    users: Vec<String>,
    groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<Group>,
    namespaces: Vec<String>,
    paths: Vec<String>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

impl Policy {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is no policy, in upstream's words.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text =
            std::fs::read(path).map_err(|error| format!("failed to read file path {name:?}: {error}"))?;
        Self::parse(&text).map_err(|why| format!("{why}: from file {name}"))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// As [`Policy::read`].
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let decoding = |why: String| format!("failed decoding: {why}");
        let json = schema::yaml_to_json(text).map_err(decoding)?;
        let file: File = serde_json::from_slice(&json).map_err(|error| decoding(error.to_string()))?;
        if file.kind.is_empty() {
            return Err(decoding("Object 'Kind' is missing".to_owned()));
        }
        if file.api_version != "audit.k8s.io/v1" || file.kind != "Policy" {
            let (version, kind) = (&file.api_version, &file.kind);
            return Err(decoding(format!(
                "no kind {kind:?} is registered for version {version:?}"
            )));
        }
        let unknown = file
            .unknown
            .keys()
            .chain(file.rules.iter().flatten().flat_map(|rule| rule.unknown.keys()));
        for field in unknown {
            // As upstream, which reads such a policy all the same.
            tracing::warn!(field, "the audit policy has an unknown field");
        }
        let _ = file.metadata;
        let (mut errors, mut rules) = (Vec::new(), Vec::new());
        let omit_stages = stages(&file.omit_stages.unwrap_or_default(), "omitStages", &mut errors);
        for (at, rule) in file.rules.unwrap_or_default().into_iter().enumerate() {
            rules.extend(rule.checked(&field::index("rules", at), &omit_stages, &mut errors));
        }
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        match errors.as_slice() {
            [] if rules.is_empty() => Err("loaded illegal policy with 0 rules".to_owned()),
            [] => Ok(Self {
                rules,
                omit_stages,
                omit_managed_fields: file.omit_managed_fields,
            }),
            [only] => Err(only.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }

    /// What is wanted of a request. What no rule is about is not told.
    pub(super) fn wants(&self, asked: &Attributes) -> Wanted {
        let rule = self.rules.iter().find(|rule| rule.fits(asked));
        rule.map_or_else(
            || Wanted {
                level: Level::None,
                omit_stages: self.omit_stages.clone(),
                omit_managed_fields: self.omit_managed_fields,
            },
            |rule| Wanted {
                level: rule.level,
                omit_stages: rule.omit_stages.clone(),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
            },
        )
    }
}

fn stages(names: &[String], path: &str, errors: &mut Vec<Error>) -> Vec<Stage> {
    let mut made = Vec::new();
    for (at, name) in names.iter().enumerate() {
        match Stage::parse(name) {
            Some(stage) => made.push(stage),
            None => {
                let known = Stage::ALL.map(Stage::name).join(",");
                let why = format!("allowed stages are {known}");
                errors.push(Error::invalid(field::index(path, at), name, why));
            }
        }
    }
    made
}

impl RawRule {
    fn checked(self, path: &str, omitted: &[Stage], errors: &mut Vec<Error>) -> Option<Rule> {
        let level = Level::parse(&self.level);
        if level.is_none() {
            let place = child(path, "level");
            errors.push(match self.level.as_str() {
                "" => Error::required(place, ""),
                other => Error::not_supported(place, other, &Level::ALL.map(Level::name)),
            });
        }
        let paths = self.paths.unwrap_or_default();
        let list = child(path, "nonResourceURLs");
        for (at, url) in paths.iter().enumerate().filter(|(_, url)| *url != "*") {
            let place = field::index(&list, at);
            if !url.starts_with('/') {
                let why = "non-resource URL rules must begin with a '/' character";
                errors.push(Error::invalid(place.clone(), url, why));
            }
            if url.trim_end_matches('*').contains('*') || url.ends_with("**") {
                let why = "non-resource URL wildcards '*' must be the final character of the rule";
                errors.push(Error::invalid(place, url, why));
            }
        }
        let resources = self.resources.unwrap_or_default();
        let list = child(path, "resources");
        for of in &resources {
            if !of.group.is_empty() && of.group != "*" && !valid_dns_subdomain(&of.group) {
                errors.push(Error::invalid(child(&list, "group"), &of.group, BAD_GROUP));
            }
            if !of.resource_names.is_empty() && of.resources.is_empty() {
                let why = "using resourceNames requires at least one resource";
                errors.push(Error::invalid(
                    child(&list, "resourceNames"),
                    &of.resource_names,
                    why,
                ));
            }
        }
        let own = self.omit_stages.unwrap_or_default();
        let mut omit_stages = stages(&own, &child(path, "omitStages"), errors);
        omit_stages.extend(omitted);
        let namespaces = self.namespaces.unwrap_or_default();
        if !paths.is_empty() && (!resources.is_empty() || !namespaces.is_empty()) {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(Error::invalid(child(path, "nonResourceURLs"), &paths, why));
        }
        Some(Rule {
            level: level?,
            users: self.users.unwrap_or_default(),
            groups: self.user_groups.unwrap_or_default(),
            verbs: self.verbs.unwrap_or_default(),
            resources,
            namespaces,
            paths,
            omit_stages,
            omit_managed_fields: self.omit_managed_fields,
        })
    }
}

const BAD_GROUP: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

impl Rule {
    fn fits(&self, asked: &Attributes) -> bool {
        let has = |list: &[String], value: &str| list.iter().any(|known| known == value);
        if !self.users.is_empty() && !has(&self.users, &asked.user.name) {
            return false;
        }
        if !self.groups.is_empty() && !asked.user.groups.iter().any(|group| has(&self.groups, group)) {
            return false;
        }
        if !self.verbs.is_empty() && !has(&self.verbs, &asked.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            let inside = self.namespaces.is_empty() || has(&self.namespaces, &asked.namespace);
            let resource = self.resources.is_empty() || self.resources.iter().any(|of| of.fits(asked));
            return asked.is_resource && inside && resource;
        }
        self.paths.is_empty()
            || (!asked.is_resource && self.paths.iter().any(|path| covers(path, &asked.path)))
    }
}

fn covers(rule: &str, path: &str) -> bool {
    rule == path || (rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*')))
}

impl Group {
    fn fits(&self, asked: &Attributes) -> bool {
        if self.group != asked.group && self.group != "*" {
            return false;
        }
        let named = self.resource_names.is_empty() || self.resource_names.contains(&asked.name);
        self.resources.is_empty() || (named && self.resources.iter().any(|of| is_of(of, asked)))
    }
}

fn is_of(rule: &str, asked: &Attributes) -> bool {
    let (resource, sub) = (asked.resource.as_str(), asked.subresource.as_str());
    match rule.split_once('/') {
        None => rule == "*" || (sub.is_empty() && rule == resource),
        Some(("*", of)) => !sub.is_empty() && of == sub,
        Some((of, "*")) => of == resource,
        Some((of, rest)) => of == resource && rest == sub,
    }
}
