//! Stories of addresses and node ports, with one server and with two over one store.

use crate::{Server, cache::stories::Remote, fixture};
use api::{Gvr, Key, Object, Status, scan};
use bytes::Bytes;
use client::{Client, DeleteOptions, ListParams, Patch, Target, Write, WriteOptions};
use component::Env;
use etcd::Store;
use futures::future::join_all;
use serde::Serialize;
use std::{collections::BTreeSet, sync::Arc};

const SERVICES: Gvr = Gvr::new("", "v1", "services");
const ADDRESSES: Gvr = Gvr::new("networking.k8s.io", "v1", "ipaddresses");
const RANGES: Gvr = Gvr::new("networking.k8s.io", "v1", "servicecidrs");

async fn servers(cidr: &str, count: usize) -> Vec<(Arc<Server>, Client)> {
    let env = Env::simulated(7);
    let engine = etcd::Engine::in_memory(env.clone()).unwrap();
    let mut all = Vec::new();
    for number in 0..count {
        let rows = resources::table().to_vec();
        let store: Arc<dyn Store> = match number {
            0 => engine.clone(),
            _ => Arc::new(Remote {
                engine: engine.clone(),
                lose: false.into(),
            }),
        };
        let mut config = fixture::config(store, rows, fixture::no_nodes());
        cidr.clone_into(&mut config.service_cidr);
        let server = Server::start(config, env.clone()).await.unwrap();
        server.bootstrap().await.unwrap();
        let client = fixture::client(&server);
        all.push((server, client));
    }
    all
}

async fn service(client: &Client, name: &str, spec: &str) -> Result<Arc<Object>, Status> {
    let body = format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"ports":[{{"port":80}}]{spec}}}}}"#);
    let write = Write::Create(Bytes::from(body));
    client
        .write(Target::collection(&SERVICES, "default"), write)
        .await
}

fn field(object: &Object, path: &str) -> String {
    scan::scalar(object.body(), path).unwrap().into_owned()
}

async fn names(client: &Client, gvr: &Gvr) -> Vec<String> {
    let list = client.list(gvr, "", ListParams::default()).await.unwrap();
    list.items.iter().map(|object| object.name().to_owned()).collect()
}

async fn delete(client: &Client, gvr: &Gvr, key: &Key) {
    client.delete(gvr, key, DeleteOptions::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_address_is_an_object_as_long_as_its_service() {
    let all = servers("10.96.0.0/24", 1).await;
    let client = &all[0].1;
    assert_eq!(names(client, &RANGES).await, ["kubernetes"]);
    assert_eq!(names(client, &ADDRESSES).await, ["10.96.0.1"]);
    let made = service(client, "web", "").await.unwrap();
    let ip = field(&made, "spec.clusterIP");
    let address = client.get(&ADDRESSES, &Key::cluster(&ip)).await.unwrap();
    assert_eq!(field(&address, "spec.parentRef.name"), "web");
    assert_eq!(field(&address, "spec.parentRef.namespace"), "default");
    assert_eq!(
        address.label("ipaddress.kubernetes.io/managed-by"),
        Some("ipallocator.k8s.io")
    );
    assert_eq!(address.label("ipaddress.kubernetes.io/ip-family"), Some("IPv4"));
    let again = service(client, "other", &format!(r#","clusterIP":"{ip}""#))
        .await
        .unwrap_err();
    assert_eq!(
        again.message,
        format!(
            "Service \"other\" is invalid: spec.clusterIPs: Invalid value: [\"{ip}\"]: failed to allocate IP {ip}: provided IP is already allocated"
        )
    );
    delete(client, &SERVICES, &Key::new("default", "web")).await;
    assert_eq!(names(client, &ADDRESSES).await, ["10.96.0.1"]);
    // It is free at once, and goes with the type as well.
    service(client, "other", &format!(r#","clusterIP":"{ip}""#))
        .await
        .unwrap();
    let key = Key::new("default", "other");
    let named = r#"{"spec":{"type":"ExternalName","externalName":"a.b","clusterIP":null,"clusterIPs":null}}"#;
    let write = Write::Patch(Patch::Merge, Bytes::from_static(named.as_bytes()));
    client
        .write(Target::object(&SERVICES, &key), write)
        .await
        .unwrap();
    assert_eq!(names(client, &ADDRESSES).await, ["10.96.0.1"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_written_takes_nothing() {
    let all = servers("10.96.0.0/24", 1).await;
    let client = &all[0].1;
    let body = Bytes::from_static(br#"{"metadata":{"name":"dry"},"spec":{"ports":[{"port":80}]}}"#);
    let options = WriteOptions {
        dry_run: true,
        ..WriteOptions::default()
    };
    let target = Target::collection(&SERVICES, "default");
    client
        .transport()
        .write(target, Write::Create(body), options)
        .await
        .unwrap();
    service(client, "kubernetes", "").await.unwrap_err();
    service(client, "bad", r#","type":"Nonsense""#).await.unwrap_err();
    assert_eq!(names(client, &ADDRESSES).await, ["10.96.0.1"]);
}

#[tokio::test(start_paused = true)]
async fn no_address_is_given_twice_by_two_servers() {
    let all = servers("10.96.0.0/28", 2).await;
    // Of sixteen, three are the network's, the broadcast's and the API's.
    let tries = (0..20).map(|i| {
        let client = &all[i % 2].1;
        async move { service(client, &format!("s{i}"), "").await }
    });
    let results = join_all(tries).await;
    let ips: Vec<String> = results
        .iter()
        .flatten()
        .map(|made| field(made, "spec.clusterIP"))
        .collect();
    assert_eq!(ips.len(), 13);
    assert_eq!(ips.iter().collect::<BTreeSet<_>>().len(), 13);
    for refused in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(
            refused.message,
            "Internal error occurred: failed to allocate a serviceIP: range is full"
        );
    }
    assert_eq!(names(&all[0].1, &ADDRESSES).await.len(), 14);
}

#[tokio::test(start_paused = true)]
async fn no_port_is_given_twice_by_two_servers() {
    let all = servers("10.96.0.0/20", 2).await;
    let same = (0..8).map(|i| {
        let client = &all[i % 2].1;
        async move {
            let body = format!(
                r#"{{"metadata":{{"name":"same{i}"}},"spec":{{"type":"NodePort","ports":[{{"port":80,"nodePort":30100}}]}}}}"#
            );
            let write = Write::Create(Bytes::from(body));
            client.write(Target::collection(&SERVICES, "default"), write).await
        }
    });
    let results = join_all(same).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for refused in results.iter().filter_map(|result| result.as_ref().err()) {
        let why = "spec.ports[0].nodePort: Invalid value: 30100: provided port is already allocated";
        assert!(refused.message.ends_with(why), "{refused:?}");
    }
    let any = (0..40).map(|i| {
        let client = &all[i % 2].1;
        async move {
            service(client, &format!("any{i}"), r#","type":"NodePort""#)
                .await
                .unwrap()
        }
    });
    let ports: BTreeSet<String> = join_all(any)
        .await
        .iter()
        .map(|made| {
            let text = String::from_utf8_lossy(made.body()).into_owned();
            text.split("\"nodePort\":")
                .nth(1)
                .unwrap()
                .chars()
                .take(5)
                .collect()
        })
        .collect();
    assert_eq!(ports.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_second_range_gives_more_addresses() {
    let all = servers("10.96.0.0/30", 1).await;
    let client = &all[0].1;
    service(client, "one", "").await.unwrap();
    service(client, "two", "").await.unwrap_err();
    let range = r#"{"metadata":{"name":"more"},"spec":{"cidrs":["10.97.0.0/24"]}}"#;
    let write = Write::Create(Bytes::from_static(range.as_bytes()));
    client
        .write(Target::collection(&RANGES, ""), write)
        .await
        .unwrap();
    let two = service(client, "two", "").await.unwrap();
    assert!(field(&two, "spec.clusterIP").starts_with("10.97.0."));
    // One that is not ready gives none.
    #[derive(Serialize)]
    struct Status {
        status: Conditions,
    }
    #[derive(Serialize)]
    struct Conditions {
        conditions: [Condition; 1],
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Condition {
        r#type: &'static str,
        status: &'static str,
        reason: &'static str,
        message: &'static str,
        last_transition_time: &'static str,
    }
    let condition = Condition {
        r#type: "Ready",
        status: "False",
        reason: "Terminating",
        message: "",
        last_transition_time: "2030-01-01T00:00:00Z",
    };
    let status = Status {
        status: Conditions {
            conditions: [condition],
        },
    };
    let key = Key::cluster("more");
    client
        .patch(&RANGES, &key, "status", Patch::Merge, &status)
        .await
        .unwrap();
    service(client, "three", "").await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_two_families_gives_an_address_of_each() {
    let all = servers("10.96.0.0/24,fd00:96::/112", 1).await;
    let client = &all[0].1;
    let both = service(client, "both", r#","ipFamilyPolicy":"RequireDualStack""#)
        .await
        .unwrap();
    let text = String::from_utf8_lossy(both.body()).into_owned();
    assert!(text.contains(r#""ipFamilies":["IPv4","IPv6"]"#), "{text}");
    assert!(text.contains(",\"fd00:96::"), "{text}");
    assert_eq!(names(client, &ADDRESSES).await.len(), 3);
    let six = service(client, "six", r#","ipFamilies":["IPv6"]"#).await.unwrap();
    assert!(field(&six, "spec.clusterIP").starts_with("fd00:96::"));
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_half_done_is_repaired() {
    const EVENTS: Gvr = Gvr::new("", "v1", "events");
    let all = servers("10.96.0.0/24", 1).await;
    let (server, client) = &all[0];
    let made = service(client, "web", r#","type":"NodePort""#).await.unwrap();
    let port = node_port(&made);
    // Claimed, and nothing was written.
    assert!(server.handler.change_record(&[30_500], true).await.unwrap());
    // Written, and not claimed.
    assert!(server.handler.change_record(&[port], false).await.unwrap());
    let ip = Key::cluster(field(&made, "spec.clusterIP"));
    delete(client, &ADDRESSES, &ip).await;
    let wish = |name: &'static str| async move {
        let body = format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"type":"NodePort","ports":[{{"port":80,"nodePort":30500}}]}}}}"#
        );
        let write = Write::Create(Bytes::from(body));
        client
            .write(Target::collection(&SERVICES, "default"), write)
            .await
    };
    assert!(wish("next").await.is_err());
    let clock = &server.handler.env.clock;
    clock.sleep(std::time::Duration::from_secs(181)).await;
    let at = |port: u16| usize::from(port - 30_000);
    let record = server.handler.stored_ports().await.unwrap().unwrap();
    assert!(
        record.has(at(port)) && record.has(at(30_500)),
        "not yet: its Service may be on its way"
    );
    assert!(client.get(&ADDRESSES, &ip).await.is_ok());
    clock.sleep(std::time::Duration::from_secs(540)).await;
    wish("next").await.unwrap();
    let events = client
        .list(&EVENTS, "default", ListParams::default())
        .await
        .unwrap();
    let told: BTreeSet<String> = events
        .items
        .iter()
        .map(|event| format!("{}: {}", field(event, "reason"), field(event, "message")))
        .collect();
    let expected = [
        format!(
            "ClusterIPNotAllocated: Cluster IP [IPv4]: {} is not allocated; repairing",
            ip.name
        ),
        format!("PortNotAllocated: Port {port} is not allocated; repairing"),
    ];
    assert_eq!(told, expected.into());
}

fn node_port(service: &Object) -> u16 {
    let text = String::from_utf8_lossy(service.body()).into_owned();
    let (_, rest) = text.split_once("\"nodePort\":").unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
