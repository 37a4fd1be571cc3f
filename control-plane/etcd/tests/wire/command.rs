//! etcd's own command, at our server.

use crate::lab::*;

async fn good(url: &str, args: &[&str]) -> String {
    let said = ctl(url, args).await;
    assert_eq!(said.code, Some(0), "{args:?}: {said:?}");
    said.out
}

async fn bad(url: &str, args: &[&str]) -> String {
    let said = ctl(url, args).await;
    assert_ne!(said.code, Some(0), "{args:?}: {said:?}");
    said.err.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_put_read_and_removed() {
    let etcd = Ours::start(|_| {}).await;
    let url = etcd.url.as_str();
    assert_eq!(good(url, &["put", "a", "1"]).await, "OK\n");
    assert_eq!(good(url, &["put", "--prev-kv", "a", "2"]).await, "OK\na\n1\n");
    assert_eq!(good(url, &["put", "b", "0"]).await, "OK\n");
    assert_eq!(good(url, &["put", "c", "1"]).await, "OK\n");
    assert_eq!(good(url, &["get", "a"]).await, "a\n2\n");
    assert_eq!(good(url, &["get", "a", "c"]).await, "a\n2\nb\n0\n");
    assert_eq!(
        good(url, &["get", "--prefix", "", "--keys-only"]).await,
        "a\n\nb\n\nc\n\n"
    );
    assert_eq!(
        good(url, &["get", "--from-key", "b", "--print-value-only"]).await,
        "0\n1\n"
    );
    assert_eq!(
        good(url, &["get", "a", "--rev=2", "--print-value-only"]).await,
        "1\n"
    );
    let sorted = [
        "get",
        "--prefix",
        "",
        "--sort-by=VALUE",
        "--order=DESCEND",
        "--print-value-only",
    ];
    assert_eq!(good(url, &sorted).await, "2\n1\n0\n");
    let newest = [
        "get",
        "--prefix",
        "",
        "--sort-by=MODIFY",
        "--order=DESCEND",
        "--limit=1",
    ];
    assert_eq!(good(url, &newest).await, "c\n1\n");
    let often = [
        "get",
        "--prefix",
        "",
        "--sort-by=VERSION",
        "--order=DESCEND",
        "--limit=1",
    ];
    assert_eq!(good(url, &often).await, "a\n2\n");
    let fields = good(url, &["get", "a", "-w", "fields"]).await;
    for field in [
        "\"Revision\" : 5",
        "\"CreateRevision\" : 2",
        "\"ModRevision\" : 3",
        "\"Version\" : 2",
        "\"Count\" : 1",
        "\"More\" : false",
    ] {
        assert!(fields.contains(field), "no {field} in {fields}");
    }
    let few = good(url, &["get", "--prefix", "", "--limit=1", "-w", "json"]).await;
    assert!(few.contains("\"more\":true,\"count\":3"), "{few}");
    assert_eq!(good(url, &["put", "--ignore-lease", "a", "3"]).await, "OK\n");
    assert_eq!(good(url, &["put", "--ignore-value", "a"]).await, "OK\n");
    assert_eq!(good(url, &["get", "a"]).await, "a\n3\n");
    assert_eq!(good(url, &["del", "--prev-kv", "a"]).await, "1\na\n3\n");
    assert_eq!(good(url, &["del", "--prefix", ""]).await, "2\n");
    assert_eq!(good(url, &["get", "--prefix", ""]).await, "");
    let gone = bad(url, &["put", "--ignore-value", "a"]).await;
    assert!(gone.contains("etcdserver: key not found"), "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_compares_then_does_one_of_two_lists() {
    let etcd = Ours::start(|_| {}).await;
    let url = etcd.url.as_str();
    good(url, &["put", "a", "1"]).await;
    let txn = "value(\"a\") = \"1\"\nver(\"a\") = \"1\"\nmod(\"b\") = \"0\"\n\nput b 2\nget b\ndel a\n\nput c 3\n\n";
    let said = ctl_with(url, &["txn"], txn).await;
    assert_eq!(said.out, "SUCCESS\n\nOK\n\nb\n2\n\n1\n", "{said:?}");
    let again = ctl_with(url, &["txn"], txn).await;
    assert_eq!(again.out, "FAILURE\n\nOK\n", "{again:?}");
    // All that a transaction wrote has one revision.
    let fields = good(url, &["get", "b", "-w", "fields"]).await;
    assert!(fields.contains("\"ModRevision\" : 3"), "{fields}");
    let less = ctl_with(
        url,
        &["txn"],
        "value(\"c\") > \"1\"\ncreate(\"c\") < \"100\"\n\nget c\n\n\n",
    )
    .await;
    assert_eq!(less.out, "SUCCESS\n\nc\n3\n", "{less:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_shows_what_happens() {
    let etcd = Ours::start(|_| {}).await;
    let url = etcd.url.as_str();
    good(url, &["put", "a", "1"]).await;
    good(url, &["put", "a", "2"]).await;
    let watch = Running::start(url, &["watch", "--prefix", "a", "--rev=2", "--prev-kv"]);
    watch.until("PUT\na\n1\na\n2\n").await;
    good(url, &["del", "a"]).await;
    good(url, &["put", "b", "1"]).await;
    good(url, &["put", "aa", "4"]).await;
    let seen = watch.until("aa\n4\n").await;
    assert_eq!(
        seen,
        "PUT\na\n1\nPUT\na\n1\na\n2\nDELETE\na\n2\na\n\nPUT\naa\n4\n"
    );
    let several = Running::start(url, &["watch", "b", "--rev=1"]);
    several.until("PUT\nb\n1\n").await;
    good(url, &["compaction", "4"]).await;
    let late = ctl(url, &["watch", "a", "--rev=2"]).await;
    assert!(
        late.err.contains("required revision has been compacted"),
        "{late:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_granted_kept_and_revoked() {
    let etcd = Ours::start(|_| {}).await;
    let url = etcd.url.as_str();
    let granted = good(url, &["lease", "grant", "3600"]).await;
    let id = granted.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(granted, format!("lease {id} granted with TTL(3600s)\n"));
    good(url, &["put", "--lease", &id, "a", "1"]).await;
    let kept = good(url, &["lease", "keep-alive", "--once", &id]).await;
    assert_eq!(kept, format!("lease {id} keepalived with TTL(3600)\n"));
    let told = good(url, &["lease", "timetolive", "--keys", &id]).await;
    assert!(
        told.contains("granted with TTL(3600s)") && told.contains("attached keys([a])"),
        "{told}"
    );
    assert_eq!(
        good(url, &["lease", "list"]).await,
        format!("found 1 leases\n{id}\n")
    );
    assert_eq!(
        good(url, &["lease", "revoke", &id]).await,
        format!("lease {id} revoked\n")
    );
    assert_eq!(good(url, &["get", "a"]).await, "");
    let gone = good(url, &["lease", "timetolive", &id]).await;
    assert_eq!(gone, format!("lease {id} already expired\n"));
    let short = good(url, &["lease", "grant", "1"]).await;
    let id = short.split(' ').nth(1).unwrap().to_owned();
    let watch = Running::start(url, &["watch", "b", "--rev=1"]);
    good(url, &["put", "--lease", &id, "b", "1"]).await;
    watch.until("DELETE\nb\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_and_elections_have_one_holder() {
    let etcd = Ours::start(|_| {}).await;
    let url = etcd.url.as_str();
    let mut first = Running::start(url, &["lock", "door"]);
    let key = first.until("door/").await;
    let second = Running::start(url, &["lock", "door"]);
    let queue = async {
        while good(url, &["get", "--prefix", "door/", "--keys-only"])
            .await
            .matches("door/")
            .count()
            < 2
        {}
    };
    tokio::time::timeout(LIMIT, queue)
        .await
        .expect("the second stands in the queue");
    first.interrupt();
    first.end();
    let other = second.until("door/").await;
    assert_ne!(key, other);
    let leader = Running::start(url, &["elect", "chair", "one"]);
    leader.until("one\n").await;
    let listening = Running::start(url, &["elect", "--listen", "chair"]);
    let seen = listening.until("one\n").await;
    assert!(seen.starts_with("chair/"), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_member_tells_how_it_is() {
    let etcd = Ours::start(|_| {}).await;
    let url = etcd.url.as_str();
    for n in 0..20 {
        good(url, &["put", "a", &n.to_string()]).await;
    }
    let health = ctl(url, &["endpoint", "health"]).await;
    let told = format!("{}{}", health.out, health.err);
    assert!(
        told.contains("is healthy: successfully committed proposal"),
        "{health:?}"
    );
    let members = good(url, &["member", "list"]).await;
    assert!(
        members.contains(&format!(
            ", started, default, http://localhost:2380, {url}, false"
        )),
        "{members}"
    );
    let id = members.split(',').next().unwrap().to_owned();
    // Its endpoints are URLs, and it sends them as authorities.
    let status = good(url, &["endpoint", "status", "-w", "fields"]).await;
    let leader = u64::from_str_radix(&id, 16).unwrap();
    assert!(status.contains(&format!("\"Leader\" : {leader}")), "{status}");
    assert!(
        status.contains("\"RaftTerm\" : ") && status.contains("\"IsLearner\" : false"),
        "{status}"
    );
    assert!(good(url, &["endpoint", "hashkv"]).await.contains(url));
    let defragmented = good(url, &["defrag"]).await;
    assert!(
        defragmented.contains("Finished defragmenting etcd member"),
        "{defragmented}"
    );
    good(url, &["compaction", "10"]).await;
    let again = bad(url, &["compaction", "10"]).await;
    assert!(again.contains("required revision has been compacted"), "{again}");
    let future = bad(url, &["compaction", "1000"]).await;
    assert!(
        future.contains("required revision is a future revision"),
        "{future}"
    );
    assert_eq!(good(url, &["alarm", "list"]).await, "");
    let alone = bad(url, &["member", "remove", &id]).await;
    assert!(
        alone.contains("re-configuration failed due to not enough started members"),
        "{alone}"
    );
    let unknown = bad(url, &["member", "remove", "1234"]).await;
    assert!(unknown.contains("etcdserver: member not found"), "{unknown}");
    let nowhere = bad(url, &["member", "add", "two", "--peer-urls=nowhere"]).await;
    assert!(nowhere.contains("URL"), "{nowhere}");
    assert_eq!(good(url, &["user", "list"]).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_refused_at_the_quota_until_there_is_room_again() {
    let etcd = Ours::start(|settings| settings.quota = 20_000).await;
    let url = etcd.url.as_str();
    let large = "x".repeat(9000);
    for key in ["a", "b", "c"] {
        good(url, &["put", key, &large]).await;
    }
    let full = bad(url, &["put", "d", "1"]).await;
    assert!(
        full.contains("etcdserver: mvcc: database space exceeded"),
        "{full}"
    );
    assert!(good(url, &["alarm", "list"]).await.contains("alarm:NOSPACE"));
    good(url, &["del", "--prefix", ""]).await;
    let revision = etcd.replica.engine().visible().to_string();
    good(url, &["compaction", &revision]).await;
    let freed = async {
        while etcd.replica.engine().live_bytes() > 20_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, freed)
        .await
        .expect("space comes back");
    assert!(bad(url, &["put", "d", "1"]).await.contains("space exceeded"));
    assert!(good(url, &["alarm", "disarm"]).await.contains("alarm:NOSPACE"));
    good(url, &["put", "d", "1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_read_by_etcds_own_tools_and_server() {
    let etcd = Ours::start(|_| {}).await;
    let url = etcd.url.as_str();
    for n in 0..2000 {
        let key = format!("/registry/pods/{n:04}");
        put(&etcd.replica, &key, &format!("{n}:{}", "x".repeat(n % 3000))).await;
    }
    good(url, &["put", "last", "1"]).await;
    good(url, &["del", "last"]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("snapshot.db").display().to_string();
    good(url, &["snapshot", "save", &file]).await;
    let status = good(url, &["snapshot", "status", &file, "-w", "fields"]).await;
    assert!(status.contains("\"Revision\" : 2003"), "{status}");
    let data = dir.path().join("data").display().to_string();
    good(url, &["snapshot", "restore", &file, "--data-dir", &data]).await;
    let theirs = Theirs::start_over(&dir).await;
    let count = good(&theirs.url, &["get", "--prefix", "/registry/", "--keys-only"]).await;
    assert_eq!(count.matches("/registry/").count(), 2000);
    let one = good(&theirs.url, &["get", "/registry/pods/0007"]).await;
    assert_eq!(one, "/registry/pods/0007\n7:xxxxxxx\n");
    assert_eq!(good(&theirs.url, &["get", "last"]).await, "");
    assert_eq!(good(&theirs.url, &["put", "after", "1"]).await, "OK\n");
}
