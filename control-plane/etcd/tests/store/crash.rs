//! A process that is killed while it writes.

use crate::lab::*;
use component::Env;
use etcd::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

const ROUNDS: u64 = 30;
const WRITERS: u64 = 8;

/// The child: writes for ever, says on its output what was acknowledged. The directory and the round come on its input.
#[test]
#[ignore = "is run by killed_at_any_time_no_acknowledged_write_is_lost"]
fn child() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let (round, dir) = line.trim().split_once(' ').unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = Options {
            segment_bytes: 64 << 10,
            checkpoint_bytes: 128 << 10,
            ..Options::default()
        };
        let store = Engine::open(dir, options, Env::system()).unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write_for_ever(store.clone(), round.to_owned(), writer));
        }
        writers.join_all().await;
    });
}

async fn write_for_ever(store: Arc<Engine>, round: String, writer: u64) {
    for n in 0.. {
        let key = format!("/{writer}/{}", n % 20);
        let text = format!("{round}-{n}-{}", "x".repeat(300));
        let volatile = writer == 0;
        let revision = if volatile {
            put_volatile(&store, &key, &text).await
        } else {
            put(&store, &key, &text).await
        };
        let kind = if volatile { "volatile" } else { "durable" };
        let line = format!("\nACK {kind} {revision} {key} {round}-{n}\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        if writer == 1 && n % 200 == 199 {
            store.compact(revision).await.unwrap();
        }
    }
}

#[derive(Default)]
struct Acknowledged {
    revisions: BTreeSet<u64>,
    newest: BTreeMap<String, (u64, String)>,
    greatest: u64,
}

fn run_and_kill(dir: &std::path::Path, round: u64, after: u64, seen: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{round} {}", dir.display()).unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (mut count, mut greatest) = (0, seen.greatest);
    for line in output.lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let ["ACK", kind, revision, key, text] = words[..] else {
            continue;
        };
        let revision: u64 = revision.parse().unwrap();
        assert!(seen.revisions.insert(revision), "revision {revision} came twice");
        assert!(
            revision > seen.greatest,
            "revision {revision} is older than the last round"
        );
        greatest = greatest.max(revision);
        if kind == "durable" {
            let newest = seen.newest.entry(key.to_owned()).or_default();
            if newest.0 < revision {
                *newest = (revision, text.to_owned());
            }
        }
        count += 1;
        if count == after {
            // What it wrote into the pipe before it died is read on.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(count >= after, "the child ended by itself after {count} writes");
    seen.greatest = greatest;
}

#[test]
fn killed_at_any_time_no_acknowledged_write_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let env = Env::system();
    let mut seen = Acknowledged::default();
    for round in 0..ROUNDS {
        run_and_kill(&path, round, 50 + env.random.below(1500), &mut seen);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let env = Env::system();
            let store = Engine::open(&path, Options::default(), env.clone()).unwrap();
            for (key, (revision, text)) in &seen.newest {
                let range = RangeRequest {
                    start: key.clone().into(),
                    ..Default::default()
                };
                let response = store.range(range).await.unwrap();
                let kv = response.kvs.first().unwrap_or_else(|| panic!("{key} is lost"));
                assert!(
                    kv.mod_revision >= *revision,
                    "{key}: {} < {revision}",
                    kv.mod_revision
                );
                if kv.mod_revision == *revision {
                    let stored = String::from_utf8_lossy(&kv.value);
                    assert!(
                        stored.starts_with(&format!("{text}-")),
                        "{key}: {stored} is not {text}"
                    );
                }
            }
            assert!(
                store.revision().await.unwrap() >= seen.greatest,
                "a revision would come again"
            );
            if round % 2 == 0 {
                store.close().await;
            }
            drop(store);
            assert!(env.tasks.drain(Duration::from_secs(60)).await);
        });
    }
}
