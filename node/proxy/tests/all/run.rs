//! The box: objects of the API in, rules of the kernel out.

use component::Env;
use proxy::{Config, run};
use std::{future::Future, sync::Arc, time::Duration};
use testing::{Netns, ScriptedApi};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SERVICE: &str = r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
    "spec": {"type": "NodePort", "clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20"],
             "ports": [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080}]}}"#;
const SLICE: &str = r#"{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
    "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
    "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    "endpoints": [{"addresses": ["10.244.0.5"], "conditions": {"ready": true}}]}"#;

/// Waits until the kernel's rules are as wanted; netfilter says nothing when they change, so it looks again.
async fn until(host: &Netns, what: &str, wanted: impl Fn(&str) -> bool) -> String {
    let mut listing = String::new();
    for _ in 0..500 {
        listing = host.sh("nft -n list ruleset");
        if wanted(&listing) {
            return listing;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited for {what}:\n{listing}");
}

fn on(host: &Netns, work: impl Future<Output = ()> + Send) {
    host.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(work);
    });
}

#[test]
fn objects_become_rules_and_health_is_told() {
    let host = Netns::new();
    on(&host, async {
        let (api, env) = (Arc::new(ScriptedApi::default()), Env::system());
        let config = Config {
            node: "here".to_owned(),
            healthz: Some(([127, 0, 0, 1], 10256).into()),
            cluster_cidrs: vec!["10.244.0.0/16".parse().expect("a CIDR")],
        };
        let (client, inner) = (api.client(), env.clone());
        env.tasks.spawn_draining("proxy", async move {
            run(client, inner, config).await.expect("a proxy")
        });
        env.ready.wait("proxy").await.expect("ready");

        api.apply("services", SERVICE);
        until(&host, "a refusal", |rules| {
            rules.contains("10.96.0.20 . 6 . 80 : goto reject")
        })
        .await;
        api.apply("endpointslices", SLICE);
        let rules = until(&host, "an endpoint", |rules| {
            rules.contains("10.96.0.20 . 6 . 80 : goto balance-4-1")
        })
        .await;
        assert!(
            rules.contains("0.0.0.0 . 6 . 30080 : goto balance-4-1-node"),
            "{rules}"
        );
        api.delete("endpointslices", SLICE);
        api.delete("services", SERVICE);
        until(&host, "nothing", |rules| !rules.contains("10.96.0.20")).await;

        let mut stream = tokio::net::TcpStream::connect("127.0.0.1:10256")
            .await
            .expect("health");
        stream
            .write_all(b"GET /healthz HTTP/1.0\r\n\r\n")
            .await
            .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(
            answer.starts_with("HTTP/1.0 200") && answer.contains("\"nodeEligible\":true"),
            "{answer}"
        );
        assert!(env.tasks.drain(Duration::from_secs(10)).await);
    });
}
