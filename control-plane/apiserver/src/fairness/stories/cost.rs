//! What a request pays that finds a seat.

use crate::{
    fairness::{Fairness, Load, clients::Clients, level::Configuration, schema::Schema},
    security::{Attributes, User},
};
use component::Env;
use http::HeaderValue;
use std::{sync::Arc, time::Duration};

/// Fairness with all that there always is.
fn fairness(env: &Env) -> Arc<Fairness> {
    use crate::fairness::bootstrap;
    let fairness = Fairness::new(env, 600, Arc::new(Clients::new(env.clock.clone())));
    let uid = || HeaderValue::from_static("");
    let levels = bootstrap::levels().filter_map(|(name, spec)| Configuration::of(name, uid(), &spec));
    let schemas = bootstrap::schemas().map(|(name, spec)| Schema {
        name: name.to_owned(),
        uid: uid(),
        spec,
    });
    fairness.configure(levels.collect(), schemas.collect());
    fairness
}

fn asked(user: &str, groups: &[&str], verb: &str, resource: &str, namespace: &str) -> Arc<Attributes> {
    Arc::new(Attributes {
        user: Arc::new(User::new(user, groups)),
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        group: if resource == "leases" {
            "coordination.k8s.io"
        } else {
            ""
        }
        .to_owned(),
        namespace: namespace.to_owned(),
        is_resource: true,
        ..Attributes::default()
    })
}

#[tokio::test]
async fn requests_belong_to_upstreams_schemas() {
    let env = Env::system();
    let fairness = fairness(&env);
    let path = |path: &str| {
        Arc::new(Attributes {
            user: Arc::new(User::anonymous()),
            verb: "get".to_owned(),
            path: path.to_owned(),
            ..Attributes::default()
        })
    };
    let account = ["system:serviceaccounts", "system:authenticated"];
    for (asked, schema, level) in [
        (
            asked("root", &["system:masters"], "list", "pods", ""),
            "exempt",
            "exempt",
        ),
        (path("/healthz"), "probes", "exempt"),
        (path("/readyz/etcd"), "probes", "exempt"),
        (path("/version"), "global-default", "global-default"),
        (
            asked("system:kube-scheduler", &[], "update", "leases", "kube-system"),
            "system-leader-election",
            "leader-election",
        ),
        (
            asked("system:kube-scheduler", &[], "list", "pods", ""),
            "kube-scheduler",
            "workload-high",
        ),
        (
            asked("system:kube-controller-manager", &[], "watch", "pods", ""),
            "kube-controller-manager",
            "workload-high",
        ),
        (
            asked("system:node:a", &["system:nodes"], "patch", "nodes", ""),
            "system-node-high",
            "node-high",
        ),
        (
            asked("system:node:a", &["system:nodes"], "get", "secrets", "a"),
            "system-nodes",
            "system",
        ),
        (
            asked(
                "system:serviceaccount:kube-system:x",
                &account,
                "get",
                "pods",
                "a",
            ),
            "kube-system-service-accounts",
            "workload-high",
        ),
        (
            asked(
                "system:serviceaccount:kube-systemd:x",
                &account,
                "get",
                "pods",
                "a",
            ),
            "service-accounts",
            "workload-low",
        ),
        (
            asked("ann", &["system:authenticated"], "get", "pods", "a"),
            "global-default",
            "global-default",
        ),
        (
            asked("in-memory", &[], "get", "pods", "a"),
            "global-default",
            "global-default",
        ),
    ] {
        let placed = fairness.classify(&asked);
        assert_eq!(placed.schema.name, schema, "{asked:?}");
        assert_eq!(placed.schema.spec.priority_level_configuration.name, level);
    }
}

#[tokio::test]
async fn a_seat_that_is_free_costs_little() {
    let env = Env::system();
    let fairness = fairness(&env);
    let asked = asked("ann", &["system:authenticated"], "get", "pods", "a");
    let (rounds, minute) = (20_000_u32, Duration::from_secs(60));
    let start = env.clock.now();
    for _ in 0..rounds {
        let seat = fairness.enter(asked.clone(), Load::One, minute).await;
        assert!(seat.is_ok());
    }
    let each = (env.clock.now() - start) / rounds;
    // Only printed: a busy machine must not fail it.
    println!("a seat, taken and given back: {each:?}");
    let level = &fairness.config().levels["global-default"];
    assert!(level.lock().queues.is_idle() && level.lock().queues.totals.dispatched == u64::from(rounds));
}
