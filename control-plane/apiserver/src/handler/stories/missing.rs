//! Writes of what is not there.

use crate::security::stories::guarded;
use api::{Gvr, Key, Status};
use client::{Client, Patch, Target, Write};
use resources::Row;

/// Of these kinds a PUT makes what is not there (upstream's `AllowCreateOnUpdate`).
const MADE: [&str; 10] = [
    "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "endpoints",
    "events",
    "leases.coordination.k8s.io",
    "limitranges",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "runtimeclasses.node.k8s.io",
    "services",
];

async fn write(client: &Client, row: &Row, write: Write, sub: &'static str) -> Result<(), Status> {
    let gvr = Gvr::new(row.group, row.hub, row.plural);
    let namespace = if row.namespaced { "default" } else { "" };
    let key = Key::new(namespace, "missing");
    client
        .write(Target::object(&gvr, &key).sub(sub), write)
        .await
        .map(drop)
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_only_made_by_a_put_of_a_few_kinds() {
    let guarded = guarded().await;
    let client = guarded.admin();
    for row in resources::table() {
        let full = match row.group {
            "" => row.plural.to_owned(),
            group => format!("{}.{group}", row.plural),
        };
        let version = match row.group {
            "" => row.hub.to_owned(),
            group => format!("{group}/{}", row.hub),
        };
        let body = format!(
            r#"{{"apiVersion":"{version}","kind":"{}","metadata":{{"name":"missing"}}}}"#,
            row.kind
        );
        let put = || Write::Update(body.clone().into());
        let merge = || Write::Patch(Patch::Merge, r#"{"metadata":{"labels":{"a":"b"}}}"#.into());
        let none = (404, format!(r#"{full} "missing" not found"#));
        let missing = |answer: Result<(), Status>, how: &str| {
            let status = answer.expect_err(how);
            assert_eq!((status.code, status.message), none, "{how}");
        };
        missing(write(&client, row, merge(), "").await, "patch");
        if row.subresource("status").is_some() {
            missing(write(&client, row, put(), "status").await, "put of the status");
        }
        let answer = write(&client, row, put(), "").await;
        if MADE.contains(&full.as_str()) {
            // What such a body lacks is told of an object that would be new.
            let code = answer.err().map_or(201, |status| status.code);
            assert!(matches!(code, 201 | 422), "{full}: {code}");
        } else {
            missing(answer, "put");
        }
    }
}
