//! RBAC (upstream `plugin/pkg/auth/authorizer/rbac`).

pub mod bootstrap;
mod chain;
mod compiled;
mod held;
mod rule;

pub use chain::Chain;
pub(crate) use rule::{Rule, quoted, tell, uncovered};

use super::{Answer, Attributes, Authorizer, Decision, PathRule, ResourceRule, Rules, User};
use crate::server::Reader;
use api::Gvr;
use compiled::Compiled;
use held::Held;
use std::{
    collections::BTreeSet,
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

static CLUSTER_ROLES: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterroles");
static CLUSTER_ROLE_BINDINGS: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
static ROLES: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "roles");
static ROLE_BINDINGS: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "rolebindings");

/// The RBAC authorizer. Roles and bindings are decoded once a version, not a request, and one that changes alone.
pub struct Rbac {
    reader: Reader,
    compiled: RwLock<Compiled>,
}

impl Rbac {
    /// Over what is stored.
    pub fn new(reader: Reader) -> Self {
        Self {
            reader,
            compiled: RwLock::default(),
        }
    }

    /// What is so now.
    fn current(&self) -> RwLockReadGuard<'_, Compiled> {
        let current = {
            let compiled = self.compiled.read().unwrap_or_else(PoisonError::into_inner);
            compiled.is_current(&self.reader).then_some(compiled)
        };
        current.unwrap_or_else(|| {
            let mut compiled = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
            let read = compiled.follow(&self.reader);
            tracing::debug!(read, "roles and bindings changed");
            drop(compiled);
            self.compiled.read().unwrap_or_else(PoisonError::into_inner)
        })
    }
}

impl Rbac {
    /// The rules that `user` holds in `namespace`.
    pub(crate) fn held(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let compiled = self.current();
        compiled
            .held(user, namespace)
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
        Some(compiled::rules(&*self.reader.get(gvr, namespace, name)?))
    }
}

impl Authorizer for Rbac {
    fn authorize(&self, attributes: &Attributes) -> Answer<Decision> {
        let compiled = self.current();
        let namespace = if attributes.is_resource {
            attributes.namespace.as_str()
        } else {
            ""
        };
        for held in compiled.held(&attributes.user, namespace) {
            if let Some(told) = held.allows(attributes) {
                return Decision::allow(told).into();
            }
        }
        let missing: BTreeSet<&str> = compiled
            .held(&attributes.user, namespace)
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
