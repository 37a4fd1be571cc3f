//! The objects of the load.

/// Pods of the lists, about 2 KB each as they are read.
pub const PODS: usize = 10_000;

/// The path of the pods.
pub const PODS_PATH: &str = "/api/v1/namespaces/bench/pods";

/// The path of the ConfigMaps.
pub const MAPS_PATH: &str = "/api/v1/namespaces/bench/configmaps";

/// A pod of a Deployment, as a user writes it.
pub fn pod(number: usize) -> String {
    let app = number / 20;
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"pod-{number:06}","labels":{{"app":"app-{app}","pod-template-hash":"{hash:08x}","tier":"backend"}},"annotations":{{"prometheus.io/scrape":"true","prometheus.io/port":"8080"}}}},"spec":{{"automountServiceAccountToken":false,"terminationGracePeriodSeconds":30,"nodeSelector":{{"pool":"none"}},"containers":[{{"name":"main","image":"registry.example/team/app-{app}:v1.{number}","args":["--listen=:8080","--shard={number}"],"env":[{{"name":"NAME","value":"pod-{number:06}"}},{{"name":"REGION","value":"eu-central-1"}}],"ports":[{{"containerPort":8080,"name":"http","protocol":"TCP"}}],"resources":{{"requests":{{"cpu":"100m","memory":"128Mi"}}}}}}]}}}}"#,
        hash = app.wrapping_mul(2_654_435_761) & 0xffff_ffff,
    )
}

/// A ConfigMap of 1 KiB.
pub fn config_map(name: &str) -> String {
    let data = "0123456789abcdef".repeat(64);
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","labels":{{"app":"bench"}}}},"data":{{"data":"{data}"}}}}"#
    )
}
