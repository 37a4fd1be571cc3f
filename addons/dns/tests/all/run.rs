//! The box: objects of the API in, answers out.

use crate::{
    server::{question, udp},
    stories::tell,
};
use component::Env;
use dns::{Config, run};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use testing::ScriptedApi;

const LIMIT: Duration = Duration::from_secs(10);
const SERVICE: &str = r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
    "spec": {"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80}]}}"#;
const SLICE: &str = r#"{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
    "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
    "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    "endpoints": [{"addresses": ["10.244.0.5"], "conditions": {"ready": true}},
                  {"addresses": ["10.244.0.6"], "conditions": {"ready": false}}]}"#;

/// Asks until the answer is as wanted: a change reaches the zone soon, and nobody tells when.
async fn until(server: SocketAddr, name: &str, wanted: &str) {
    let asked = async {
        while tell(&udp(server, &question(name)).await).lines().next_back() != Some(wanted) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, asked)
        .await
        .unwrap_or_else(|_| panic!("waited for {wanted}"));
}

#[tokio::test]
async fn objects_become_answers() {
    let (api, env) = (Arc::new(ScriptedApi::default()), Env::system());
    let free = std::net::UdpSocket::bind("127.0.0.1:0")
        .expect("a socket")
        .local_addr()
        .expect("its address");
    let config = Config {
        listen: vec![free],
        resolv_conf: "/dev/null".into(),
        ..Config::default()
    };
    let (client, inner) = (api.client(), env.clone());
    env.tasks.spawn_draining(
        "dns",
        async move { run(client, inner, config).await.expect("a DNS") },
    );
    tokio::time::timeout(LIMIT, env.ready.wait("dns"))
        .await
        .expect("ready in time")
        .expect("ready");
    api.apply("services", SERVICE);
    api.apply("endpointslices", SLICE);
    until(
        free,
        "web.default.svc.cluster.local",
        "web.default.svc.cluster.local. 5 A 10.244.0.5",
    )
    .await;
    api.delete("endpointslices", SLICE);
    let soa = "authority cluster.local. 5 SOA";
    let gone = async {
        while !tell(&udp(free, &question("web.default.svc.cluster.local")).await).contains(soa) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("the name goes");
    assert!(env.tasks.drain(LIMIT).await);
}
