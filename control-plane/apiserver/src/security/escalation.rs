//! Nobody grants what they do not hold (upstream `pkg/registry/rbac/*/policybased`): a role may carry only rules that
//! its writer has, unless they may `escalate` it; a binding may grant only those, unless they may `bind` the role.

use super::{
    Attributes, Authorizer, User,
    rbac::{Rbac, Rule, quoted, tell, uncovered},
};
use crate::admission::{self, Remote};
use api::{Gvr, Object, Status};
use futures::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use std::sync::Arc;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Refuses writes of roles and bindings that would give more than the writer has.
pub struct Escalation {
    rbac: Arc<Rbac>,
    authorizer: Arc<dyn Authorizer>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RoleView {
    rules: Option<Vec<Rule>>,
    aggregation_rule: Option<Aggregation>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Aggregation {
    cluster_role_selectors: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BindingView {
    role_ref: RoleRef,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RoleRef {
    kind: String,
    name: String,
}

impl RoleView {
    fn of(object: Option<&Object>) -> Self {
        object.and_then(|object| object.view().ok()).unwrap_or_default()
    }

    fn gathers(&self) -> bool {
        let selectors = self
            .aggregation_rule
            .as_ref()
            .and_then(|a| a.cluster_role_selectors.as_ref());
        selectors.is_some_and(|selectors| !selectors.is_empty())
    }
}

impl Escalation {
    /// With the rules of `rbac`; `authorizer` is asked for `escalate` and `bind`.
    pub fn new(rbac: Arc<Rbac>, authorizer: Arc<dyn Authorizer>) -> Arc<Self> {
        Arc::new(Self { rbac, authorizer })
    }

    /// Whether the writer has a power over the role `name`.
    async fn has(&self, attributes: &Attributes, verb: &str, resource: &str, name: &str) -> bool {
        let asked = Attributes {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            subresource: String::new(),
            name: name.to_owned(),
            ..attributes.clone()
        };
        self.authorizer.authorize(&asked).get().await.allowed()
    }

    fn confirm(&self, user: &User, namespace: &str, rules: &[Rule]) -> Result<(), String> {
        let missing = uncovered(&self.rbac.held(user, namespace), rules);
        if missing.is_empty() {
            return Ok(());
        }
        let (name, groups) = (&user.name, quoted(&user.groups));
        let lines = tell(missing);
        Err(format!(
            "user {name:?} (groups={groups}) is attempting to grant RBAC permissions not currently held:\n{lines}"
        ))
    }

    async fn admit_role(
        &self,
        attributes: &Attributes,
        old: Option<&Object>,
        new: &Object,
    ) -> Result<(), Status> {
        if self
            .has(attributes, "escalate", &attributes.resource, new.name())
            .await
        {
            return Ok(());
        }
        let user = &attributes.user;
        let role = RoleView::of(Some(new));
        let refuse = |why: &str| Status::forbidden(&resource(attributes), new.name(), why);
        let rules = role.rules.as_deref().unwrap_or_default();
        self.confirm(user, new.namespace(), rules)
            .map_err(|why| refuse(&why))?;
        let gathers = role.gathers() || RoleView::of(old).gathers();
        if gathers && self.confirm(user, "", &Rule::everything()).is_err() {
            return Err(refuse(
                "must have cluster-admin privileges to use the aggregationRule",
            ));
        }
        Ok(())
    }

    async fn admit_binding(&self, attributes: &Attributes, new: &Object) -> Result<(), Status> {
        let view: BindingView = new.view().map_err(Status::internal)?;
        let cluster = view.role_ref.kind == "ClusterRole";
        let roles = if cluster { "clusterroles" } else { "roles" };
        let name = view.role_ref.name.as_str();
        if self.has(attributes, "bind", roles, name).await {
            return Ok(());
        }
        let Some(rules) = self.rbac.rules_of(cluster, new.namespace(), name) else {
            let gvr = Gvr {
                resource: roles.into(),
                ..resource(attributes)
            };
            return Err(Status::not_found(&gvr, name));
        };
        self.confirm(&attributes.user, new.namespace(), &rules)
            .map_err(|why| Status::forbidden(&resource(attributes), new.name(), &why))
    }
}

fn resource(attributes: &Attributes) -> Gvr {
    Gvr {
        group: attributes.group.clone().into(),
        version: attributes.version.clone().into(),
        resource: attributes.resource.clone().into(),
    }
}

/// Whether only what garbage collection writes (owners, finalizers) is changed. Stored objects are canonical: what is
/// equal is equal text.
fn only_collected(old: Option<&Object>, new: &Object) -> bool {
    let Some(old) = old else { return false };
    let part = |object: &Object, path: &str| {
        let range = api::scan::find(object.body(), path).ok().flatten();
        range.map(|range| object.body().slice(range))
    };
    [
        "rules",
        "aggregationRule",
        "roleRef",
        "subjects",
        "metadata.labels",
        "metadata.annotations",
    ]
    .iter()
    .all(|path| part(old, path) == part(new, path))
}

impl Remote for Escalation {
    fn validates(&self, request: &admission::Attributes<'_>) -> bool {
        request.request().group == GROUP
    }

    fn validate<'a>(&'a self, request: &'a admission::Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        self.check(request).boxed()
    }
}

impl Escalation {
    async fn check(&self, request: &admission::Attributes<'_>) -> Result<(), Status> {
        let (attributes, old, new) = (
            request.request(),
            request.old.as_deref(),
            request.object.as_deref(),
        );
        let Some(new) =
            new.filter(|_| attributes.group == GROUP && !attributes.user.in_group("system:masters"))
        else {
            return Ok(());
        };
        if only_collected(old, new) {
            return Ok(());
        }
        match attributes.resource.as_str() {
            "roles" | "clusterroles" => self.admit_role(attributes, old, new).await,
            "rolebindings" | "clusterrolebindings" => self.admit_binding(attributes, new).await,
            _ => Ok(()),
        }
    }
}
