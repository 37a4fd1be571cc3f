//! The whole way: a client over TLS, its certificate, the guards, the handler, and back.

use super::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, binding, create, guarded_by, key, role, settings};
use api::{Gvr, Key};
use client::{
    Client, Credential, DeleteOptions, Endpoint, HttpsTransport, ListParams, WatchEvent, WatchParams,
};
use component::{
    Env,
    pki::{Authority, Purpose, Rotating, asking_server_config},
};
use futures::StreamExt;
use tokio::net::TcpListener;

const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");

fn map(name: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"a":"b"}}}}"#)
}

#[tokio::test]
async fn over_tls_as_in_memory() {
    let env = Env::system();
    let dir = tempfile::tempdir().unwrap();
    let now = env.clock.wall();
    let authority = Authority::open(dir.path(), now).unwrap();
    let outside = Env {
        clock: env.clock.clone(),
        ..Env::simulated(11)
    };
    let mut settings = settings(&outside, &key());
    settings.trust.client_ca = authority.certificate().to_owned();
    let guarded = guarded_by(settings).await;
    let purpose = Purpose::server("kube-apiserver", vec!["127.0.0.1".to_owned()]);
    let shown = Rotating::open(&authority, "server", purpose, now).unwrap();
    let tls = asking_server_config(shown).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = guarded.server.clone();
    env.tasks.spawn("api server", async move {
        server.serve(listener, std::sync::Arc::new(tls)).await
    });
    let endpoint = |leaf| Endpoint {
        server: format!("https://{address}"),
        ca: authority.certificate().to_owned(),
        leaf,
        ..Endpoint::default()
    };
    let connect = |endpoint| Client::new(HttpsTransport::new(endpoint, env.clone()).unwrap(), "test");
    let leaf = authority
        .leaf("ann", &Purpose::client("ann", &["dev"]), now)
        .unwrap();
    let ann = connect(endpoint(Some(leaf)));
    let refused = ann
        .list(&CONFIG_MAPS, "default", ListParams::default())
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (
            403,
            r#"configmaps is forbidden: User "ann" cannot list resource "configmaps" in API group "" in the namespace "default""#
        )
    );
    let rules = r#"[{"verbs":["*"],"apiGroups":[""],"resources":["configmaps"]}]"#;
    guarded
        .create(&CLUSTER_ROLES, "", &role("ClusterRole", "maps", rules))
        .await;
    guarded
        .create(
            &CLUSTER_ROLE_BINDINGS,
            "",
            &binding("ClusterRoleBinding", "m", "ClusterRole/maps", "Group:dev"),
        )
        .await;
    let made = create(&ann, &CONFIG_MAPS, "default", &map("one")).await.unwrap();
    let list = ann
        .list(&CONFIG_MAPS, "default", ListParams::default())
        .await
        .unwrap();
    assert!(
        list.items
            .iter()
            .any(|item| item.uid() == made.uid() && item.kind() == "ConfigMap")
    );
    let params = WatchParams {
        resource_version: list.resource_version,
        ..WatchParams::default()
    };
    let mut events = ann.watch(&CONFIG_MAPS, "default", params).await.unwrap();
    create(&ann, &CONFIG_MAPS, "default", &map("two")).await.unwrap();
    let told = events.next().await.unwrap().unwrap();
    assert!(matches!(told, WatchEvent::Added(object) if object.name() == "two"));
    ann.delete(
        &CONFIG_MAPS,
        &Key::new("default", "two"),
        DeleteOptions::default(),
    )
    .await
    .unwrap();
    let told = events.next().await.unwrap().unwrap();
    assert!(matches!(told, WatchEvent::Deleted(object) if object.name() == "two"));
    let again = create(&ann, &CONFIG_MAPS, "default", &map("one"))
        .await
        .unwrap_err();
    assert!(again.is_already_exists());

    let nobody = connect(endpoint(None));
    let refused = nobody
        .get(&CONFIG_MAPS, &Key::new("default", "one"))
        .await
        .unwrap_err();
    assert!(
        refused.code == 403 && refused.message.contains(r#"User "system:anonymous" cannot get"#),
        "{refused:?}"
    );
    let bad = connect(Endpoint {
        credential: Credential::Token("bad".to_owned()),
        ..endpoint(None)
    });
    assert_eq!(
        bad.get(&CONFIG_MAPS, &Key::new("default", "one"))
            .await
            .unwrap_err()
            .code,
        401
    );
    guarded.env.tasks.stop();
    env.tasks.stop();
}
