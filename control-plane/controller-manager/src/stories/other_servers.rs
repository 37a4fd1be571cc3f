//! What other API servers have goes with namespaces.

use super::{NOW, Still, objects};
use crate::{
    NamespaceController,
    gc::{Collectable, Collections, Resources, with_other_servers},
};
use api::{Gvr, Key, Object, Status};
use client::{
    Caches, Client, Discovered, List, ListParams, Target, Transport, WatchParams, WatchStream, Write,
    WriteOptions,
};
use component::Env;
use futures::{FutureExt, future::BoxFuture};
use reconcile::{Controller, LastOutcome, Outcome};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Objects, and another server that answers or does not.
struct Two(Still, AtomicBool);

impl Transport for Two {
    fn get(&self, target: Target) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        self.0.get(target)
    }

    fn list(&self, target: Target, params: ListParams) -> BoxFuture<'_, Result<List, Status>> {
        self.0.list(target, params)
    }

    fn watch(&self, target: Target, params: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>> {
        self.0.watch(target, params)
    }

    fn write(
        &self,
        target: Target,
        write: Write,
        options: WriteOptions,
    ) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        self.0.write(target, write, options)
    }

    fn discover(&self, group: String, version: String) -> BoxFuture<'_, Result<Vec<Discovered>, Status>> {
        assert_eq!(
            (group.as_str(), version.as_str()),
            ("wardle.example.com", "v1alpha1")
        );
        let resource = |name: &str, verbs: &[&str]| Discovered {
            name: name.to_owned(),
            kind: "Flunder".to_owned(),
            namespaced: true,
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        };
        let found = [
            resource("flunders", &["list", "watch", "delete"]),
            resource("readings", &["get", "list"]),
        ];
        let answers = self.1.load(Ordering::Relaxed);
        async move {
            match answers {
                true => Ok(found.into()),
                false => Err(Status::unavailable("service unavailable")),
            }
        }
        .boxed()
    }
}

const THERE: &str = "
kind: Namespace
apiVersion: v1
metadata: {name: shop, uid: shop-1, deletionTimestamp: '2030-01-01T00:00:00Z'}
spec: {finalizers: [kubernetes]}
---
kind: APIService
apiVersion: apiregistration.k8s.io/v1
metadata: {name: v1alpha1.wardle.example.com, uid: a}
spec: {group: wardle.example.com, version: v1alpha1, service: {namespace: wardle, name: api}}
status: {conditions: [{type: Available, status: 'True'}]}
---
kind: APIService
apiVersion: apiregistration.k8s.io/v1
metadata: {name: v1.apps, uid: b}
spec: {group: apps, version: v1}
";

fn built_in(gvr: Gvr, kind: &str) -> Collectable {
    Collectable {
        gvr,
        kind: kind.to_owned(),
        namespaced: false,
        built_in: true,
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_waits_until_another_server_says_what_it_has() {
    let env = Env::simulated(1);
    let way = Arc::new(Two(Still(objects(THERE)), AtomicBool::new(false)));
    let client = Client::new(way.clone(), "story");
    let caches = Caches::new(client.clone(), env.clone());
    let services = Gvr::new("apiregistration.k8s.io", "v1", "apiservices");
    let namespaces = Gvr::new("", "v1", "namespaces");
    let base = Resources(vec![
        built_in(services, "APIService"),
        built_in(namespaces.clone(), "Namespace"),
    ]);
    let collections = Collections::default();
    let mut served = with_other_servers(&client, &caches, base.fixed(), &collections, &env);
    caches.all(&namespaces).synced().await;
    env.clock.sleep(std::time::Duration::from_secs(1)).await;
    let controller = NamespaceController {
        served: served.borrow().clone(),
        collections: collections.clone(),
    };
    let key = Key::cluster("shop");
    // All that is known has been emptied; but it is not known what the other server has.
    let emptied = LastOutcome(vec![]);
    let observed = controller.observe(&caches, &key).unwrap();
    let plan = controller.reconcile(&observed, &emptied, NOW.parse().unwrap());
    let told: String = plan
        .writes
        .iter()
        .map(|write| format!("{:?}", write.write))
        .collect();
    assert!(
        plan.writes
            .iter()
            .all(|write| write.target.subresource != "finalize"),
        "{told}"
    );
    let why = "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: \
               wardle.example.com/v1alpha1: stale GroupVersion discovery: wardle.example.com/v1alpha1";
    assert!(told.contains(why), "{told}");

    way.1.store(true, Ordering::Relaxed);
    let found = served
        .wait_for(|served| served.0.len() == 3)
        .await
        .unwrap()
        .clone();
    let flunders = Gvr::new("wardle.example.com", "v1alpha1", "flunders");
    assert_eq!(
        found.0[2].gvr, flunders,
        "what cannot be watched and deleted is left out"
    );
    assert!(found.of_kind("wardle.example.com/v1alpha1", "Flunder").is_some());
    env.clock.sleep(std::time::Duration::from_secs(1)).await;
    let observed = controller.observe(&caches, &key).unwrap();
    let plan = controller.reconcile(
        &observed,
        &LastOutcome(Vec::<(&str, Outcome)>::new()),
        NOW.parse().unwrap(),
    );
    assert!(
        plan.writes
            .iter()
            .any(|write| write.target.subresource == "finalize")
    );
}
