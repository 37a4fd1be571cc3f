//! Processes that are killed while they take or restore snapshots.

use crate::lab::{LIMIT, all, filled, names, open, put, source};
use backup::{Bump, Place, Snapshot, restore};
use component::Env;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// What the child does, and where.
const WHAT: &str = "BACKUP_CHILD";
const WHERE: &str = "BACKUP_CHILD_DIR";
/// The snapshot that it does it with.
const WHOLE: &str = "whole.db";

/// One of the processes, which goes on until it is killed; nothing unless a test starts it.
#[tokio::test]
async fn a_child() {
    let (Some(what), Some(dir)) = (std::env::var_os(WHAT), std::env::var_os(WHERE)) else {
        return;
    };
    let (dir, env) = (PathBuf::from(dir), Env::system());
    let snapshot = Snapshot::open(&dir.join(WHOLE), false).unwrap();
    for n in 0.. {
        if what == "save" {
            let place = Place::Folder(dir.join("kept"));
            let name = format!("taken-{n}.db");
            place.put(Some(&name), snapshot.chunks(&env), &env).await.unwrap();
        } else {
            let target = dir.join("data").join(n.to_string());
            let content = snapshot.content().unwrap();
            restore(content, &target, None, Bump::default(), false, &env)
                .await
                .unwrap();
        }
    }
}

struct Running(Child);

impl Running {
    fn start(what: &str, dir: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["killed::a_child", "--exact"])
            .env(WHAT, what)
            .env(WHERE, dir);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is killed, as by `kill -9`; it may have ended, which the test sees by what it left.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// The snapshot, and how many keys are in it.
async fn whole(dir: &Path) -> (Snapshot, u64) {
    let store = filled().await;
    for n in 0..8 {
        put(store.as_ref(), &format!("/large/{n}"), &"x".repeat(1 << 20), 0).await;
    }
    let keys = all(store.as_ref(), 0).await.unwrap().0.len() as u64;
    let chunks = source(&store)().await.unwrap().chunks;
    let place = Place::Folder(dir.to_owned());
    (
        place.put(Some(WHOLE), chunks, &Env::system()).await.unwrap().1,
        keys,
    )
}

/// Waits until so much is in a folder.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited until {what}"));
}

fn entries(dir: &Path) -> Vec<String> {
    if dir.exists() { names(dir) } else { Vec::new() }
}

#[tokio::test]
async fn a_snapshot_whose_taking_was_killed_is_not_taken_for_one() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
    let (snapshot, _) = whole(dir.path()).await;
    let kept = dir.path().join("kept");
    let ends = |name: &String, with: &str| name.ends_with(with);
    for round in 1..=5 {
        let running = Running::start("save", dir.path());
        // It is in the middle of one, after it has finished some.
        until("it writes", || {
            let names = entries(&kept);
            names.iter().filter(|name| ends(name, ".db")).count() >= round
                && names.iter().any(|name| ends(name, ".part"))
        })
        .await;
        drop(running);
        for name in entries(&kept).iter().filter(|name| ends(name, ".db")) {
            assert!(
                Snapshot::open(&kept.join(name), false).unwrap().is_as(&snapshot),
                "{name}"
            );
        }
        let place = Place::Folder(kept.clone());
        let listed = place.list(&env).await.unwrap();
        assert!(listed.iter().all(|stored| stored.size == snapshot.bytes()));
        for stored in listed {
            place.remove(&stored.name, &env).await.unwrap();
        }
        place
            .put(Some("next.db"), snapshot.chunks(&env), &env)
            .await
            .unwrap();
        // What was left went with it.
        assert_eq!(names(&kept), ["next.db"]);
        std::fs::remove_file(kept.join("next.db")).unwrap();
    }
}

#[tokio::test]
async fn a_store_whose_restore_was_killed_is_not_taken_for_one() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
    let (snapshot, keys) = whole(dir.path()).await;
    let data = dir.path().join("data");
    for round in 1..=3 {
        let running = Running::start("restore", dir.path());
        until("it restores", || {
            let last = data.join(entries(&data).len().saturating_sub(1).to_string());
            entries(&data).len() > round && last.join("store.restored").exists()
        })
        .await;
        drop(running);
        for name in entries(&data) {
            let target = data.join(name);
            if target.join("store").exists() {
                let store = open(&target);
                let (kvs, revision) = all(store.as_ref(), 0).await.unwrap();
                assert_eq!((kvs.len() as u64, revision), (keys, snapshot.facts().revision));
                store.close().await;
            } else {
                // It is done as if nobody had begun.
                let content = snapshot.content().unwrap();
                let done = restore(content, &target, None, Bump::default(), false, &env).await;
                assert_eq!(done.unwrap().keys, keys);
                assert_eq!(names(&target), ["store"]);
            }
        }
        std::fs::remove_dir_all(&data).unwrap();
    }
}
