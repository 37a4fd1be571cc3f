//! What subjects hold, found by the resource that is asked for: a subject of a thousand bindings is asked about those few
//! rules that may be about it.

use super::{Attributes, Rule};
use std::{collections::HashMap, sync::Arc};

/// Subjects of bindings, by their names.
#[derive(Default)]
pub(super) struct Subjects {
    pub users: HashMap<String, Held>,
    pub groups: HashMap<String, Held>,
}

/// What one subject holds.
#[derive(Default)]
pub(super) struct Held {
    grants: Vec<Grant>,
    /// Places of rules, by the resources that they name: `pods`, `pods/log`, `*/scale`.
    named: HashMap<String, Vec<Place>>,
    /// Places of rules on paths, or on every resource.
    any: Vec<Place>,
    /// Roles that are not there.
    missing: Vec<String>,
}

/// A binding as it applies to one subject: the rules it gives, and what it is called.
struct Grant {
    rules: Arc<Vec<Rule>>,
    told: Arc<str>,
}

/// A grant and a rule of it, by their numbers.
type Place = (usize, usize);

impl Held {
    /// One more binding.
    pub fn add(&mut self, rules: Arc<Vec<Rule>>, told: Arc<str>) {
        let grant = self.grants.len();
        for (at, rule) in rules.iter().enumerate() {
            let place = (grant, at);
            if !rule.paths.is_empty() || rule.resources.iter().any(|resource| resource == "*") {
                self.any.push(place);
                continue;
            }
            for resource in &rule.resources {
                let places = self.named.entry(resource.clone()).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        self.grants.push(Grant { rules, told });
    }

    /// One more binding, whose role is not there.
    pub fn miss(&mut self, role: String) {
        self.missing.push(role);
    }

    /// Roles that are not there.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().map(String::as_str)
    }

    /// All rules, binding by binding.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.grants.iter().flat_map(|grant| grant.rules.iter())
    }

    /// By which binding it is allowed, if it is: the first.
    pub fn allows(&self, asked: &Attributes) -> Option<String> {
        let first = |places: &Vec<Place>| {
            let allows = |(grant, rule): &&Place| self.grants[*grant].rules[*rule].allows(asked);
            places.iter().find(allows).map(|(grant, _)| *grant)
        };
        let by_name = |name: &str| self.named.get(name).and_then(first);
        let mut found = first(&self.any);
        if asked.is_resource {
            let (resource, sub) = (&asked.resource, &asked.subresource);
            let others = match sub.is_empty() {
                true => [by_name(resource), None],
                false => [
                    by_name(&format!("{resource}/{sub}")),
                    by_name(&format!("*/{sub}")),
                ],
            };
            found = others.into_iter().chain([found]).flatten().min();
        }
        found.map(|grant| self.grants[grant].told.to_string())
    }
}
