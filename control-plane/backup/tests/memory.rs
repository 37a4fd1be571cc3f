//! A snapshot is never in memory as a whole, wherever it comes from and goes to. The only test of its process, whose peak it reads.
#![expect(clippy::unwrap_used, reason = "the functions of a test fail as it does")]

use backup::{Bump, Place, Taken, fetch, kine, restore};
use bytes::Bytes;
use component::Env;
use etcd::{
    Durability, Engine, Op, Options, Store, TxnRequest,
    replica::{self, Replica},
    server::{Listener, Member, Settings},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::net::TcpListener;

/// So much is stored, in values of this size.
const STORED: usize = 112 << 20;
const VALUE: usize = 1 << 20;
/// So much more memory may be taken at any time.
const BOUND: usize = 48 << 20;

fn status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<usize>().unwrap() << 10
}

/// Does something, and sees how much memory that took at its peak.
async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    // The peak is forgotten.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    let done = work.await;
    let grown = status("VmHWM:").saturating_sub(before);
    assert!(grown < BOUND, "{what} took {} MiB", grown >> 20);
    done
}

async fn fill(dir: &Path, env: &Env) {
    let store = Engine::open(dir, Options::default(), env.clone()).unwrap();
    for n in 0..STORED / VALUE {
        let txn = TxnRequest {
            key: format!("/registry/large/{n:04}").into(),
            expect: None,
            op: Op::Put {
                value: Bytes::from(vec![b'a' + n as u8; VALUE]),
                lease: 0,
            },
            durability: Durability::Durable,
        };
        store.txn(txn).await.unwrap();
    }
    store.close().await;
}

fn open(dir: &Path, env: &Env) -> Arc<Engine> {
    Engine::open(dir, Options::default(), env.clone()).unwrap()
}

/// A database of k3s with as much in it, of which a part is only in its write-ahead log.
fn unpack_k3s(dir: &Path) -> PathBuf {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backup/data");
    for name in ["large.db", "large.db-wal"] {
        let packed = File::open(packed.join(format!("{name}.zst"))).unwrap();
        let unpacked = File::create(dir.join(name)).unwrap();
        zstd::stream::copy_decode(packed, unpacked).unwrap();
    }
    dir.join("large.db")
}

/// A snapshot over gRPC, from a server of `dir`.
async fn over_grpc(dir: &Path, place: &Place, env: &Env) -> backup::Snapshot {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let replica = Replica::open(replica::Settings::new(dir), env.clone())
        .await
        .unwrap();
    let member = Member::new(replica.clone(), Settings::default(), env.clone());
    let serving = Listener::new(member, None, env.clone()).unwrap();
    env.tasks.spawn("etcd", serving.serve(listener));
    let chunks = fetch(&url, None).await.unwrap();
    let (_, snapshot) = place.put(Some("fetched.db"), chunks, env).await.unwrap();
    replica.close().await;
    snapshot
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_never_in_memory_as_a_whole() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
    let data = |name: &str| dir.path().join(name);
    fill(&data("store"), &env).await;
    let place = Place::Folder(data("kept"));
    let store = open(&data("store"), &env);
    let saved = within("saving", async {
        let taken = Taken::from(store.snapshot().await.unwrap());
        place.put(Some("saved.db"), taken.chunks, &env).await.unwrap().1
    });
    let saved = saved.await;
    assert!(saved.bytes() as usize > STORED);
    // What a member gets that is far behind.
    within("a dump", async {
        let dump = store.dump().await.unwrap();
        Engine::load(data("installed"), dump.chunks, &env).await.unwrap();
    })
    .await;
    store.close().await;
    within("restoring", async {
        let content = saved.content().unwrap();
        let env = Env::system();
        restore(content, &data("restored"), None, Bump::default(), false, &env)
            .await
            .unwrap();
    })
    .await;
    let database = unpack_k3s(dir.path());
    within("reading the database of k3s", async {
        let (content, env) = (kine::read(&database).unwrap(), Env::system());
        assert_eq!(content.versions(), STORED / VALUE);
        let made = restore(content, &data("k3s"), None, Bump::default(), false, &env)
            .await
            .unwrap();
        assert_eq!(made.keys as usize, STORED / VALUE);
    })
    .await;
    for name in ["store", "k3s"] {
        fs::remove_dir_all(data(name)).unwrap();
    }
    let fetched = within("fetching", over_grpc(&data("restored"), &place, &env)).await;
    assert_eq!(fetched.facts().revision, saved.facts().revision);
    env.tasks.drain(std::time::Duration::from_secs(10)).await;
}
