//! Stories of the real kinds over the real store in memory.

use crate::fixture;
use api::{Gvr, Key, Object, Status};
use bytes::Bytes;
use client::{Client, DeleteOptions, ListParams, Patch, Target, Write};
use std::sync::Arc;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const SERVICES: Gvr = Gvr::new("", "v1", "services");
const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");

fn text(object: &Object) -> String {
    String::from_utf8(object.to_json().to_vec()).unwrap()
}

async fn create(client: &Client, gvr: &Gvr, body: &str) -> Result<Arc<Object>, Status> {
    client
        .write(
            Target::collection(gvr, "default"),
            Write::Create(Bytes::from(body.to_owned())),
        )
        .await
}

/// A server with the account that pods of `default` run as.
async fn cluster() -> (Arc<crate::Server>, Client) {
    let (server, _env) = fixture::whole().await;
    let client = fixture::client(&server);
    create(
        &client,
        &Gvr::new("", "v1", "serviceaccounts"),
        r#"{"metadata":{"name":"default"}}"#,
    )
    .await
    .unwrap();
    (server, client)
}

const POD: &str = r#"{"metadata":{"name":"web"},"spec":{"containers":[{"name":"c","image":"nginx"}]}}"#;

#[tokio::test(start_paused = true)]
async fn the_cluster_has_what_every_cluster_has() {
    let (_server, client) = cluster().await;
    let service = client
        .get(&SERVICES, &Key::new("default", "kubernetes"))
        .await
        .unwrap();
    assert!(
        text(&service).contains(r#""clusterIP":"10.96.0.1""#),
        "{}",
        text(&service)
    );
    let slices = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
    let slice = client
        .get(&slices, &Key::new("default", "kubernetes"))
        .await
        .unwrap();
    assert!(text(&slice).contains(r#""addresses":["192.0.2.1"]"#));
    let classes = Gvr::new("scheduling.k8s.io", "v1", "priorityclasses");
    let class = client
        .get(&classes, &Key::cluster("system-node-critical"))
        .await
        .unwrap();
    assert!(text(&class).contains("2000001000"));
    let namespaces = client.list(&NAMESPACES, "", ListParams::default()).await.unwrap();
    let names: Vec<&str> = namespaces.items.iter().map(|o| o.name()).collect();
    assert_eq!(
        names,
        ["default", "kube-node-lease", "kube-public", "kube-system"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_once_and_deleted_with_grace() {
    let (_server, client) = cluster().await;
    let made = create(&client, &PODS, POD).await.unwrap();
    let key = Key::new("default", "web");
    let bind = |node: &str| {
        let body = format!(r#"{{"metadata":{{"name":"web"}},"target":{{"kind":"Node","name":"{node}"}}}}"#);
        client.write(
            Target::object(&PODS, &key).sub("binding"),
            Write::Create(body.into()),
        )
    };
    let answer = bind("n1").await.unwrap();
    assert!(text(&answer).contains(r#""status":"Success","code":201"#));
    let bound = client.get(&PODS, &key).await.unwrap();
    assert!(text(&bound).contains(r#""nodeName":"n1""#) && text(&bound).contains("PodScheduled"));
    assert!(bound.resource_version() > made.resource_version());
    let again = bind("n2").await.unwrap_err();
    assert!(
        again
            .message
            .contains(r#"pod web is already assigned to node "n1""#),
        "{}",
        again.message
    );
    let mine = ListParams {
        field_selector: "spec.nodeName=n1".to_owned(),
        ..ListParams::default()
    };
    assert_eq!(client.list(&PODS, "", mine).await.unwrap().items.len(), 1);
    let going = client
        .delete(&PODS, &key, DeleteOptions::default())
        .await
        .unwrap();
    assert_eq!(going.deletion_grace_seconds(), Some(30));
    let status = r#"{"status":{"phase":"Succeeded"}}"#;
    client
        .write(
            Target::object(&PODS, &key).sub("status"),
            Write::Patch(Patch::Strategic, status.into()),
        )
        .await
        .unwrap();
    let now = DeleteOptions {
        grace_period_seconds: Some(0),
        ..DeleteOptions::default()
    };
    client.delete(&PODS, &key, now).await.unwrap();
    assert!(client.get(&PODS, &key).await.unwrap_err().is_not_found());
}

#[tokio::test(start_paused = true)]
async fn services_get_addresses_that_come_back() {
    let (_server, client) = cluster().await;
    let body = |name: &str, ip: &str| {
        format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"clusterIP":"{ip}","ports":[{{"port":80}}]}}}}"#)
    };
    let any = r#"{"metadata":{"name":"any"},"spec":{"type":"NodePort","ports":[{"port":80}]}}"#;
    let any = create(&client, &SERVICES, any).await.unwrap();
    assert!(
        text(&any).contains(r#""clusterIP":"10."#) && text(&any).contains(r#""nodePort":3"#),
        "{}",
        text(&any)
    );
    create(&client, &SERVICES, &body("a", "10.96.0.10"))
        .await
        .unwrap();
    let taken = create(&client, &SERVICES, &body("b", "10.96.0.10"))
        .await
        .unwrap_err();
    assert!(
        taken.message.contains("provided IP is already allocated"),
        "{}",
        taken.message
    );
    let twice = create(&client, &SERVICES, &body("a", "10.96.0.11"))
        .await
        .unwrap_err();
    assert!(twice.is_already_exists());
    create(&client, &SERVICES, &body("c", "10.96.0.11"))
        .await
        .expect("what a refused write took was given back");
    client
        .delete(&SERVICES, &Key::new("default", "a"), DeleteOptions::default())
        .await
        .unwrap();
    create(&client, &SERVICES, &body("b", "10.96.0.10"))
        .await
        .expect("what a deleted Service had is free");
}

#[tokio::test(start_paused = true)]
async fn events_are_served_in_both_groups() {
    let (_server, client) = cluster().await;
    let core = r#"{"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","name":"web","namespace":"default"},
        "reason":"Started","message":"it began","type":"Normal","source":{"component":"kubelet"},"count":1,
        "firstTimestamp":"2030-01-01T00:00:00Z","lastTimestamp":"2030-01-01T00:00:00Z"}"#;
    create(&client, &Gvr::new("", "v1", "events"), core)
        .await
        .unwrap();
    let new = Gvr::new("events.k8s.io", "v1", "events");
    let read = client.get(&new, &Key::new("default", "e")).await.unwrap();
    assert_eq!(read.api_version(), "events.k8s.io/v1");
    assert!(
        text(&read).contains(r#""note":"it began""#) && text(&read).contains(r#""regarding":{"#),
        "{}",
        text(&read)
    );
    let of = ListParams {
        field_selector: "involvedObject.name=web".to_owned(),
        ..ListParams::default()
    };
    assert_eq!(
        client
            .list(&Gvr::new("", "v1", "events"), "default", of)
            .await
            .unwrap()
            .items
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_is_served_in_both_versions() {
    let (_server, client) = cluster().await;
    let v1 = Gvr::new("autoscaling", "v1", "horizontalpodautoscalers");
    let body = r#"{"metadata":{"name":"h"},"spec":{"maxReplicas":5,"targetCPUUtilizationPercentage":70,
        "scaleTargetRef":{"kind":"Deployment","name":"web","apiVersion":"apps/v1"}}}"#;
    create(&client, &v1, body).await.unwrap();
    let v2 = Gvr::new("autoscaling", "v2", "horizontalpodautoscalers");
    let read = client.get(&v2, &Key::new("default", "h")).await.unwrap();
    assert!(
        text(&read).contains(r#""averageUtilization":70"#),
        "{}",
        text(&read)
    );
    let old = client.get(&v1, &Key::new("default", "h")).await.unwrap();
    assert!(
        text(&old).contains(r#""targetCPUUtilizationPercentage":70"#),
        "{}",
        text(&old)
    );
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_when_its_finalizers_are_gone() {
    let (_server, client) = cluster().await;
    let body = r#"{"metadata":{"name":"old"}}"#;
    client
        .write(Target::collection(&NAMESPACES, ""), Write::Create(body.into()))
        .await
        .unwrap();
    let key = Key::cluster("old");
    let going = client
        .delete(&NAMESPACES, &key, DeleteOptions::default())
        .await
        .unwrap();
    assert!(
        text(&going).contains(r#""phase":"Terminating""#),
        "{}",
        text(&going)
    );
    let finalized = text(&going).replace(r#""spec":{"finalizers":["kubernetes"]}"#, r#""spec":{}"#);
    client
        .write(
            Target::object(&NAMESPACES, &key).sub("finalize"),
            Write::Update(finalized.into()),
        )
        .await
        .unwrap();
    assert!(client.get(&NAMESPACES, &key).await.unwrap_err().is_not_found());
}

#[tokio::test(start_paused = true)]
async fn tokens_are_bound_to_the_pod_that_asks() {
    let (_server, client) = cluster().await;
    create(&client, &PODS, POD).await.unwrap();
    let accounts = Gvr::new("", "v1", "serviceaccounts");
    let ask = |body: &'static str| {
        let target = Target::object(&accounts, &Key::new("default", "default")).sub("token");
        client.write(target, Write::Create(body.into()))
    };
    let token = ask(r#"{"spec":{"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"web"}}}"#)
        .await
        .unwrap();
    assert!(
        text(&token).contains(r#""token":"default/default bound=Some(\"web\")""#),
        "{}",
        text(&token)
    );
    let short = ask(r#"{"spec":{"expirationSeconds":10}}"#).await.unwrap_err();
    assert!(
        short
            .message
            .contains("may not specify a duration less than 10 minutes")
    );
    let missing = ask(r#"{"spec":{"boundObjectRef":{"kind":"Pod","apiVersion":"v1","name":"x"}}}"#)
        .await
        .unwrap_err();
    assert_eq!(missing.message, r#"pods "x" not found"#);
}

#[tokio::test(start_paused = true)]
async fn a_restart_serves_what_was_stored() {
    let env = component::Env::simulated(3);
    let store = etcd::Engine::in_memory(env.clone()).unwrap();
    let dial = fixture::no_nodes();
    let first = fixture::start(store.clone(), resources::table().to_vec(), dial.clone(), &env).await;
    let client = fixture::client(&first);
    let service = r#"{"metadata":{"name":"a"},"spec":{"clusterIP":"10.96.0.10","ports":[{"port":80}]}}"#;
    let made = create(&client, &SERVICES, service).await.unwrap();
    let second = fixture::start(store, resources::table().to_vec(), dial, &env).await;
    let client = fixture::client(&second);
    let read = client.get(&SERVICES, &Key::new("default", "a")).await.unwrap();
    assert_eq!(
        (read.uid(), read.resource_version()),
        (made.uid(), made.resource_version())
    );
    let taken = create(&client, &SERVICES, &service.replace(r#""a""#, r#""b""#))
        .await
        .unwrap_err();
    assert!(taken.message.contains("already allocated"));
}
