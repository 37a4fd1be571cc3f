//! What subjects hold, found by the resource that is asked for: a subject of a thousand bindings is asked about those few
//! rules that may be about it.

use super::{Attributes, Rule};
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

/// Subjects of bindings, by their names.
#[derive(Default)]
pub(super) struct Subjects {
    pub users: HashMap<String, Held>,
    pub groups: HashMap<String, Held>,
}

impl Subjects {
    /// Whether nobody holds anything.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }
}

/// What one subject holds.
#[derive(Default)]
pub(super) struct Held {
    /// In the order of their bindings' names.
    grants: Vec<Grant>,
    /// Made when the subject first asks: bindings come and go more often than most subjects ask.
    index: OnceLock<Index>,
}

/// A binding as it applies to one subject.
pub(super) struct Grant {
    /// Its name.
    pub binding: Arc<str>,
    /// The rules that it gives; none: its role is not there.
    pub rules: Option<Arc<Vec<Rule>>>,
    /// What it is called, or that its role is not there.
    pub told: Arc<str>,
}

/// Where the rules about something are.
#[derive(Default)]
struct Index {
    /// By the resources that rules name: `pods`, `pods/log`, `*/scale`, `*`; then by their verbs.
    resources: HashMap<String, HashMap<String, Places>>,
    /// Places of rules on paths.
    paths: Vec<Place>,
}

/// A grant and a rule of it, by their numbers.
type Place = (usize, usize);

/// Places of rules on a resource with a verb: on all of it, or on single objects.
#[derive(Default)]
struct Places {
    all: Vec<Place>,
    named: HashMap<String, Vec<Place>>,
}

impl Held {
    /// One more binding.
    pub fn add(&mut self, grant: Grant) {
        self.index.take();
        let at = self
            .grants
            .partition_point(|known| known.binding <= grant.binding);
        self.grants.insert(at, grant);
    }

    /// One less. True: none is left.
    pub fn remove(&mut self, binding: &str) -> bool {
        self.index.take();
        self.grants.retain(|grant| *grant.binding != *binding);
        self.grants.is_empty()
    }

    /// Roles that are not there, as it is told.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        let missing = self.grants.iter().filter(|grant| grant.rules.is_none());
        missing.map(|grant| &*grant.told)
    }

    /// All rules, binding by binding.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.grants.iter().flat_map(Grant::rules)
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            let mut index = Index::default();
            for (at, grant) in self.grants.iter().enumerate() {
                index.add(at, grant.rules());
            }
            index
        })
    }

    /// By which binding it is allowed, if it is: the first.
    pub fn allows(&self, asked: &Attributes) -> Option<String> {
        let index = self.index();
        let first = |places: &Vec<Place>| {
            let allows = |(grant, rule): &&Place| self.grants[*grant].rules()[*rule].allows(asked);
            places.iter().find(allows).map(|(grant, _)| *grant)
        };
        let of = |resource: &str| {
            let verbs = index.resources.get(resource)?;
            let places = [verbs.get(&asked.verb), verbs.get("*")];
            let places = places.into_iter().flatten();
            let grants = places.flat_map(|places| {
                let named = places.named.get(&asked.name);
                [first(&places.all), named.and_then(first)]
            });
            grants.flatten().min()
        };
        let found = if asked.is_resource {
            let (resource, sub) = (&asked.resource, &asked.subresource);
            let own = match sub.is_empty() {
                true => [of(resource), None],
                false => [of(&format!("{resource}/{sub}")), of(&format!("*/{sub}"))],
            };
            own.into_iter().chain([of("*")]).flatten().min()
        } else {
            first(&index.paths)
        };
        found.map(|grant| self.grants[grant].told.to_string())
    }
}

impl Grant {
    fn rules(&self) -> &[Rule] {
        self.rules.as_ref().map_or(&[], |rules| rules.as_slice())
    }
}

impl Index {
    fn add(&mut self, grant: usize, rules: &[Rule]) {
        for (at, rule) in rules.iter().enumerate() {
            let place = (grant, at);
            if !rule.paths.is_empty() {
                self.paths.push(place);
            }
            for resource in &rule.resources {
                let verbs = self.resources.entry(resource.clone()).or_default();
                for verb in &rule.verbs {
                    let places = verbs.entry(verb.clone()).or_default();
                    if rule.resource_names.is_empty() {
                        places.all.push(place);
                    }
                    for name in &rule.resource_names {
                        places.named.entry(name.clone()).or_default().push(place);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use component::Random;

    /// What is found by the index is what is found by asking each rule in turn.
    #[test]
    fn the_first_binding_that_allows_is_found() {
        let random = Random::seeded(3);
        let one = |of: &[&str]| {
            let at = random.below(of.len() as u64);
            of[usize::try_from(at).unwrap()].to_owned()
        };
        let some = |of: &[&str]| (0..=random.below(2)).map(|_| one(of)).collect::<Vec<_>>();
        let rule = || {
            let mut rule = Rule {
                verbs: some(&["get", "list", "create", "*"]),
                ..Rule::default()
            };
            if random.below(5) == 0 {
                rule.paths = some(&["/healthz", "/metrics", "*"]);
                return rule;
            }
            rule.api_groups = some(&["", "apps", "*"]);
            rule.resources = some(&["pods", "pods/log", "*/log", "deployments", "*"]);
            if random.below(2) == 0 {
                rule.resource_names = some(&["a", "b", ""]);
            }
            rule
        };
        let (mut allowed, mut denied) = (0, 0);
        for _ in 0..200 {
            let grants: Vec<Arc<Vec<Rule>>> = (0..random.below(6))
                .map(|_| vec![rule(), rule()].into())
                .collect();
            let mut held = Held::default();
            for (number, rules) in grants.iter().enumerate() {
                held.add(Grant {
                    binding: number.to_string().into(),
                    rules: Some(rules.clone()),
                    told: number.to_string().into(),
                });
            }
            for _ in 0..50 {
                let asked = Attributes {
                    verb: one(&["get", "list", "create", "delete"]),
                    group: one(&["", "apps"]),
                    resource: one(&["pods", "deployments", "secrets"]),
                    subresource: one(&["", "log", "status"]),
                    name: one(&["a", "b", "c", ""]),
                    path: one(&["/healthz", "/metrics", "/x"]),
                    is_resource: random.below(4) > 0,
                    ..Attributes::default()
                };
                let mut each = grants.iter();
                let plain = each.position(|rules| rules.iter().any(|rule| rule.allows(&asked)));
                assert_eq!(held.allows(&asked), plain.map(|at| at.to_string()), "{asked:?}");
                *(if plain.is_some() {
                    &mut allowed
                } else {
                    &mut denied
                }) += 1;
            }
        }
        assert!(allowed > 500 && denied > 500, "{allowed} {denied}");
    }
}
