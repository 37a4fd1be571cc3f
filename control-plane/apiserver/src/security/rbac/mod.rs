//! RBAC (upstream `plugin/pkg/auth/authorizer/rbac`).

pub mod bootstrap;

use super::{Attributes, Authorizer, Decision, PathRule, ResourceRule, Rules, User};
use crate::server::Reader;
use api::{Gvr, Object};
use serde::Deserialize;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

const CLUSTER_ROLES: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterroles");
const CLUSTER_ROLE_BINDINGS: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
const ROLES: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "roles");
const ROLE_BINDINGS: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "rolebindings");

/// The RBAC authorizer. Roles and bindings are decoded once a version, not a request.
pub struct Rbac {
    reader: Reader,
    compiled: RwLock<Arc<Compiled>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    paths: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Role {
    rules: Option<Vec<Rule>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Binding {
    role_ref: RoleRef,
    subjects: Option<Vec<Subject>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

/// A binding as it applies to one subject: the rules it gives, and what it is called.
struct Grant {
    rules: Arc<Vec<Rule>>,
    told: Arc<str>,
}

#[derive(Default)]
struct Compiled {
    /// The newest change of each of the four collections that this was made of.
    of: [u64; 4],
    /// By subject (`u:` user, `g:` group), for the whole cluster.
    cluster: HashMap<String, Vec<Grant>>,
    /// By namespace, then by subject.
    namespaced: HashMap<String, HashMap<String, Vec<Grant>>>,
}

impl Rbac {
    /// Over what is stored.
    pub fn new(reader: Reader) -> Self {
        Self { reader, compiled: RwLock::default() }
    }

    fn current(&self) -> Arc<Compiled> {
        let of = [&CLUSTER_ROLES, &CLUSTER_ROLE_BINDINGS, &ROLES, &ROLE_BINDINGS].map(|gvr| self.reader.changed(gvr));
        let held = self.compiled.read().unwrap_or_else(PoisonError::into_inner).clone();
        if held.of == of {
            return held;
        }
        let fresh = Arc::new(self.compile(of));
        *self.compiled.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        fresh
    }

    fn compile(&self, of: [u64; 4]) -> Compiled {
        let rules = |object: &Object| Arc::new(object.view::<Role>().ok().and_then(|r| r.rules).unwrap_or_default());
        let collect = |gvr: &Gvr| self.reader.list(gvr, "");
        let cluster_roles: HashMap<String, Arc<Vec<Rule>>> =
            collect(&CLUSTER_ROLES).iter().map(|r| (r.name().to_owned(), rules(r))).collect();
        let roles: HashMap<(String, String), Arc<Vec<Rule>>> = collect(&ROLES)
            .iter()
            .map(|r| ((r.namespace().to_owned(), r.name().to_owned()), rules(r)))
            .collect();
        let mut compiled = Compiled { of, ..Compiled::default() };
        for object in collect(&CLUSTER_ROLE_BINDINGS) {
            let Ok(binding) = object.view::<Binding>() else { continue };
            let Some(rules) = cluster_roles.get(&binding.role_ref.name) else { continue };
            bind(&mut compiled.cluster, &object, &binding, rules);
        }
        for object in collect(&ROLE_BINDINGS) {
            let Ok(binding) = object.view::<Binding>() else { continue };
            let name = binding.role_ref.name.clone();
            let rules = match binding.role_ref.kind.as_str() {
                "ClusterRole" => cluster_roles.get(&name),
                _ => roles.get(&(object.namespace().to_owned(), name)),
            };
            if let Some(rules) = rules {
                let place = compiled.namespaced.entry(object.namespace().to_owned()).or_default();
                bind(place, &object, &binding, rules);
            }
        }
        compiled
    }
}

fn bind(into: &mut HashMap<String, Vec<Grant>>, object: &Object, binding: &Binding, rules: &Arc<Vec<Rule>>) {
    let scope = if object.namespace().is_empty() {
        format!("ClusterRoleBinding {:?}", object.name())
    } else {
        format!("RoleBinding {:?}", format!("{}/{}", object.name(), object.namespace()))
    };
    for subject in binding.subjects.iter().flatten() {
        let key = match subject.kind.as_str() {
            "User" => format!("u:{}", subject.name),
            "Group" => format!("g:{}", subject.name),
            "ServiceAccount" => {
                let namespace = if subject.namespace.is_empty() { object.namespace() } else { &subject.namespace };
                format!("u:system:serviceaccount:{namespace}:{}", subject.name)
            }
            _ => continue,
        };
        let (kind, name) = (&binding.role_ref.kind, &binding.role_ref.name);
        let told = format!("RBAC: allowed by {scope} of {kind} {name:?} to {} {:?}", subject.kind, subject.name);
        into.entry(key).or_default().push(Grant { rules: rules.clone(), told: told.into() });
    }
}

/// The grants of a user: cluster-wide ones, then those of a namespace.
fn grants<'a>(compiled: &'a Compiled, user: &User, namespace: &str) -> impl Iterator<Item = &'a Grant> {
    let mut keys = vec![format!("u:{}", user.name)];
    keys.extend(user.groups.iter().map(|g| format!("g:{g}")));
    let local = compiled.namespaced.get(namespace);
    let places = std::iter::once(&compiled.cluster).chain(local);
    let found: Vec<&Grant> = places.flat_map(|place| keys.iter().filter_map(|k| place.get(k)).flatten()).collect();
    found.into_iter()
}

impl Rule {
    fn allows(&self, attributes: &Attributes) -> bool {
        let listed = |list: &[String], value: &str| list.iter().any(|v| v == "*" || v == value);
        if !listed(&self.verbs, &attributes.verb) {
            return false;
        }
        if !attributes.is_resource {
            return self.paths.iter().any(|p| path_matches(p, &attributes.path));
        }
        listed(&self.api_groups, &attributes.group)
            && self.resources.iter().any(|r| resource_matches(r, attributes))
            && (self.resource_names.is_empty() || self.resource_names.contains(&attributes.name))
    }
}

fn resource_matches(rule: &str, attributes: &Attributes) -> bool {
    let sub = attributes.subresource.as_str();
    match rule.split_once('/') {
        // `*` is everything, `*/scale` that subresource of everything.
        None => rule == "*" || (sub.is_empty() && rule == attributes.resource),
        Some(("*", rule_sub)) => rule_sub == sub,
        Some((resource, rule_sub)) => resource == attributes.resource && rule_sub == sub,
    }
}

fn path_matches(rule: &str, path: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => rule == path,
    }
}

impl Authorizer for Rbac {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        let compiled = self.current();
        let namespace = if attributes.is_resource { attributes.namespace.as_str() } else { "" };
        for grant in grants(&compiled, &attributes.user, namespace) {
            if grant.rules.iter().any(|rule| rule.allows(attributes)) {
                return Decision::allow(grant.told.to_string());
            }
        }
        Decision::no_opinion("")
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let compiled = self.current();
        let mut rules = Rules::default();
        for grant in grants(&compiled, user, namespace) {
            for rule in grant.rules.iter().cloned() {
                if rule.paths.is_empty() {
                    rules.resources.push(ResourceRule {
                        verbs: rule.verbs,
                        api_groups: rule.api_groups,
                        resources: rule.resources,
                        resource_names: rule.resource_names,
                    });
                } else {
                    rules.paths.push(PathRule { verbs: rule.verbs, paths: rule.paths });
                }
            }
        }
        rules
    }
}

/// Authorizers in turn: the first that allows or denies decides. `system:masters` may do everything.
pub struct Chain(pub Vec<Arc<dyn Authorizer>>);

impl Authorizer for Chain {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        if attributes.user.in_group("system:masters") {
            return Decision::allow("");
        }
        let mut reasons = Vec::new();
        for authorizer in &self.0 {
            let decision = authorizer.authorize(attributes);
            if decision.verdict != super::Verdict::NoOpinion {
                return decision;
            }
            if !decision.reason.is_empty() {
                reasons.push(decision.reason);
            }
        }
        Decision::no_opinion(reasons.join(", "))
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let mut all = Rules::default();
        if user.in_group("system:masters") {
            let any = || vec!["*".to_owned()];
            all.resources.push(ResourceRule { verbs: any(), api_groups: any(), resources: any(), resource_names: vec![] });
            all.paths.push(PathRule { verbs: any(), paths: any() });
        }
        for authorizer in &self.0 {
            let rules = authorizer.rules(user, namespace);
            all.resources.extend(rules.resources);
            all.paths.extend(rules.paths);
            all.incomplete |= rules.incomplete;
            if all.error.is_empty() {
                all.error = rules.error;
            }
        }
        all
    }
}
