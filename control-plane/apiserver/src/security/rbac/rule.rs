//! A rule of a role, and whether rules cover others (upstream `component-helpers/auth/rbac/validation`).

use super::Attributes;
use serde::{Deserialize, Serialize};

/// A rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    pub verbs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

impl Rule {
    /// Everything on every resource, or every path.
    pub fn everything() -> [Self; 2] {
        let any = || vec!["*".to_owned()];
        [
            Self {
                verbs: any(),
                api_groups: any(),
                resources: any(),
                ..Self::default()
            },
            Self {
                verbs: any(),
                paths: any(),
                ..Self::default()
            },
        ]
    }

    /// Whether it allows what is asked for.
    pub fn allows(&self, attributes: &Attributes) -> bool {
        if !listed(&self.verbs, &attributes.verb) {
            return false;
        }
        if !attributes.is_resource {
            return self.paths.iter().any(|p| path_matches(p, &attributes.path));
        }
        let (resource, sub) = (attributes.resource.as_str(), attributes.subresource.as_str());
        listed(&self.api_groups, &attributes.group)
            && self.resources.iter().any(|r| resource_matches(r, resource, sub))
            && (self.resource_names.is_empty() || self.resource_names.contains(&attributes.name))
    }

    /// The rule as rules of one verb on one thing each.
    fn parts(&self) -> Vec<Self> {
        let mut parts = Vec::new();
        let one = |value: &String| vec![value.clone()];
        for verb in &self.verbs {
            for path in &self.paths {
                parts.push(Self {
                    verbs: one(verb),
                    paths: one(path),
                    ..Self::default()
                });
            }
            for group in &self.api_groups {
                for resource in &self.resources {
                    let whole = Self {
                        verbs: one(verb),
                        api_groups: one(group),
                        resources: one(resource),
                        ..Self::default()
                    };
                    if self.resource_names.is_empty() {
                        parts.push(whole.clone());
                    }
                    let named = |name| Self {
                        resource_names: one(name),
                        ..whole.clone()
                    };
                    parts.extend(self.resource_names.iter().map(named));
                }
            }
        }
        parts
    }

    /// Whether it covers `part`, a rule of one verb on one thing.
    fn covers(&self, part: &Self) -> bool {
        let within = |mine: &[String], theirs: &[String]| theirs.iter().all(|value| listed(mine, value));
        let resource = |wanted: &String| {
            let parts = wanted.split_once('/');
            let (resource, sub) = parts.unwrap_or((wanted, ""));
            let covers = |mine: &String| match (mine == wanted, parts) {
                (true, _) => true,
                (false, Some((_, ""))) => mine == "*",
                (false, _) => resource_matches(mine, resource, sub),
            };
            self.resources.iter().any(covers)
        };
        let names = self.resource_names.is_empty()
            || (!part.resource_names.is_empty()
                && part
                    .resource_names
                    .iter()
                    .all(|n| self.resource_names.contains(n)));
        within(&self.verbs, &part.verbs)
            && within(&self.api_groups, &part.api_groups)
            && part.resources.iter().all(resource)
            && names
            && part.paths.iter().all(|path| {
                self.paths
                    .iter()
                    .any(|mine| mine == path || path_matches(mine, path))
            })
    }

    fn told(&self) -> String {
        let lists = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.paths),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let told = lists
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| format!("{name}:{}", quoted(list)));
        format!("{{{}}}", told.collect::<Vec<_>>().join(", "))
    }
}

/// A list as Go prints it.
pub(crate) fn quoted(list: &[String]) -> String {
    format!(
        "[{}]",
        list.iter()
            .map(|v| format!("{v:?}"))
            .collect::<Vec<_>>()
            .join(" ")
    )
}

fn listed(list: &[String], value: &str) -> bool {
    list.iter().any(|v| v == "*" || v == value)
}

fn resource_matches(rule: &str, resource: &str, sub: &str) -> bool {
    match rule.split_once('/') {
        // `*` is everything, `*/scale` that subresource of everything.
        None => rule == "*" || (sub.is_empty() && rule == resource),
        // What ends at the slash is no resource.
        Some((_, "")) => false,
        Some(("*", rule_sub)) => rule_sub == sub,
        Some((rule_resource, rule_sub)) => rule_resource == resource && rule_sub == sub,
    }
}

fn path_matches(rule: &str, path: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => rule == path,
    }
}

/// What of `wanted` is not covered by `held`, in parts of one verb on one thing.
pub(crate) fn uncovered(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let covered = |part: &Rule| held.iter().any(|rule| rule.covers(part));
    wanted
        .iter()
        .flat_map(Rule::parts)
        .filter(|part| !covered(part))
        .collect()
}

/// Parts told to a person: those that differ in their verb alone in one line, the lines in order.
pub(crate) fn tell(parts: Vec<Rule>) -> String {
    let mut rules: Vec<Rule> = Vec::new();
    for mut part in parts {
        let same = |rule: &&mut Rule| {
            (
                &rule.api_groups,
                &rule.resources,
                &rule.resource_names,
                &rule.paths,
            ) == (
                &part.api_groups,
                &part.resources,
                &part.resource_names,
                &part.paths,
            ) && part.paths.is_empty()
        };
        match rules.iter_mut().find(same) {
            Some(rule) => rule.verbs.append(&mut part.verbs),
            None => rules.push(part),
        }
    }
    let mut lines: Vec<String> = rules.iter().map(Rule::told).collect();
    lines.sort();
    lines.dedup();
    lines.join("\n")
}
