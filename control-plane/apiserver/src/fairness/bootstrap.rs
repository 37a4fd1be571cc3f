//! The objects that there always are, and those that are suggested, as upstream has them.

use super::{
    level::{CATCH_ALL, Configuration, EXEMPT, Exempt, Limit, Limited, Queuing, Spec as LevelSpec},
    schema::{Account, Method, Named, PathRule, ResourceRule, Rule, Schema, Spec as SchemaSpec, Subject},
};
use http::HeaderValue;

const ALL: &[&str] = &["*"];
const NODES: &str = "system:nodes";
const EVERYBODY: &[Who] = &[
    Who::Group("system:unauthenticated"),
    Who::Group("system:authenticated"),
];

enum Who {
    User(&'static str),
    Group(&'static str),
    /// The service accounts of kube-system.
    System,
}

enum What {
    /// Verbs, groups, resources; whether also of the cluster.
    Resources(
        &'static [&'static str],
        &'static [&'static str],
        &'static [&'static str],
        bool,
    ),
    /// Verbs, paths.
    Paths(&'static [&'static str], &'static [&'static str]),
}

const EVERYTHING: &[What] = &[What::Resources(ALL, ALL, ALL, true), What::Paths(ALL, ALL)];

/// Name, level, precedence, distinguisher, who, what.
type Row = (
    &'static str,
    &'static str,
    i64,
    &'static str,
    &'static [Who],
    &'static [What],
);

const LEASES: &[&str] = &["coordination.k8s.io"];

#[rustfmt::skip]
const SCHEMAS: &[Row] = &[
    (EXEMPT, EXEMPT, 1, "", &[Who::Group("system:masters")], EVERYTHING),
    (CATCH_ALL, CATCH_ALL, 10_000, "ByUser", EVERYBODY, EVERYTHING),
    ("system-nodes", "system", 500, "ByUser", &[Who::Group(NODES)], EVERYTHING),
    ("system-node-high", "node-high", 400, "ByUser", &[Who::Group(NODES)], &[
        What::Resources(ALL, &[""], &["nodes", "nodes/status"], true),
        What::Resources(ALL, LEASES, &["leases"], false),
    ]),
    ("probes", EXEMPT, 2, "", EVERYBODY, &[What::Paths(&["get"], &["/healthz", "/readyz", "/livez"])]),
    ("system-leader-election", "leader-election", 100, "ByUser",
        &[Who::User("system:kube-controller-manager"), Who::User("system:kube-scheduler"), Who::System],
        &[What::Resources(&["get", "create", "update"], LEASES, &["leases"], false)]),
    ("kube-controller-manager", "workload-high", 800, "ByNamespace",
        &[Who::User("system:kube-controller-manager")], EVERYTHING),
    ("kube-scheduler", "workload-high", 800, "ByNamespace", &[Who::User("system:kube-scheduler")], EVERYTHING),
    ("kube-system-service-accounts", "workload-high", 900, "ByNamespace", &[Who::System], EVERYTHING),
    ("service-accounts", "workload-low", 9000, "ByUser", &[Who::Group("system:serviceaccounts")], EVERYTHING),
    ("global-default", "global-default", 9900, "ByUser", EVERYBODY, EVERYTHING),
];

/// Name, shares, lendable percent, queues, cards of a hand.
const LEVELS: &[(&str, u32, u32, u32, u32)] = &[
    (EXEMPT, 0, 0, 0, 0),
    (CATCH_ALL, 5, 0, 0, 0),
    ("system", 30, 33, 64, 6),
    ("node-high", 40, 25, 64, 6),
    ("leader-election", 10, 0, 16, 4),
    ("workload-high", 40, 50, 128, 6),
    ("workload-low", 100, 90, 128, 6),
    ("global-default", 20, 50, 128, 6),
];
const QUEUE_LENGTH: u32 = 50;

/// Whether an object is there in any case, and as it is.
pub fn is_mandatory(name: &str) -> bool {
    matches!(name, EXEMPT | CATCH_ALL)
}

/// The schemas, the mandatory ones first.
pub fn schemas() -> impl Iterator<Item = (&'static str, SchemaSpec)> {
    SCHEMAS.iter().map(|(name, level, precedence, by, who, what)| {
        let method = || Method {
            r#type: (*by).to_owned(),
        };
        let rule = Rule {
            subjects: who.iter().map(subject).collect(),
            resource_rules: what.iter().filter_map(resource_rule).collect(),
            non_resource_rules: what.iter().filter_map(path_rule).collect(),
        };
        let spec = SchemaSpec {
            priority_level_configuration: named(level),
            matching_precedence: *precedence,
            distinguisher_method: (!by.is_empty()).then(method),
            rules: vec![rule],
        };
        (*name, spec)
    })
}

/// The levels, the mandatory ones first.
pub fn levels() -> impl Iterator<Item = (&'static str, LevelSpec)> {
    LEVELS.iter().map(|&(name, shares, lendable, queues, hand)| {
        if name == EXEMPT {
            let spec = LevelSpec {
                r#type: "Exempt".to_owned(),
                exempt: Some(Exempt::default()),
                limited: None,
            };
            return (name, spec);
        }
        let queuing = (queues > 0).then_some(Queuing {
            queues,
            hand_size: hand,
            queue_length_limit: QUEUE_LENGTH,
        });
        let limited = Limited {
            nominal_concurrency_shares: shares,
            lendable_percent: lendable,
            borrowing_limit_percent: None,
            limit_response: Limit {
                r#type: if queues > 0 { "Queue" } else { "Reject" }.to_owned(),
                queuing,
            },
        };
        let spec = LevelSpec {
            r#type: "Limited".to_owned(),
            exempt: None,
            limited: Some(limited),
        };
        (name, spec)
    })
}

/// The mandatory levels, as they are while they are not stored.
pub fn imagined_levels() -> impl Iterator<Item = Configuration> {
    let mandatory = levels().filter(|(name, _)| is_mandatory(name));
    mandatory.filter_map(|(name, spec)| Configuration::of(name, HeaderValue::from_static(""), &spec))
}

/// The mandatory schemas, as they are while they are not stored.
pub fn imagined_schemas() -> impl Iterator<Item = Schema> {
    let mandatory = schemas().filter(|(name, _)| is_mandatory(name));
    mandatory.map(|(name, spec)| Schema {
        name: name.to_owned(),
        uid: HeaderValue::from_static(""),
        spec,
    })
}

fn named(name: &str) -> Named {
    Named {
        name: name.to_owned(),
    }
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

fn subject(who: &Who) -> Subject {
    let of = |kind: &str| Subject {
        kind: kind.to_owned(),
        ..Subject::default()
    };
    match who {
        Who::User(name) => Subject {
            user: Some(named(name)),
            ..of("User")
        },
        Who::Group(name) => Subject {
            group: Some(named(name)),
            ..of("Group")
        },
        Who::System => Subject {
            service_account: Some(Account {
                namespace: "kube-system".to_owned(),
                name: "*".to_owned(),
            }),
            ..of("ServiceAccount")
        },
    }
}

fn resource_rule(what: &What) -> Option<ResourceRule> {
    let What::Resources(verbs, groups, resources, cluster_scope) = what else {
        return None;
    };
    Some(ResourceRule {
        verbs: owned(verbs),
        api_groups: owned(groups),
        resources: owned(resources),
        cluster_scope: *cluster_scope,
        namespaces: owned(ALL),
    })
}

fn path_rule(what: &What) -> Option<PathRule> {
    let What::Paths(verbs, paths) = what else {
        return None;
    };
    Some(PathRule {
        verbs: owned(verbs),
        non_resource_urls: owned(paths),
    })
}
