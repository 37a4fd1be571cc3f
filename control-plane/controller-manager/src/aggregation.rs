//! ClusterRoles whose rules are those of other ClusterRoles, found by label
//! (upstream `pkg/controller/clusterroleaggregation`).

use api::{Gvr, Key, MatchSelector, Object};
use client::{Caches, Change, Patch};
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Plan, Watch};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

const CLUSTER_ROLES: Gvr = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterroles");

/// Keeps the rules of aggregated roles what the rules of their parts are.
#[derive(Debug)]
pub struct ClusterRoleAggregationController;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RoleView {
    aggregation_rule: Option<Aggregation>,
    rules: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Aggregation {
    cluster_role_selectors: Option<Vec<MatchSelector>>,
}

/// An aggregated role: what its rules are, and what they have to be.
#[derive(Debug)]
pub struct Aggregated {
    role: Arc<Object>,
    current: Vec<Box<RawValue>>,
    wanted: Vec<Box<RawValue>>,
}

#[derive(Serialize)]
struct RulesPatch<'a> {
    metadata: Version,
    rules: &'a [Box<RawValue>],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: String,
}

/// Stored rules are canonical: equal rules are equal text.
fn same(a: &RawValue, b: &RawValue) -> bool {
    a.get() == b.get()
}

/// The rules of all roles but `role` that one of the selectors matches, each rule once, in the order of the names.
fn gather(all: &[Arc<Object>], role: &Object, selectors: &[MatchSelector]) -> Vec<Box<RawValue>> {
    let mut wanted: Vec<Box<RawValue>> = Vec::new();
    for selector in selectors.iter().filter_map(|s| s.selector().ok()) {
        let parts = all.iter().filter(|part| part.name() != role.name());
        for part in parts.filter(|part| selector.matches(|key| part.label(key))) {
            let rules = part
                .view::<RoleView>()
                .ok()
                .and_then(|view| view.rules)
                .unwrap_or_default();
            for rule in rules {
                if !wanted.iter().any(|held| same(held, &rule)) {
                    wanted.push(rule);
                }
            }
        }
    }
    wanted
}

fn aggregate(role: Arc<Object>, all: &[Arc<Object>]) -> Option<Aggregated> {
    let view: RoleView = role.view().ok()?;
    let selectors = view.aggregation_rule?.cluster_role_selectors.unwrap_or_default();
    let wanted = gather(all, &role, &selectors);
    Some(Aggregated {
        current: view.rules.unwrap_or_default(),
        wanted,
        role,
    })
}

fn is_aggregated(role: &Object) -> bool {
    api::scan::find(role.body(), "aggregationRule")
        .ok()
        .flatten()
        .is_some()
}

/// A role may be part of any aggregated role, before the change or after it.
fn aggregated(_: &Change, caches: &Caches) -> Vec<Key> {
    caches
        .all(&CLUSTER_ROLES)
        .all()
        .iter()
        .filter(|role| is_aggregated(role))
        .map(|role| role.key())
        .collect()
}

impl Controller for ClusterRoleAggregationController {
    type Observed = Aggregated;

    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn queue(&self) -> &'static str {
        "ClusterRoleAggregator"
    }

    fn primary(&self) -> Gvr {
        CLUSTER_ROLES
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(CLUSTER_ROLES, aggregated)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Aggregated> {
        let roles = caches.all(&CLUSTER_ROLES);
        aggregate(
            roles
                .get(key)
                .filter(|role| role.deletion_timestamp().is_none())?,
            &roles.all(),
        )
    }

    fn reconcile(&self, observed: &Aggregated, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let Aggregated {
            role,
            current,
            wanted,
        } = observed;
        if current.len() == wanted.len()
            && wanted
                .iter()
                .all(|rule| current.iter().any(|held| same(held, rule)))
        {
            return plan;
        }
        let metadata = Version {
            resource_version: role.resource_version().to_string(),
        };
        plan.patch(
            "aggregate",
            &CLUSTER_ROLES,
            &role.key(),
            "",
            Patch::Merge,
            &RulesPatch {
                metadata,
                rules: wanted,
            },
        );
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::Write;

    fn role(name: &str, labels: &str, rest: &str) -> Arc<Object> {
        let text = format!(
            r#"{{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{{"name":"{name}","labels":{labels}}},{rest}}}"#
        );
        Arc::new(Object::parse(text.into(), 7, &[]).unwrap())
    }

    fn plan(role: &Arc<Object>, all: &[Arc<Object>]) -> Option<String> {
        let observed = aggregate(role.clone(), all)?;
        let plan = ClusterRoleAggregationController.reconcile(
            &observed,
            &LastOutcome::default(),
            Timestamp::UNIX_EPOCH,
        );
        match &plan.writes.first()?.write {
            Write::Patch(_, body) => Some(String::from_utf8(body.to_vec()).unwrap()),
            other => panic!("not a patch: {other:?}"),
        }
    }

    #[test]
    fn the_rules_of_parts_become_the_role_s() {
        let pods = r#""rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]"#;
        let nodes = r#""rules":[{"verbs":["get"],"apiGroups":[""],"resources":["nodes"]}]"#;
        let selectors = r#""aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"to":"x"}}]}"#;
        let whole = |rules: &str| role("x", r#"{"to":"x"}"#, &format!("{selectors},{rules}"));
        let parts = [
            role("a", r#"{"to":"x"}"#, pods),
            role("b", r#"{"to":"x"}"#, pods),
            role("c", r#"{"to":"y"}"#, nodes),
        ];
        let patch = plan(&whole(nodes), &parts).unwrap();
        assert_eq!(
            patch,
            format!(r#"{{"metadata":{{"resourceVersion":"7"}},{pods}}}"#)
        );
        assert_eq!(plan(&whole(pods), &parts), None, "nothing to do");
        assert_eq!(
            plan(&whole(pods), &[]).unwrap(),
            r#"{"metadata":{"resourceVersion":"7"},"rules":[]}"#
        );
        assert_eq!(plan(&parts[0], &parts), None, "not an aggregated role");
    }
}
