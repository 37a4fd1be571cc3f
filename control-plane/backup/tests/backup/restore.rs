//! Data directories that are made of snapshots.

use crate::lab::{LIMIT, all, data, filled, names, open, parse, put, taken};
use backup::{Bump, Content, Error, Restored, fetch, restore};
use bytes::Bytes;
use component::Env;
use etcd::{
    Endpoints, Engine, Remote, Store,
    replica::{self, Replica, peer::PeerListener},
    server::{Listener, Member},
};
use futures::TryStreamExt;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::net::TcpListener;

async fn content(store: &Arc<Engine>) -> Content {
    parse(&taken(store).await, false).unwrap().content().unwrap()
}

async fn plain(content: Content, dir: &Path, replace: bool) -> Result<Restored, Error> {
    restore(content, dir, None, Bump::default(), replace, &Env::system()).await
}

#[tokio::test]
async fn a_restored_store_is_as_the_one_the_snapshot_was_taken_of() {
    let (store, dir) = (filled().await, tempfile::tempdir().unwrap());
    let data_dir = dir.path().join("data");
    let restored = plain(content(&store).await, &data_dir, false).await.unwrap();
    let (kvs, revision) = all(store.as_ref(), 0).await.unwrap();
    assert_eq!((restored.revision, restored.keys), (revision, kvs.len() as u64));
    let again = open(&data_dir);
    assert_eq!(all(again.as_ref(), 0).await.unwrap(), (kvs, revision));
    let lease = again.lease(77).unwrap();
    assert_eq!(
        (lease.ttl, lease.keys),
        (Duration::from_secs(3600), vec!["/registry/leased".into()])
    );
    // It goes on from there, and a watch from before must begin anew.
    assert_eq!(put(again.as_ref(), "/registry/new", "1", 0).await, revision + 1);
    let old = all(again.as_ref(), revision - 1).await.unwrap_err();
    assert!(matches!(old, etcd::Error::Compacted(_)), "{old}");
    again.close().await;
}

#[tokio::test]
async fn a_store_that_is_there_is_refused_or_put_aside() {
    let (store, dir) = (filled().await, tempfile::tempdir().unwrap());
    let content = content(&store).await;
    plain(content.clone(), dir.path(), false).await.unwrap();
    let running = open(dir.path());
    put(running.as_ref(), "/registry/mine", "1", 0).await;
    let refused = plain(content.clone(), dir.path(), false).await.unwrap_err();
    assert!(matches!(refused, Error::Occupied(_)), "{refused}");
    let used = plain(content.clone(), dir.path(), true).await.unwrap_err();
    assert!(matches!(used, Error::InUse(_)), "{used}");
    running.close().await;
    std::fs::create_dir(dir.path().join("raft")).unwrap();
    std::fs::write(dir.path().join("raft/old"), "x").unwrap();
    let restored = plain(content, dir.path(), true).await.unwrap();
    let aside = restored.previous.unwrap();
    assert_eq!(names(&aside), ["raft", "store"]);
    assert!(!dir.path().join("raft").exists());
    let (before, now) = (open(&aside), open(dir.path()));
    let counts = (
        all(before.as_ref(), 0).await.unwrap().0.len(),
        all(now.as_ref(), 0).await.unwrap().0.len(),
    );
    assert_eq!(counts.0, counts.1 + 1);
    before.close().await;
    now.close().await;
}

#[tokio::test]
async fn revisions_grow_as_much_as_is_asked() {
    let (store, dir) = (filled().await, tempfile::tempdir().unwrap());
    let bump = |revisions, compacted| Bump { revisions, compacted };
    let content = content(&store).await;
    let run = async |bump| restore(content.clone(), dir.path(), None, bump, false, &Env::system()).await;
    let why = run(bump(5, false)).await.unwrap_err().to_string();
    assert_eq!(why, "--mark-compacted required if --bump-revision > 0");
    let why = run(bump(0, true)).await.unwrap_err().to_string();
    assert_eq!(why, "--mark-compacted disallowed if --bump-revision is not set");
    let restored = run(bump(1_000_000_000, true)).await.unwrap();
    assert_eq!(restored.revision, store.visible() + 1_000_000_000);
    let again = open(dir.path());
    let old = all(again.as_ref(), store.visible()).await.unwrap_err();
    assert!(
        matches!(old, etcd::Error::Compacted(at) if at == restored.revision),
        "{old}"
    );
    assert_eq!(
        all(again.as_ref(), 0).await.unwrap().0,
        all(store.as_ref(), 0).await.unwrap().0
    );
    assert_eq!(
        put(again.as_ref(), "/registry/new", "1", 0).await,
        restored.revision + 1
    );
    again.close().await;
}

/// A member that runs.
pub struct Running {
    pub replica: Replica,
    env: Env,
}

impl Running {
    pub async fn start(settings: replica::Settings, listeners: (TcpListener, TcpListener)) -> Self {
        let env = Env::system();
        let replica = Replica::open(settings, env.clone()).await.unwrap();
        let peers = PeerListener::new(replica.clone(), false);
        env.tasks.spawn("peers", peers.serve(listeners.0));
        let member = Member::new(replica.clone(), etcd::server::Settings::default(), env.clone());
        let clients = Listener::new(member, None, env.clone()).unwrap();
        env.tasks.spawn("clients", clients.serve(listeners.1));
        Self { replica, env }
    }

    pub async fn stop(self) {
        self.replica.close().await;
        self.env.tasks.drain(LIMIT).await;
    }
}

pub async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_begin_with_one_snapshot() {
    let store = filled().await;
    let content = content(&store).await;
    let (mut listeners, mut members, mut urls) = (Vec::new(), Vec::new(), Vec::new());
    for name in ["a", "b", "c"] {
        let (peers, peer_url) = listener().await;
        let (clients, url) = listener().await;
        listeners.push((peers, clients));
        members.push((name.to_owned(), peer_url));
        urls.push(url);
    }
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let mut running = Vec::new();
    for (at, both) in listeners.into_iter().enumerate() {
        let settings = replica::Settings {
            name: members[at].0.clone(),
            peer_urls: vec![members[at].1.clone()],
            client_urls: vec![urls[at].clone()],
            initial_cluster: members.clone(),
            token: "restored".to_owned(),
            ..replica::Settings::new(dirs[at].path())
        };
        let founders = Some(&settings);
        let env = Env::system();
        let made = restore(
            content.clone(),
            dirs[at].path(),
            founders,
            Bump::default(),
            false,
            &env,
        );
        made.await.unwrap();
        running.push(Running::start(settings, both).await);
    }
    let identities: Vec<u64> = running.iter().map(|one| one.replica.identity().cluster).collect();
    assert!(identities.iter().all(|cluster| *cluster == identities[0]));
    // Another token is another cluster.
    assert_ne!(identities[0], 0xcdf8_1819_4e3a_8c32);
    let at = |server: &str| {
        let endpoints = Endpoints {
            servers: vec![server.to_owned()],
            ..Endpoints::default()
        };
        Remote::new(&endpoints, Env::system()).unwrap()
    };
    let written = tokio::time::timeout(LIMIT, async {
        // There is a leader after a while.
        while at(&urls[0]).revision().await.is_err() {}
        put(at(&urls[0]).as_ref(), "/registry/new", "1", 0).await
    });
    assert_eq!(written.await.expect("the members agree"), store.visible() + 1);
    for url in &urls {
        let found = all(at(url).as_ref(), 0).await.unwrap();
        assert_eq!(found.0.len(), all(store.as_ref(), 0).await.unwrap().0.len() + 1);
    }
    // A snapshot of any of them can be had over gRPC, and holds the same.
    let chunks: Vec<Bytes> = fetch(&urls[2], None).await.unwrap().try_collect().await.unwrap();
    let fetched = parse(&chunks.concat(), false).unwrap();
    assert_eq!(fetched.facts().revision, store.visible() + 1);
    let gone = fetch("http://127.0.0.1:1", None).await.map(drop).unwrap_err();
    assert!(matches!(gone, Error::Server(_)), "{gone}");
    for one in running {
        one.stop().await;
    }
}

#[tokio::test]
async fn upstreams_data_is_moved_with_its_revisions() {
    let snapshot = parse(&data("kubernetes-1.20.db.zst"), false).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let restored = plain(snapshot.content().unwrap(), dir.path(), false)
        .await
        .unwrap();
    assert_eq!((restored.revision, restored.keys), (296, 221));
    let store = open(dir.path());
    let (kvs, _) = all(store.as_ref(), 0).await.unwrap();
    let prices = kvs
        .iter()
        .find(|kv| kv.key == "/registry/configmaps/shop/prices")
        .unwrap();
    assert_eq!(prices.version, 2);
    // What was before is there too, as far as etcd kept it.
    let before = all(store.as_ref(), prices.create_revision).await.unwrap().0;
    let first = before.iter().find(|kv| kv.key == prices.key).unwrap();
    assert_eq!((first.version, first.mod_revision), (1, prices.create_revision));
    assert!(!store.leases().is_empty());
    store.close().await;
}
