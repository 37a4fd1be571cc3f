//! Snapshot files.

use crate::lab::{all, data, filled, names, source};
use backup::{Error, Facts, Place, Snapshot, socket, write};
use bytes::Bytes;
use component::Env;
use etcd::Kept;
use std::{collections::BTreeMap, process::Command, time::Duration};

/// What Kubernetes' own API server, release 1.20 with its default protobuf and aescbc for Secrets, left in etcd 3.4.
fn upstream() -> Snapshot {
    Snapshot::parse(data("kubernetes-1.20.db.zst"), false).unwrap()
}

#[test]
fn a_snapshot_of_upstreams_cluster_is_read_as_etcdctl_reads_it() {
    let snapshot = upstream();
    // What etcdctl 3.4 says of it.
    let said = Facts {
        hash: 2_402_439_977,
        revision: 296,
        total_key: 302,
        total_size: 409_600,
    };
    assert_eq!(snapshot.facts().unwrap(), said);
    assert_eq!(snapshot.users().unwrap(), 0);
    let image = snapshot.image().unwrap();
    assert_eq!((image.revision, image.compacted), (296, 0));
    // The newest version of each key that is not removed.
    let mut live = BTreeMap::new();
    for kept in &image.versions {
        match kept {
            Kept::Put(kv) => live.insert(&kv.key, kv),
            Kept::Removed(key, _) => live.remove(key),
        };
    }
    assert_eq!(live.len(), 221);
    let till = live[&Bytes::from_static(b"/registry/secrets/shop/till")];
    assert!(till.value.starts_with(b"k8s:enc:aescbc:v1:key1:"));
    let prices = live[&Bytes::from_static(b"/registry/configmaps/shop/prices")];
    assert!(prices.value.starts_with(b"k8s\0"));
    assert_eq!(prices.version, 2);
    assert!(prices.mod_revision > prices.create_revision);
    assert!(!live.contains_key(&Bytes::from_static(b"/registry/configmaps/shop/gone")));
    // Events and the API server's own lease live by leases.
    let leased = live.values().filter(|kv| kv.lease != 0);
    assert!(leased.clone().count() > 2);
    let leases: Vec<i64> = image.leases.iter().map(|(id, _)| *id).collect();
    assert!(leased.clone().all(|kv| leases.contains(&kv.lease)));
}

#[test]
fn a_snapshot_that_was_cut_or_changed_is_refused() {
    let whole = data("kubernetes-1.20.db.zst");
    let why = |bytes: Vec<u8>| Snapshot::parse(bytes.into(), false).unwrap_err().to_string();
    for at in (0..whole.len()).step_by(8191) {
        let mut changed = whole.to_vec();
        changed[at] ^= 1;
        assert!(why(changed).starts_with("expected sha256 "), "{at}");
        assert!(!why(whole[..at].to_vec()).is_empty(), "{at}");
    }
    assert!(why(whole[..whole.len() - 32].to_vec()).starts_with("snapshot missing hash"));
    assert!(why(Vec::new()).starts_with("snapshot missing hash"));
    // Without the hash, as a copy of the database, it is taken if that is asked for.
    let bare = whole.slice(..whole.len() - 32);
    assert!(Snapshot::parse(bare.clone(), true).is_ok());
    // Then nothing tells what was changed; but nothing that was makes it fail in another way than by saying so.
    for at in (0..bare.len()).step_by(211) {
        let mut changed = bare.to_vec();
        changed[at] ^= 0x41;
        if let Ok(snapshot) = Snapshot::parse(changed.into(), true) {
            drop(snapshot.image());
        }
    }
    for length in (0..bare.len()).step_by(4099) {
        assert!(Snapshot::parse(bare.slice(..length), true).is_err(), "{length}");
    }
}

#[tokio::test]
async fn what_we_take_is_what_etcdctl_reads_and_we_read_again() {
    let store = filled().await;
    let file = source(&store)().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken.db");
    let snapshot = write(&path, &file).unwrap();
    let facts = snapshot.facts().unwrap();
    let image = snapshot.image().unwrap();
    let (kvs, revision) = all(store.as_ref(), 0).await.unwrap();
    assert_eq!(
        (facts.revision, image.revision, image.compacted),
        (revision, revision, revision)
    );
    let mut kept: Vec<Kept> = kvs.into_iter().map(Kept::Put).collect();
    let place = |kept: &Kept| kept.place().0.clone();
    let mut read = image.versions;
    kept.sort_by_key(place);
    read.sort_by_key(place);
    assert_eq!(read, kept);
    assert_eq!(image.leases, [(77, 3_600_000)]);
    let mut etcdctl = Command::new("etcdctl");
    etcdctl
        .env("ETCDCTL_API", "3")
        .args(["snapshot", "status", "-w", "json"]);
    let said = etcdctl
        .arg(&path)
        .output()
        .expect("etcdctl of Debian's etcd-client");
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.trim(), serde_json::to_string(&facts).unwrap());
}

#[tokio::test]
async fn a_file_is_there_whole_or_not_at_all() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
    let path = dir.path().join("taken.db");
    let file = source(&filled().await)().await.unwrap();
    // What is not read again as it was written is not left behind.
    let mut damaged = file.to_vec();
    damaged[5000] ^= 1;
    write(&path, &damaged.into()).unwrap_err();
    assert!(names(dir.path()).is_empty());
    write(&path, &file).unwrap();
    assert_eq!(names(dir.path()), ["taken.db"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let error = write(&dir.path().join("no/taken.db"), &file).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    // A folder is made, and lists what ends as snapshots do.
    let place = Place::Folder(dir.path().join("kept"));
    place
        .put("snapshot-20300515T102030Z-9.db", file.clone(), &env)
        .await
        .unwrap();
    place.put("mine.db", file.clone(), &env).await.unwrap();
    std::fs::write(dir.path().join("kept/notes.txt"), "x").unwrap();
    let listed = place.list(&env).await.unwrap();
    let named = |name: &str| listed.iter().find(|stored| stored.name == name).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(named("snapshot-20300515T102030Z-9.db").revision, Some(9));
    assert_eq!(named("mine.db").size, file.len() as u64);
    assert_eq!(place.get("mine.db", &env).await.unwrap(), file);
    // Only what was named by time is removed.
    let removed = place.prune(0, &env).await.unwrap();
    assert_eq!(removed.len(), 1);
    assert_eq!(names(&dir.path().join("kept")), ["mine.db", "notes.txt"]);
}

#[tokio::test]
async fn a_running_store_gives_a_snapshot_at_its_socket() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
    let path = dir.path().join(socket::NAME);
    let store = filled().await;
    // One that nobody listens at any more is no hindrance.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listening = socket::Socket::open(&path).unwrap();
    env.tasks
        .spawn("socket", listening.serve(source(&store), env.clone()));
    let file = socket::ask(&path).await.unwrap();
    let snapshot = Snapshot::parse(file, false).unwrap();
    assert_eq!(snapshot.facts().unwrap().revision, store.visible());
    store.close().await;
    let refused = socket::ask(&path).await;
    let closed = source(&store)().await;
    assert_eq!(refused.is_err(), closed.is_err());
    env.tasks.drain(Duration::from_secs(10)).await;
    assert!(matches!(socket::ask(&path).await, Err(Error::Io { .. })));
}
