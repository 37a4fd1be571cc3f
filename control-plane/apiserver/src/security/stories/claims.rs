//! Who writes which part of a claim's status.

use super::{Guarded, binding, guarded, guarded_with, key, role, settings};
use api::{Gvr, Key, Object, Status};
use client::{Client, Patch, Target, Write};
use component::{Env, gates::Gates};
use std::sync::Arc;

const CLAIMS: Gvr = Gvr::new("resource.k8s.io", "v1", "resourceclaims");
const NODE: &str = "authentication.kubernetes.io/node-name";
const SELECTOR: &str = r#""nodeSelector":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}]}"#;

/// A claim that is not allocated, and who may write the status of claims.
async fn claims(guarded: Guarded) -> Guarded {
    let body = r#"{"metadata":{"name":"gpu"},"spec":{"devices":{"requests":[{"name":"one","exactly":{"deviceClassName":"c"}}]}}}"#;
    guarded.create(&CLAIMS, "default", body).await;
    let grants: &[(&str, &str, &str, &[&str])] = &[
        ("status", "update patch", "resourceclaims/status", &[]),
        ("binder", "update", "resourceclaims/binding", &[]),
        (
            "near",
            "associated-node:update associated-node:patch",
            "resourceclaims/driver",
            &["a.io"],
        ),
        ("far", "arbitrary-node:update", "resourceclaims/driver", &["b.io"]),
    ];
    for (name, verbs, resource, names) in grants {
        let verbs: Vec<&str> = verbs.split(' ').collect();
        let rules = serde_json::json!([{"verbs": verbs, "apiGroups": ["resource.k8s.io"], "resources": [resource],
            "resourceNames": names}]);
        let body = role("ClusterRole", name, &rules.to_string());
        guarded.create(&super::CLUSTER_ROLES, "", &body).await;
        let to = format!("ClusterRole/{name}");
        let body = binding("ClusterRoleBinding", name, &to, &format!("Group:{name}"));
        guarded.create(&super::CLUSTER_ROLE_BINDINGS, "", &body).await;
    }
    guarded
}

fn client(guarded: &Guarded, name: &str, groups: &str, node: &[&str]) -> Client {
    let groups: Vec<&str> = groups.split(' ').collect();
    let mut user = crate::security::User::new(name, &groups);
    let nodes: Vec<String> = node.iter().map(|&node| node.to_owned()).collect();
    if !nodes.is_empty() {
        user.extra.insert(NODE.to_owned(), nodes);
    }
    Client::new(guarded.server.local(user), "test")
}

async fn put(guarded: &Guarded, client: &Client, status: &str) -> Result<Arc<Object>, Status> {
    let key = Key::new("default", "gpu");
    let now = guarded.admin().get(&CLAIMS, &key).await.unwrap();
    let range = api::scan::find(now.body(), "spec").unwrap().unwrap();
    let spec = String::from_utf8_lossy(&now.body()[range]).into_owned();
    let body = format!(
        r#"{{"apiVersion":"resource.k8s.io/v1","kind":"ResourceClaim","metadata":{{"name":"gpu","namespace":"default"}},"spec":{spec},"status":{status}}}"#
    );
    let target = Target::object(&CLAIMS, &key).sub("status");
    client.write(target, Write::Update(body.into())).await
}

fn refused(answer: Result<Arc<Object>, Status>, wanted: &[(&str, &str)]) {
    let status = answer.expect_err("it is not allowed");
    assert_eq!(status.code, 422, "{}", status.message);
    let causes = status.details.unwrap_or_default().causes;
    let told: Vec<(&str, &str)> = causes
        .iter()
        .map(|cause| (cause.field.as_str(), cause.message.as_str()))
        .collect();
    assert_eq!(told, wanted);
}

#[tokio::test(start_paused = true)]
async fn the_status_of_a_claim_is_written_by_who_may_write_that_part() {
    let guarded = claims(guarded().await).await;
    let results = r#""devices":{"results":[{"request":"one","driver":"a.io","pool":"p","device":"d"},{"request":"one","driver":"b.io","pool":"p","device":"d"}]}"#;
    let bound = format!(r#""allocation":{{{results},{SELECTOR}}}"#);
    let told = |drivers: &[&str]| {
        let devices: Vec<String> = drivers
            .iter()
            .map(|driver| format!(r#"{{"driver":"{driver}","pool":"p","device":"d"}}"#))
            .collect();
        format!("{{{bound},\"devices\":[{}]}}", devices.join(","))
    };

    let ann = client(&guarded, "ann", "status", &[]);
    let why = r#"Forbidden: changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", verb="update" permission: resourceclaims.resource.k8s.io is forbidden: User "ann" cannot update resource "resourceclaims/binding" in API group "resource.k8s.io" at the cluster scope"#;
    refused(
        put(&guarded, &ann, &format!("{{{bound}}}")).await,
        &[("status", why)],
    );
    let scheduler = client(&guarded, "system:kube-scheduler", "system:authenticated", &[]);
    put(&guarded, &scheduler, &format!("{{{bound}}}")).await.unwrap();
    let users = r#","reservedFor":[{"resource":"pods","name":"p","uid":"1"}]"#;
    refused(
        put(&guarded, &ann, &format!("{{{bound}{users}}}")).await,
        &[("status", why)],
    );
    let both = client(&guarded, "bob", "status binder", &[]);
    put(&guarded, &both, &format!("{{{bound}}}")).await.unwrap();

    // A driver tells of its own devices, on the node that its pod is on.
    let driver = "system:serviceaccount:kube-system:driver";
    let cannot = |user: &str, verbs: &str, driver: &str| {
        let verb = verbs.split(' ').next().unwrap_or_default();
        format!(
            r#"Forbidden: changing status.devices requires resource="resourceclaims/driver", verb="[{verbs}]" permission: resourceclaims.resource.k8s.io "{driver}" is forbidden: User "{user}" cannot {verb} resource "resourceclaims/driver" in API group "resource.k8s.io" in the namespace "default""#
        )
    };
    let (near, far) = (
        "associated-node:update arbitrary-node:update",
        "arbitrary-node:update",
    );
    for (who, nodes, verbs) in [
        (driver, &["n2"][..], far),
        (driver, &[], far),
        (driver, &["n1", "n2"], far),
        ("system:node:n1", &["n1"], far),
        ("jane", &["n1"], far),
    ] {
        let client = client(&guarded, who, "status near", nodes);
        let why = cannot(who, verbs, "a.io");
        refused(
            put(&guarded, &client, &told(&["a.io"])).await,
            &[("status.devices", &why)],
        );
    }
    let local = client(&guarded, driver, "status near", &["n1"]);
    let why = cannot(driver, near, "b.io");
    refused(
        put(&guarded, &local, &told(&["a.io", "b.io"])).await,
        &[("status.devices", &why)],
    );
    put(&guarded, &local, &told(&["a.io"])).await.unwrap();
    let central = client(&guarded, "central", "status far", &[]);
    put(&guarded, &central, &told(&["a.io", "b.io"])).await.unwrap();
    let why = cannot("central", far, "a.io");
    refused(
        put(&guarded, &central, &told(&["b.io"])).await,
        &[("status.devices", &why)],
    );

    // A patch needs the verb of patches.
    let patch = r#"{"status":{"devices":[{"driver":"b.io","pool":"p","device":"d"}]}}"#;
    let patched = |client: Client| async move {
        let write = Write::Patch(Patch::Merge, patch.to_owned().into());
        let key = Key::new("default", "gpu");
        client
            .write(Target::object(&CLAIMS, &key).sub("status"), write)
            .await
    };
    let why = cannot("central", "arbitrary-node:patch", "a.io");
    refused(patched(central).await, &[("status.devices", &why)]);
    patched(local).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_gate_lets_who_writes_the_status_of_claims_write_all_of_it() {
    let env = Env::simulated(11);
    let gate = (
        "DRAResourceClaimGranularStatusAuthorization".to_owned(),
        "false".to_owned(),
    );
    let guarded = guarded_with(settings(&env, &key()), |config| {
        config.gates = Gates::parse(&[gate].into()).unwrap();
    });
    let guarded = claims(guarded.await).await;
    let ann = client(&guarded, "ann", "status", &[]);
    let status = format!(
        r#"{{"allocation":{{"devices":{{"results":[{{"request":"one","driver":"a.io","pool":"p","device":"d"}}]}},{SELECTOR}}},
        "devices":[{{"driver":"a.io","pool":"p","device":"d"}}]}}"#
    );
    put(&guarded, &ann, &status).await.unwrap();
}
