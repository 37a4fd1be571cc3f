//! RBAC (upstream `plugin/pkg/auth/authorizer/rbac`).

pub mod bootstrap;
mod chain;
mod held;
mod rule;

pub use chain::Chain;
pub(crate) use rule::{Rule, quoted, tell, uncovered};

use super::{Answer, Attributes, Authorizer, Decision, PathRule, ResourceRule, Rules, User};
use crate::server::Reader;
use api::{Gvr, Object};
use held::{Held, Subjects};
use serde::Deserialize;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

static CLUSTER_ROLES: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterroles");
static CLUSTER_ROLE_BINDINGS: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
static ROLES: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "roles");
static ROLE_BINDINGS: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "rolebindings");

/// The RBAC authorizer. Roles and bindings are decoded once a version, not a request.
pub struct Rbac {
    reader: Reader,
    compiled: RwLock<Arc<Compiled>>,
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

#[derive(Default)]
struct Compiled {
    /// The newest change of each of the four collections that this was made of.
    of: [u64; 4],
    /// For the whole cluster.
    cluster: Subjects,
    /// By namespace.
    namespaced: HashMap<String, Subjects>,
}

impl Rbac {
    /// Over what is stored.
    pub fn new(reader: Reader) -> Self {
        Self {
            reader,
            compiled: RwLock::default(),
        }
    }

    fn current(&self) -> Arc<Compiled> {
        let of = [&CLUSTER_ROLES, &CLUSTER_ROLE_BINDINGS, &ROLES, &ROLE_BINDINGS]
            .map(|gvr| self.reader.changed(gvr));
        let held = self
            .compiled
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if held.of == of {
            return held;
        }
        let fresh = Arc::new(self.compile(of));
        *self.compiled.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        fresh
    }

    fn compile(&self, of: [u64; 4]) -> Compiled {
        let rules = |object: &Object| Arc::new(rules(object));
        let collect = |gvr: &Gvr| self.reader.list(gvr, "");
        let cluster_roles: HashMap<String, Arc<Vec<Rule>>> = collect(&CLUSTER_ROLES)
            .iter()
            .map(|r| (r.name().to_owned(), rules(r)))
            .collect();
        let roles: HashMap<(String, String), Arc<Vec<Rule>>> = collect(&ROLES)
            .iter()
            .map(|r| ((r.namespace().to_owned(), r.name().to_owned()), rules(r)))
            .collect();
        let mut compiled = Compiled {
            of,
            ..Compiled::default()
        };
        for object in collect(&CLUSTER_ROLE_BINDINGS) {
            let Ok(binding) = object.view::<Binding>() else {
                continue;
            };
            let rules = cluster_roles.get(&binding.role_ref.name);
            bind(&mut compiled.cluster, &object, &binding, rules);
        }
        for object in collect(&ROLE_BINDINGS) {
            let Ok(binding) = object.view::<Binding>() else {
                continue;
            };
            let name = binding.role_ref.name.clone();
            let rules = match binding.role_ref.kind.as_str() {
                "ClusterRole" => cluster_roles.get(&name),
                _ => roles.get(&(object.namespace().to_owned(), name)),
            };
            let place = compiled
                .namespaced
                .entry(object.namespace().to_owned())
                .or_default();
            bind(place, &object, &binding, rules);
        }
        compiled
    }
}

/// Notes what a binding gives to its subjects, or that its role is not there.
fn bind(into: &mut Subjects, object: &Object, binding: &Binding, rules: Option<&Arc<Vec<Rule>>>) {
    let scope = if object.namespace().is_empty() {
        format!("ClusterRoleBinding {:?}", object.name())
    } else {
        format!(
            "RoleBinding {:?}",
            format!("{}/{}", object.name(), object.namespace())
        )
    };
    let (kind, role) = (&binding.role_ref.kind, &binding.role_ref.name);
    for subject in binding.subjects.iter().flatten() {
        let name = &subject.name;
        let held = match subject.kind.as_str() {
            "User" => into.users.entry(name.clone()).or_default(),
            "Group" => into.groups.entry(name.clone()).or_default(),
            "ServiceAccount" => {
                let namespace = if subject.namespace.is_empty() {
                    object.namespace()
                } else {
                    &subject.namespace
                };
                let account = format!("system:serviceaccount:{namespace}:{name}");
                into.users.entry(account).or_default()
            }
            _ => continue,
        };
        match rules {
            Some(rules) => {
                let told = format!(
                    "RBAC: allowed by {scope} of {kind} {role:?} to {} {name:?}",
                    subject.kind
                );
                held.add(rules.clone(), told.into());
            }
            None => held.miss(format!(
                "{}.rbac.authorization.k8s.io {role:?} not found",
                kind.to_lowercase()
            )),
        }
    }
}

/// What a user has: cluster-wide, then in a namespace.
fn held<'a>(
    compiled: &'a Compiled,
    user: &'a User,
    namespace: &str,
) -> impl Iterator<Item = &'a Held> + use<'a> {
    let places = std::iter::once(&compiled.cluster).chain(compiled.namespaced.get(namespace));
    places.flat_map(|place| {
        let groups = user.groups.iter().filter_map(|group| place.groups.get(group));
        place.users.get(&user.name).into_iter().chain(groups)
    })
}

impl Rbac {
    /// The rules that `user` holds in `namespace`.
    pub(crate) fn held(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let compiled = self.current();
        held(&compiled, user, namespace)
            .flat_map(Held::rules)
            .cloned()
            .collect()
    }

    /// The rules of a role; `None` when there is no such role.
    pub(crate) fn rules_of(&self, cluster: bool, namespace: &str, name: &str) -> Option<Vec<Rule>> {
        let (gvr, namespace) = if cluster {
            (&CLUSTER_ROLES, "")
        } else {
            (&ROLES, namespace)
        };
        Some(rules(&*self.reader.get(gvr, namespace, name)?))
    }
}

fn rules(role: &Object) -> Vec<Rule> {
    role.view::<Role>().ok().and_then(|r| r.rules).unwrap_or_default()
}

impl Authorizer for Rbac {
    fn authorize(&self, attributes: &Attributes) -> Answer<Decision> {
        let compiled = self.current();
        let namespace = if attributes.is_resource {
            attributes.namespace.as_str()
        } else {
            ""
        };
        for held in held(&compiled, &attributes.user, namespace) {
            if let Some(told) = held.allows(attributes) {
                return Decision::allow(told).into();
            }
        }
        let missing: BTreeSet<&str> = held(&compiled, &attributes.user, namespace)
            .flat_map(Held::missing)
            .collect();
        let missing: Vec<&str> = missing.into_iter().collect();
        let reason = match missing.as_slice() {
            [] => String::new(),
            [only] => format!("RBAC: {only}"),
            many => format!("RBAC: [{}]", many.join(", ")),
        };
        Decision::no_opinion(reason).into()
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let mut rules = Rules::default();
        for Rule {
            verbs,
            api_groups,
            resources,
            resource_names,
            paths,
        } in self.held(user, namespace)
        {
            if paths.is_empty() {
                rules.resources.push(ResourceRule {
                    verbs,
                    api_groups,
                    resources,
                    resource_names,
                });
            } else {
                rules.paths.push(PathRule { verbs, paths });
            }
        }
        rules
    }
}
