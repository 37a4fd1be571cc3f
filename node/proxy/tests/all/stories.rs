//! Services and slices in, rules out.

use proxy::{Endpoints, Scope, Service, Services, Slice, ruleset};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Story {
    services: BTreeMap<String, Service>,
    #[serde(default)]
    slices: BTreeMap<String, Slice>,
}

fn split<T>(map: BTreeMap<String, T>) -> BTreeMap<(String, String), T> {
    let name = |key: &str| {
        key.split_once('/')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .expect("namespace/name")
    };
    map.into_iter().map(|(key, value)| (name(&key), value)).collect()
}

fn tell(yaml: &str) -> String {
    let story: Story = serde_saphyr::from_str(yaml).expect("a story");
    let (services, slices): (Services, Endpoints) = (split(story.services), split(story.slices));
    ruleset(
        &Scope {
            node: "here".to_owned(),
        },
        &services,
        &slices,
    )
    .to_string()
}

#[test]
fn a_service_balances_over_its_ready_endpoints() {
    let rules = tell(
        "
services:
  default/web: {clusterIPs: [10.96.0.20], ports: [{name: http, port: 80}, {name: dns, protocol: UDP, port: 53}]}
slices:
  default/web-1:
    service: web
    ports: [{name: http, port: 8080}, {name: dns, protocol: UDP, port: 5353}]
    endpoints:
      - {address: 10.244.0.6, ready: true, serving: true, node: here}
      - {address: 10.244.0.5, ready: true, serving: true, node: there}
      - {address: 10.244.0.7, ready: false, node: there}
",
    );
    assert_eq!(
        rules,
        "TCP 10.96.0.20 80: 10.244.0.5:8080 10.244.0.6:8080\nUDP 10.96.0.20 53: 10.244.0.5:5353 10.244.0.6:5353\n"
    );
}

#[test]
fn without_endpoints_it_refuses_and_a_headless_service_does_nothing() {
    let rules = tell(
        "
services:
  default/lonely: {clusterIPs: [10.96.0.21], ports: [{port: 80, nodePort: 30080}]}
  default/headless: {clusterIPs: [], ports: [{port: 80}]}
",
    );
    assert_eq!(rules, "TCP node 30080: reject\nTCP 10.96.0.21 80: reject\n");
}

#[test]
fn ending_endpoints_serve_when_there_are_no_others() {
    let rules = tell(
        "
services:
  default/web: {clusterIPs: [10.96.0.20], ports: [{port: 80}]}
slices:
  default/web-1:
    service: web
    ports: [{port: 80}]
    endpoints:
      - {address: 10.244.0.5, serving: true, terminating: true}
      - {address: 10.244.0.6, serving: false, terminating: true}
",
    );
    assert_eq!(rules, "TCP 10.96.0.20 80: 10.244.0.5:80\n");
}

#[test]
fn local_policies_stay_on_the_node() {
    let story = |inside: bool, node: &str| {
        tell(&format!(
            "
services:
  default/web:
    clusterIPs: [10.96.0.20]
    externalIPs: [192.0.2.9]
    internalLocal: {inside}
    externalLocal: true
    ports: [{{port: 80, nodePort: 30080}}]
slices:
  default/web-1:
    service: web
    ports: [{{port: 8080}}]
    endpoints: [{{address: 10.244.0.5, ready: true, node: {node}}}]
"
        ))
    };
    assert_eq!(
        story(false, "here"),
        "TCP node 30080: 10.244.0.5:8080, keeps the client's address\nTCP 10.96.0.20 80: 10.244.0.5:8080\n\
         TCP 192.0.2.9 80: 10.244.0.5:8080, keeps the client's address\n"
    );
    assert_eq!(
        story(true, "there"),
        "TCP node 30080: drop\nTCP 10.96.0.20 80: drop\nTCP 192.0.2.9 80: drop\n"
    );
}

#[test]
fn two_families_and_stickiness() {
    let rules = tell(
        "
services:
  default/web: {clusterIPs: [10.96.0.20, 'fd00::20'], clientIpTimeout: 10800, ports: [{port: 80}]}
slices:
  default/web-4: {service: web, ports: [{port: 80}], endpoints: [{address: 10.244.0.5, ready: true}]}
  default/web-6: {service: web, ports: [{port: 80}], endpoints: [{address: 'fd01::5', ready: true}]}
",
    );
    assert_eq!(
        rules,
        "TCP 10.96.0.20 80: 10.244.0.5:80, sticky 10800 s\nTCP fd00::20 80: [fd01::5]:80, sticky 10800 s\n"
    );
}
