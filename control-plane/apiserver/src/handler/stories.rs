//! Stories of the handler, told over the transport in memory.

mod missing;

use crate::{fixture, security::User};
use api::{FieldSelector, Gvr, Key, Object, Status};
use bytes::Bytes;
use client::{Client, DeleteOptions, ListParams, Patch, Target, WatchEvent, WatchParams, WatchStream, Write};
use futures::StreamExt;
use std::{sync::Arc, time::Duration};

const WIDGETS: Gvr = Gvr::new("test.io", "v1", "widgets");

fn widget(name: &str, rest: &str) -> Bytes {
    let comma = if rest.is_empty() { "" } else { "," };
    format!(r#"{{"apiVersion":"test.io/v1","kind":"Widget","metadata":{{"name":"{name}"}}{comma}{rest}}}"#)
        .into()
}

async fn create(client: &Client, name: &str, rest: &str) -> Result<Arc<Object>, Status> {
    client
        .write(
            Target::collection(&WIDGETS, "default"),
            Write::Create(widget(name, rest)),
        )
        .await
}

fn key(name: &str) -> Key {
    Key::new("default", name)
}

fn text(object: &Object) -> String {
    String::from_utf8(object.to_json().to_vec()).unwrap()
}

async fn update(client: &Client, name: &str, body: impl Into<Bytes>) -> Result<Arc<Object>, Status> {
    client
        .write(Target::object(&WIDGETS, &key(name)), Write::Update(body.into()))
        .await
}

async fn merge(client: &Client, name: &str, patch: &str) -> Result<Arc<Object>, Status> {
    let write = Write::Patch(Patch::Merge, Bytes::from(patch.to_owned()));
    client.write(Target::object(&WIDGETS, &key(name)), write).await
}

async fn next(events: &mut WatchStream) -> WatchEvent {
    let soon = tokio::time::timeout(Duration::from_secs(600), events.next());
    soon.await
        .expect("an event of the watch")
        .expect("the watch goes on")
        .expect("no error")
}

fn told(event: &WatchEvent) -> String {
    match event {
        WatchEvent::Added(o) => format!("ADDED {}", o.name()),
        WatchEvent::Modified(o) => format!("MODIFIED {}", o.name()),
        WatchEvent::Deleted(o) => format!("DELETED {}@{}", o.name(), o.resource_version()),
        WatchEvent::Bookmark(version) => format!("BOOKMARK {version}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_lives_and_dies() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    let made = create(&client, "a", r#""spec":{"x":1}"#).await.unwrap();
    assert!(!made.uid().is_empty() && made.resource_version() > 0);
    let again = create(&client, "a", "").await.unwrap_err();
    assert_eq!(again.message, r#"widgets.test.io "a" already exists"#);
    let read = client.get(&WIDGETS, &key("a")).await.unwrap();
    assert!(
        Arc::ptr_eq(&made, &read),
        "the answer is the object of the cache itself"
    );

    let same = merge(&client, "a", r#"{"spec":{"x":1}}"#).await.unwrap();
    assert_eq!(
        same.resource_version(),
        made.resource_version(),
        "a write that changes nothing makes no revision"
    );
    let changed = merge(&client, "a", r#"{"spec":{"x":2}}"#).await.unwrap();
    assert!(changed.resource_version() > made.resource_version());

    let stale = update(&client, "a", made.to_json()).await.unwrap_err();
    assert_eq!((stale.code, stale.reason.as_str()), (409, "Conflict"));
    assert!(
        stale
            .message
            .starts_with(r#"Operation cannot be fulfilled on widgets.test.io "a": the object has been"#)
    );

    client
        .delete(&WIDGETS, &key("a"), DeleteOptions::default())
        .await
        .unwrap();
    let gone = client.get(&WIDGETS, &key("a")).await.unwrap_err();
    assert_eq!(gone.message, r#"widgets.test.io "a" not found"#);
}

#[tokio::test(start_paused = true)]
async fn of_two_writers_one_wins() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    let made = create(&client, "a", r#""spec":{"x":1}"#).await.unwrap();
    let with = |x: u32| text(&made).replace(r#""x":1"#, &format!(r#""x":{x}"#));
    let (first, second) = tokio::join!(update(&client, "a", with(2)), update(&client, "a", with(3)));
    assert!(first.is_ok() != second.is_ok());
    assert!(first.err().or(second.err()).unwrap().is_conflict());
    let patches = (0..3).map(|n| {
        let client = &client;
        async move {
            merge(
                client,
                "a",
                &format!(r#"{{"metadata":{{"labels":{{"l{n}":"y"}}}}}}"#),
            )
            .await
        }
    });
    for patched in futures::future::join_all(patches).await {
        patched.unwrap();
    }
    let now = client.get(&WIDGETS, &key("a")).await.unwrap();
    assert_eq!(now.labels().count(), 3, "patches meet and both stand");
}

#[tokio::test(start_paused = true)]
async fn a_uid_is_a_precondition_of_a_put_and_nothing_that_a_patch_changes() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    let made = create(&client, "a", r#""spec":{"x":1}"#).await.unwrap();
    let put = update(&client, "a", text(&made).replace(made.uid(), "other"))
        .await
        .unwrap_err();
    let why = format!(
        "Precondition failed: UID in precondition: other, UID in object meta: {}",
        made.uid()
    );
    assert!(put.code == 409 && put.message.ends_with(&why), "{put:?}");
    let patched = merge(&client, "a", r#"{"metadata":{"uid":"other"}}"#)
        .await
        .unwrap_err();
    let why = r#"Widget.test.io "a" is invalid: metadata.uid: Invalid value: "other": field is immutable"#;
    assert_eq!((patched.code, patched.message.as_str()), (422, why));
    let same = format!(
        r#"{{"metadata":{{"uid":"{}","labels":{{"l":"y"}}}}}}"#,
        made.uid()
    );
    merge(&client, "a", &same).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn names_are_generated_and_checked() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    let body = r#"{"metadata":{"generateName":"web-"}}"#;
    let made = client
        .write(
            Target::collection(&WIDGETS, "default"),
            Write::Create(body.into()),
        )
        .await
        .unwrap();
    assert!(made.name().starts_with("web-") && made.name().len() == 9);
    let elsewhere = client
        .write(
            Target::collection(&WIDGETS, "nowhere"),
            Write::Create(widget("a", "")),
        )
        .await;
    assert_eq!(
        elsewhere.unwrap_err().message,
        r#"namespaces "nowhere" not found"#
    );
    let wrong = update(&client, made.name(), widget("b", "")).await.unwrap_err();
    assert!(
        wrong
            .message
            .starts_with("the name of the object (b) does not match the name on the URL")
    );
    let kind = client
        .write(
            Target::collection(&WIDGETS, "default"),
            Write::Create(r#"{"kind":"Gadget"}"#.into()),
        )
        .await;
    assert_eq!(kind.unwrap_err().code, 400);
    let version = r#"{"kind":"Widget","apiVersion":"v9","metadata":{"name":"x"}}"#;
    let version = client
        .write(
            Target::collection(&WIDGETS, "default"),
            Write::Create(version.into()),
        )
        .await;
    let message = "the API version in the data (v9) does not match the expected API version (test.io/v1)";
    assert_eq!(version.unwrap_err().message, message);
}

#[tokio::test(start_paused = true)]
async fn lists_come_in_pages_of_one_version() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    for name in ["a", "b", "c", "d", "e"] {
        create(&client, name, "").await.unwrap();
    }
    let first = client
        .list(
            &WIDGETS,
            "default",
            ListParams {
                limit: 2,
                ..ListParams::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(first.items.len(), 2);
    client
        .delete(&WIDGETS, &key("d"), DeleteOptions::default())
        .await
        .unwrap();
    create(&client, "z", "").await.unwrap();
    let rest = ListParams {
        continue_token: first.continue_token.clone(),
        ..ListParams::default()
    };
    let rest = client.list(&WIDGETS, "default", rest).await.unwrap();
    let names: Vec<&str> = rest.items.iter().map(|o| o.name()).collect();
    assert_eq!(
        names,
        ["c", "d", "e"],
        "later pages are of the first page's version"
    );
    assert_eq!(rest.resource_version, first.resource_version);
    let bad = ListParams {
        continue_token: "nonsense!".to_owned(),
        ..ListParams::default()
    };
    assert_eq!(client.list(&WIDGETS, "", bad).await.unwrap_err().code, 400);
    let future = ListParams {
        resource_version: Some(9999),
        ..ListParams::default()
    };
    let future = client.list(&WIDGETS, "", future).await.unwrap_err();
    assert!(
        future
            .message
            .starts_with("Timeout: Too large resource version: 9999, current: ")
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_enters_and_leaves_its_selection() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    let a = create(&client, "a", r#""spec":{"nodeName":"n1"}"#).await.unwrap();
    let params = |fields: &str| WatchParams {
        field_selector: fields.to_owned(),
        resource_version: a.resource_version(),
        bookmarks: true,
        ..WatchParams::default()
    };
    let mut on_n2 = client
        .watch(&WIDGETS, "", params("spec.nodeName=n2"))
        .await
        .unwrap();
    let mut by_name = client
        .watch(&WIDGETS, "default", params("metadata.name=a"))
        .await
        .unwrap();
    create(&client, "b", "").await.unwrap();
    merge(&client, "a", r#"{"spec":{"nodeName":"n2"}}"#)
        .await
        .unwrap();
    merge(&client, "a", r#"{"spec":{"y":1}}"#).await.unwrap();
    let left = merge(&client, "a", r#"{"spec":{"nodeName":"n3"}}"#)
        .await
        .unwrap();
    client
        .delete(&WIDGETS, &key("a"), DeleteOptions::default())
        .await
        .unwrap();
    for expected in [
        "ADDED a".to_owned(),
        "MODIFIED a".to_owned(),
        format!("DELETED a@{}", left.resource_version()),
    ] {
        assert_eq!(told(&next(&mut on_n2).await), expected);
    }
    let gone = left.resource_version() + 1;
    for expected in [
        "MODIFIED a",
        "MODIFIED a",
        "MODIFIED a",
        &format!("DELETED a@{gone}"),
    ] {
        assert_eq!(told(&next(&mut by_name).await), expected);
    }
    assert_eq!(
        told(&next(&mut on_n2).await),
        format!("BOOKMARK {gone}"),
        "an idle watcher hears how far it is"
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_before_the_start_is_told_to_list() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    server.handler.cache("test.io", "widgets").unwrap().forget_all();
    let made = create(&client, "a", "").await.unwrap();
    let old = WatchParams {
        resource_version: 1,
        ..WatchParams::default()
    };
    let status = client.watch(&WIDGETS, "", old).await.err().unwrap();
    assert_eq!(status.code, 410);
    let horizon = made.resource_version() - 1;
    assert_eq!(status.message, format!("too old resource version: 1 ({horizon})"));
    let mut all = client.watch(&WIDGETS, "", WatchParams::default()).await.unwrap();
    assert_eq!(
        told(&next(&mut all).await),
        "ADDED a",
        "version 0 starts with the state"
    );
}

#[tokio::test(start_paused = true)]
async fn deletes_wait_for_grace_and_finalizers() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    create(&client, "a", r#""spec":{"grace":30}"#).await.unwrap();
    let going = client
        .delete(&WIDGETS, &key("a"), DeleteOptions::default())
        .await
        .unwrap();
    assert_eq!(going.deletion_grace_seconds(), Some(30));
    assert_eq!(
        client
            .get(&WIDGETS, &key("a"))
            .await
            .unwrap()
            .deletion_timestamp(),
        going.deletion_timestamp()
    );
    let again = client
        .delete(&WIDGETS, &key("a"), DeleteOptions::default())
        .await
        .unwrap();
    assert_eq!(
        again.resource_version(),
        going.resource_version(),
        "asking again changes nothing"
    );
    let now = DeleteOptions {
        grace_period_seconds: Some(0),
        ..DeleteOptions::default()
    };
    client.delete(&WIDGETS, &key("a"), now).await.unwrap();
    assert!(client.get(&WIDGETS, &key("a")).await.is_err());

    let body = r#"{"metadata":{"name":"f","finalizers":["x/y"]}}"#;
    client
        .write(
            Target::collection(&WIDGETS, "default"),
            Write::Create(body.into()),
        )
        .await
        .unwrap();
    client
        .delete(&WIDGETS, &key("f"), DeleteOptions::default())
        .await
        .unwrap();
    assert!(
        client
            .get(&WIDGETS, &key("f"))
            .await
            .unwrap()
            .deletion_timestamp()
            .is_some()
    );
    merge(&client, "f", r#"{"metadata":{"finalizers":null}}"#)
        .await
        .unwrap();
    assert!(
        client.get(&WIDGETS, &key("f")).await.is_err(),
        "without finalizers it goes"
    );

    create(&client, "p", "").await.unwrap();
    let foreground = DeleteOptions {
        propagation_policy: Some("Foreground"),
        ..DeleteOptions::default()
    };
    let held = client.delete(&WIDGETS, &key("p"), foreground).await.unwrap();
    assert_eq!(held.finalizers().collect::<Vec<_>>(), ["foregroundDeletion"]);
    let other = DeleteOptions {
        uid: Some("else".to_owned()),
        ..DeleteOptions::default()
    };
    assert!(
        client
            .delete(&WIDGETS, &key("p"), other)
            .await
            .unwrap_err()
            .message
            .contains("the UID in the precondition (else)")
    );
}

#[tokio::test(start_paused = true)]
async fn status_and_scale_are_parts_of_the_object() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    let spec = r#""spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}}}"#;
    create(&client, "a", spec).await.unwrap();
    let patch = |sub, patch: &'static str| {
        let target = Target::object(&WIDGETS, &key("a")).sub(sub);
        client.write(target, Write::Patch(Patch::Merge, patch.into()))
    };
    let done = patch("status", r#"{"spec":{"replicas":9},"status":{"replicas":1}}"#)
        .await
        .unwrap();
    assert!(
        text(&done).contains(r#""spec":{"replicas":1,"#)
            && text(&done).contains(r#""status":{"replicas":1}"#)
    );
    let scaled = patch("scale", r#"{"spec":{"replicas":3}}"#).await.unwrap();
    assert_eq!(scaled.kind(), "Scale");
    let scale = client
        .transport()
        .get(Target::object(&WIDGETS, &key("a")).sub("scale"))
        .await
        .unwrap();
    assert!(text(&scale).contains(r#""spec":{"replicas":3},"status":{"replicas":1,"selector":"a=b"}"#));
    let negative = patch("scale", r#"{"spec":{"replicas":-1}}"#).await.unwrap_err();
    assert_eq!(negative.code, 422);
}

#[tokio::test(start_paused = true)]
async fn another_served_version_is_the_same_object() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    create(&client, "a", "").await.unwrap();
    let v2 = Gvr::new("test.io", "v2", "widgets");
    let read = client.get(&v2, &key("a")).await.unwrap();
    assert_eq!(read.api_version(), "test.io/v2");
    assert!(
        client
            .get(&Gvr::new("test.io", "v3", "widgets"), &key("a"))
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn rights_are_asked_for_in_memory_too() {
    let (server, _env) = fixture::server().await;
    let nobody = Client::new(server.local(User::new("nobody", &[])), "test");
    let refused = nobody
        .list(&WIDGETS, "default", ListParams::default())
        .await
        .unwrap_err();
    let message = r#"widgets.test.io is forbidden: User "nobody" cannot list resource "widgets" in API group "test.io" in the namespace "default""#;
    assert_eq!((refused.code, refused.message.as_str()), (403, message));
}

#[tokio::test(start_paused = true)]
async fn unknown_fields_of_a_selector_are_refused() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    let bad = ListParams {
        field_selector: "spec.nope=1".to_owned(),
        ..ListParams::default()
    };
    let status = client.list(&WIDGETS, "", bad).await.unwrap_err();
    assert_eq!(status.message, "field label not supported: spec.nope");
    assert!(FieldSelector::parse("spec.nope=1").is_ok());
}

#[tokio::test(start_paused = true)]
async fn nothing_new_in_a_namespace_that_goes() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    let namespaces = Gvr::new("", "v1", "namespaces");
    let body = r#"{"metadata":{"name":"old","labels":{"lingers":"yes"}}}"#;
    client
        .write(Target::collection(&namespaces, ""), Write::Create(body.into()))
        .await
        .unwrap();
    client
        .delete(&namespaces, &Key::cluster("old"), DeleteOptions::default())
        .await
        .unwrap();
    let refused = client
        .write(
            Target::collection(&WIDGETS, "old"),
            Write::Create(widget("a", "")),
        )
        .await
        .unwrap_err();
    assert!(
        refused
            .message
            .ends_with("unable to create new content in namespace old because it is being terminated")
    );
    assert_eq!(refused.details.unwrap().causes[0].reason, "NamespaceTerminating");
    let default = client
        .delete(&namespaces, &Key::cluster("default"), DeleteOptions::default())
        .await
        .unwrap_err();
    assert_eq!(
        default.message,
        r#"namespaces "default" is forbidden: this namespace may not be deleted"#
    );
}
