//! The JSON gateway and the pages beside it.

use crate::lab::*;
use std::process::Command;

async fn curl(args: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "20"]).args(args);
    let done = tokio::process::Command::from(command).output().await.unwrap();
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_json_are_answered_in_json() {
    let etcd = Ours::start(|_| {}).await;
    let post = async |path: &str, body: &str| curl(&["-d", body, &format!("{}{path}", etcd.url)]).await;
    let put = post("/v3/kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#).await;
    assert!(put.contains(r#""revision":"2""#), "{put}");
    let got = post("/v3/kv/range", r#"{"key":"Zm9v"}"#).await;
    assert!(
        got.contains(r#""kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"}],"count":"1""#),
        "{got}"
    );
    let txn = r#"{"compare":[{"key":"Zm9v","target":"CREATE","createRevision":"2"}],"success":[{"requestPut":{"key":"Zm9v","value":"bmV3"}}]}"#;
    let done = post("/v3/kv/txn", txn).await;
    assert!(
        done.contains(r#""succeeded":true"#) && done.contains(r#""revision":"3""#),
        "{done}"
    );
    let granted = post("/v3/lease/grant", r#"{"TTL":60,"ID":"7"}"#).await;
    assert!(granted.contains(r#""ID":"7","TTL":"60""#), "{granted}");
    let kept = post("/v3/lease/keepalive", r#"{"ID":"7"}"#).await;
    assert!(
        kept.starts_with(r#"{"result":{"#) && kept.contains(r#""TTL":"60""#),
        "{kept}"
    );
    let status = post("/v3/maintenance/status", "{}").await;
    assert!(
        status.contains(r#""version":"3.5.21""#) && status.contains(r#""raftTerm":"2""#),
        "{status}"
    );
    let hash = post("/v3/maintenance/hash", "{}").await;
    assert!(
        hash.contains(r#""hash":"#) && hash == post("/v3/maintenance/hash", "{}").await,
        "{hash}"
    );
    assert!(post("/v3/maintenance/defragment", "{}").await.contains("header"));
    let wrong = post("/v3/kv/range", r#"{"key":"Zm9v","revision":"100"}"#).await;
    assert!(
        wrong.contains("required revision is a future revision") && wrong.contains(r#""code":11"#),
        "{wrong}"
    );
    let odd = post("/v3/kv/range", "{").await;
    assert!(odd.contains(r#""code":3"#), "{odd}");
    assert!(post("/v3/nothing", "{}").await.contains("Not Found"));
    let url = format!("{}/v3/watch", etcd.url);
    let watch = r#"{"create_request":{"key":"Zm9v","start_revision":"2"}}"#;
    let seen = curl(&["-N", "--max-time", "1", "-d", watch, &url]).await;
    assert!(
        seen.contains(r#""created":true"#) && seen.contains("bmV3"),
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_version_and_metrics_are_pages() {
    let etcd = Ours::start(|_| {}).await;
    let page = async |path: &str| curl(&[&format!("{}{path}", etcd.url)]).await;
    assert_eq!(page("/health").await, r#"{"health":"true","reason":""}"#);
    assert_eq!(
        page("/version").await,
        r#"{"etcdserver":"3.5.21","etcdcluster":"3.5.0"}"#
    );
    put(&etcd.replica, "a", "1").await;
    let metrics = page("/metrics").await;
    for line in [
        "etcd_server_has_leader 1\n",
        "etcd_debugging_mvcc_current_revision 2\n",
        "# TYPE etcd_mvcc_db_total_size_in_bytes gauge\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert_eq!(page("/other").await, "404 page not found\n");
}
