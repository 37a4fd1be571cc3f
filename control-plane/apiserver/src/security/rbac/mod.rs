//! RBAC (upstream `plugin/pkg/auth/authorizer/rbac`).

pub mod bootstrap;
mod chain;
mod rule;

pub use chain::Chain;
pub(crate) use rule::{Rule, quoted, tell, uncovered};

use super::{Answer, Attributes, Authorizer, Decision, PathRule, ResourceRule, Rules, User};
use crate::server::Reader;
use api::{Gvr, Object};
use serde::Deserialize;
use std::{
    collections::HashMap,
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
            let Some(rules) = cluster_roles.get(&binding.role_ref.name) else {
                continue;
            };
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
            if let Some(rules) = rules {
                let place = compiled
                    .namespaced
                    .entry(object.namespace().to_owned())
                    .or_default();
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
        format!(
            "RoleBinding {:?}",
            format!("{}/{}", object.name(), object.namespace())
        )
    };
    for subject in binding.subjects.iter().flatten() {
        let key = match subject.kind.as_str() {
            "User" => format!("u:{}", subject.name),
            "Group" => format!("g:{}", subject.name),
            "ServiceAccount" => {
                let namespace = if subject.namespace.is_empty() {
                    object.namespace()
                } else {
                    &subject.namespace
                };
                format!("u:system:serviceaccount:{namespace}:{}", subject.name)
            }
            _ => continue,
        };
        let (kind, name) = (&binding.role_ref.kind, &binding.role_ref.name);
        let told = format!(
            "RBAC: allowed by {scope} of {kind} {name:?} to {} {:?}",
            subject.kind, subject.name
        );
        into.entry(key).or_default().push(Grant {
            rules: rules.clone(),
            told: told.into(),
        });
    }
}

/// The grants of a user: cluster-wide ones, then those of a namespace.
fn grants<'a>(compiled: &'a Compiled, user: &User, namespace: &str) -> impl Iterator<Item = &'a Grant> {
    let mut keys = vec![format!("u:{}", user.name)];
    keys.extend(user.groups.iter().map(|g| format!("g:{g}")));
    let local = compiled.namespaced.get(namespace);
    let places = std::iter::once(&compiled.cluster).chain(local);
    let found: Vec<&Grant> = places
        .flat_map(|place| keys.iter().filter_map(|k| place.get(k)).flatten())
        .collect();
    found.into_iter()
}

impl Rbac {
    /// The rules that `user` holds in `namespace`.
    pub(crate) fn held(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let compiled = self.current();
        grants(&compiled, user, namespace)
            .flat_map(|grant| grant.rules.iter().cloned())
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
        for grant in grants(&compiled, &attributes.user, namespace) {
            if grant.rules.iter().any(|rule| rule.allows(attributes)) {
                return Decision::allow(grant.told.to_string()).into();
            }
        }
        Decision::no_opinion("").into()
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
