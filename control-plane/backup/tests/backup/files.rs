//! Snapshot files.

use crate::lab::{all, chunks, data, filled, names, parse, source, taken, whole};
use backup::{Bump, Error, Facts, Place, Snapshot, restore, socket};
use bytes::Bytes;
use component::Env;
use etcd::{Image, Kept, KeyValue};
use futures::{StreamExt, stream};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::{
    collections::BTreeMap, fs::File, os::unix::fs::FileExt, process::Command, sync::Arc, time::Duration,
};

/// What Kubernetes' own API server, release 1.20 with its default protobuf and aescbc for Secrets, left in etcd 3.4.
fn upstream() -> Snapshot {
    parse(&data("kubernetes-1.20.db.zst"), false).unwrap()
}

/// What is in a snapshot.
fn content(snapshot: &Snapshot) -> (Image, Vec<Kept>) {
    let (image, versions) = snapshot.content().unwrap().into_versions();
    (image, versions.collect::<Result<_, _>>().unwrap())
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
    assert_eq!(snapshot.facts(), said);
    let (image, versions) = content(&snapshot);
    assert_eq!((image.revision, image.compacted), (296, 0));
    assert!(image.table.is_empty());
    // The newest version of each key that is not removed.
    let mut live: BTreeMap<&Bytes, &KeyValue> = BTreeMap::new();
    for kept in &versions {
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
    let why = |bytes: &[u8]| parse(bytes, false).unwrap_err().to_string();
    for at in (0..whole.len()).step_by(8191) {
        let mut changed = whole.to_vec();
        changed[at] ^= 1;
        assert!(why(&changed).starts_with("expected sha256 "), "{at}");
        assert!(!why(&whole[..at]).is_empty(), "{at}");
    }
    assert!(why(&whole[..whole.len() - 32]).starts_with("snapshot missing hash"));
    assert!(why(&[]).starts_with("snapshot missing hash"));
    // Without the hash, as a copy of the database, it is taken if that is asked for.
    let bare = whole.slice(..whole.len() - 32);
    assert!(parse(&bare, true).is_ok());
    // Then nothing tells what was changed; but nothing that was makes it fail in another way than by saying so.
    let file = Arc::new(tempfile::tempfile().unwrap());
    file.write_all_at(&bare, 0).unwrap();
    for at in (0..bare.len()).step_by(211) {
        file.write_all_at(&[bare[at] ^ 0x41], at as u64).unwrap();
        if let Ok(snapshot) = Snapshot::of(file.clone(), true)
            && let Ok(content) = snapshot.content()
        {
            content.into_versions().1.for_each(drop);
        }
        file.write_all_at(&bare[at..=at], at as u64).unwrap();
    }
    for length in (0..bare.len()).step_by(4099) {
        assert!(parse(&bare[..length], true).is_err(), "{length}");
    }
}

#[tokio::test]
async fn what_we_take_is_what_etcdctl_reads_and_we_read_again() {
    let store = filled().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken.db");
    let place = Place::Folder(dir.path().to_owned());
    let chunks = source(&store)().await.unwrap().chunks;
    let (_, snapshot) = place.put(Some("taken.db"), chunks, &Env::system()).await.unwrap();
    let facts = snapshot.facts();
    let (image, mut read) = content(&snapshot);
    let (kvs, revision) = all(store.as_ref(), 0).await.unwrap();
    assert_eq!(
        (facts.revision, image.revision, image.compacted),
        (revision, revision, revision)
    );
    let mut kept: Vec<Kept> = kvs.into_iter().map(Kept::Put).collect();
    let key = |kept: &Kept| match kept {
        Kept::Put(kv) => kv.key.clone(),
        Kept::Removed(key, _) => key.clone(),
    };
    kept.sort_by_key(key);
    read.sort_by_key(key);
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
    let file = taken(&filled().await).await;
    let here = Place::Folder(dir.path().to_owned());
    let put = async |file: &Bytes| here.put(Some("taken.db"), chunks(file), &env).await;
    // What is not read again as it was written is not left behind, nor what broke off.
    let mut damaged = file.to_vec();
    damaged[5000] ^= 1;
    let changed = put(&damaged.into()).await.unwrap_err();
    assert!(matches!(changed, Error::Damaged(_)), "{changed}");
    let broken = chunks(&file)
        .take(3)
        .chain(stream::iter([Err(Error::Server("it broke".to_owned()))]));
    let broken = here.put(None, broken.boxed(), &env).await.unwrap_err();
    assert_eq!(broken.to_string(), "it broke");
    assert!(names(dir.path()).is_empty());
    put(&file).await.unwrap();
    assert_eq!(names(dir.path()), ["taken.db"]);
    let path = dir.path().join("taken.db");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let nowhere = Place::Folder("/proc/none".into());
    let error = nowhere.put(None, chunks(&file), &env).await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    // A folder is made, and lists what ends as snapshots do.
    let place = Place::Folder(dir.path().join("kept"));
    for name in ["snapshot-20300515T102030Z-9.db", "mine.db"] {
        place.put(Some(name), chunks(&file), &env).await.unwrap();
    }
    std::fs::write(dir.path().join("kept/notes.txt"), "x").unwrap();
    let listed = place.list(&env).await.unwrap();
    let named = |name: &str| listed.iter().find(|stored| stored.name == name).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(named("snapshot-20300515T102030Z-9.db").revision, Some(9));
    assert_eq!(named("mine.db").size, file.len() as u64);
    let mine = place.get("mine.db", false, &env).await.unwrap();
    assert!(mine.is_as(&parse(&file, false).unwrap()));
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
    let file = whole(socket::ask(&path).await.unwrap()).await.unwrap();
    let snapshot = parse(&file, false).unwrap();
    assert_eq!(snapshot.facts().revision, store.visible());
    store.close().await;
    let refused = socket::ask(&path).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("closed"), "{refused}");
    env.tasks.drain(Duration::from_secs(10)).await;
    assert!(matches!(socket::ask(&path).await, Err(Error::Io { .. })));
}

#[tokio::test]
async fn what_a_killed_process_left_goes_with_the_next_snapshot() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
    // As it is while somebody else writes, and when nobody does any more.
    let (busy, left) = (
        dir.path().join(".snapshot-1.part"),
        dir.path().join(".snapshot-2.part"),
    );
    let held = File::create(&busy).unwrap();
    held.lock().unwrap();
    std::fs::write(&left, "half").unwrap();
    let place = Place::Folder(dir.path().to_owned());
    assert_eq!(place.list(&env).await.unwrap(), []);
    let file = taken(&filled().await).await;
    place.put(Some("taken.db"), chunks(&file), &env).await.unwrap();
    assert_eq!(names(dir.path()), [".snapshot-1.part", "taken.db"]);
}

/// A small file system in memory, as long as it lives.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), c"size=96m").unwrap();
        Self(dir)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Files that are still open do not matter.
        unmount(self.0.path(), UnmountFlags::DETACH).unwrap();
    }
}

#[tokio::test]
async fn on_a_full_disk_no_half_snapshot_is_kept_and_the_one_before_stays() {
    let (tmpfs, env) = (Tmpfs::new(), Env::system());
    let (dir, store) = (tmpfs.0.path(), filled().await);
    let place = Place::Folder(dir.to_owned());
    let file = taken(&store).await;
    place.put(Some("taken.db"), chunks(&file), &env).await.unwrap();
    // Somebody else takes all but a little less than it needs.
    let other = File::create(dir.join("other")).unwrap();
    let fill = || {
        let mut length = other.metadata().unwrap().len();
        while other.write_all_at(&[1; 4096], length).is_ok() {
            length += 4096;
        }
        length
    };
    other.set_len(fill() - file.len() as u64 + (16 << 10)).unwrap();
    let full = place
        .put(Some("taken.db"), chunks(&file), &env)
        .await
        .unwrap_err();
    assert!(full.to_string().contains("No space left on device"), "{full}");
    assert_eq!(names(dir), ["other", "taken.db"]);
    let before = place.get("taken.db", false, &env).await.unwrap();
    assert!(before.is_as(&parse(&file, false).unwrap()));
    // A store that does not fit is not there in part either.
    fill();
    let target = dir.join("data");
    let content = before.content().unwrap();
    let half = restore(content.clone(), &target, None, Bump::default(), false, &env).await;
    assert!(half.is_err());
    assert!(!target.join("store").join("version").exists());
    other.set_len(0).unwrap();
    let restored = restore(content, &target, None, Bump::default(), false, &env)
        .await
        .unwrap();
    assert_eq!(
        restored.keys,
        all(store.as_ref(), 0).await.unwrap().0.len() as u64
    );
}
