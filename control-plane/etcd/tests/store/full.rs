//! Devices that are full, slow, or fail.

use crate::{
    hooked::{Hooked, Hooks},
    lab::*,
};
use component::Env;
use etcd::*;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        checkpoint_bytes: 256 << 10,
        spare_bytes: 2 << 20,
        ..Options::default()
    }
}

async fn try_put(store: &Engine, key: &str, length: usize) -> Result<TxnOutcome, Error> {
    store.txn(request(key, None, value(&"x".repeat(length)))).await
}

/// Writes until it is refused; gives how many writes were taken.
async fn fill(store: &Engine) -> u64 {
    for n in 0.. {
        match try_put(store, &format!("/{}", n % 500), 1000).await {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
                return n;
            }
        }
    }
    0
}

/// What a full store holds, and how it refuses a write. What was reclaimed meanwhile is filled again.
async fn full<'a, T, F: Future<Output = Result<T, Error>>>(
    store: &'a Engine,
    attempt: impl Fn(&'a Engine) -> F,
) -> (String, String) {
    for _ in 0..100 {
        let before = list(store, "/", 0).await.unwrap();
        match attempt(store).await {
            Ok(_) => drop(fill(store).await),
            Err(error) => return (before, error.to_string()),
        }
    }
    panic!("a store that is full refuses writes");
}

/// Fills a store, sees that what makes room is done, and that it goes on by itself.
async fn story(store: &Engine, env: &Env) {
    let written = fill(store).await;
    assert!(written > 500, "full after {written}");
    let (before, refused) = full(store, |store| try_put(store, "/0", 1)).await;
    assert!(refused.contains("no space left on device"), "{refused}");
    assert_eq!(list(store, "/", 0).await.unwrap(), before);
    full(store, |store| store.grant(Duration::from_secs(10))).await;
    // What makes room is done.
    for n in 10..500 {
        delete(store, &format!("/{n}")).await;
    }
    store.set_meta("alarm".into(), Some("1".into())).await.unwrap();
    store.compact(store.revision().await.unwrap()).await.unwrap();
    let waited = env.clock.timeout(Duration::from_secs(60), async {
        while store.is_full() {
            env.clock.sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("room was made by what was removed");
    try_put(store, "/new", 1000).await.unwrap();
}

async fn has_all(store: &Engine) {
    let found = list(store, "/", 0).await.unwrap();
    let keys: Vec<&str> = found
        .split(' ')
        .map(|one| one.split('=').next().unwrap())
        .collect();
    assert_eq!(
        keys,
        ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9", "/new"]
    );
}

#[tokio::test(start_paused = true)]
async fn on_a_full_device_removals_and_compaction_are_done_and_make_room() {
    let (files, env) = (MemoryFiles::new(), Env::simulated(1));
    files.set_room(4 << 20);
    let open =
        |files: &MemoryFiles| Engine::open_in(Arc::new(files.clone()), options(), env.clone()).unwrap();
    let store = open(&files);
    story(&store, &env).await;
    has_all(&open(&files.after_crash())).await;
    // Again, and killed while it is full; there is no more room when it starts again.
    fill(&store).await;
    let killed = files.after_kill();
    killed.set_room(0);
    let again = open(&killed);
    assert!(again.is_full());
    delete(&again, "/0").await;
    again.compact(again.revision().await.unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn space_that_comes_back_from_elsewhere_is_seen() {
    let (files, env) = (MemoryFiles::new(), Env::simulated(1));
    files.set_room(4 << 20);
    let store = Engine::open_in(Arc::new(files.clone()), options(), env.clone()).unwrap();
    fill(&store).await;
    env.clock.sleep(Duration::from_secs(10)).await;
    assert!(store.is_full());
    files.set_room(4 << 20);
    env.clock.sleep(Duration::from_secs(3)).await;
    assert!(!store.is_full());
    try_put(&store, "/new", 1).await.unwrap();
}

/// A small file system in memory, as long as it lives.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), c"size=6m").unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Files that are still open do not matter.
        unmount(self.0.path(), UnmountFlags::DETACH).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_file_system_removals_and_compaction_are_done_and_make_room() {
    let tmpfs = Tmpfs::new();
    let dir = tmpfs.path().join("store");
    let env = Env::system();
    let store = Engine::open(&dir, options(), env.clone()).unwrap();
    story(&store, &env).await;
    store.close().await;
    let store = Engine::open(&dir, options(), env.clone()).unwrap();
    has_all(&store).await;
    // A file of somebody else takes all that is left, and goes again.
    let other = tmpfs.path().join("other");
    let filled = std::fs::write(&other, vec![1; 8 << 20]);
    assert!(filled.is_err());
    fill(&store).await;
    assert!(store.is_full());
    delete(&store, "/0").await;
    drop(store);
    assert!(env.tasks.drain(Duration::from_secs(60)).await);
    // It starts without any room.
    let env = Env::system();
    let store = Engine::open(&dir, options(), env.clone()).unwrap();
    delete(&store, "/1").await;
    std::fs::remove_file(&other).unwrap();
    let waited = env.clock.timeout(Duration::from_secs(60), async {
        while try_put(&store, "/new", 100).await.is_err() {
            env.clock.sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("space that came back is seen");
    store.close().await;
    assert!(env.tasks.drain(Duration::from_secs(60)).await);
}

/// A disk that takes its time, and how often it was asked.
#[derive(Default)]
struct Slow(AtomicUsize);

impl Hooks for Slow {
    fn sync(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(30));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_device_is_asked_once_for_all_who_wait() {
    let dir = tempfile::tempdir().unwrap();
    let slow = Arc::new(Slow::default());
    let disk = Disk::new(dir.path().join("store")).unwrap();
    let env = Env::system();
    let store = Engine::open_in(Hooked::new(disk, slow.clone()), options(), env.clone()).unwrap();
    put(&store, "/", "0").await;
    let before = slow.0.load(Ordering::Relaxed);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..64 {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0..10 {
                put(&store, &format!("/{writer}"), &n.to_string()).await;
                // Who reads does not wait for the device.
                assert!(list(&store, "/", 0).await.unwrap().contains("/=0@1"));
            }
        });
    }
    writers.join_all().await;
    let asked = slow.0.load(Ordering::Relaxed) - before;
    assert!(asked <= 100, "{asked} syncs for 640 writes of 64 writers");
    assert_eq!(store.revision().await.unwrap(), 641);
    store.close().await;
    assert!(env.tasks.drain(Duration::from_secs(60)).await);
}
