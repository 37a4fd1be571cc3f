//! Databases of k3s. The files were made by SQLite itself: `kine.db` with a rollback journal; `wal.db` with a write-ahead
//! log that was not moved into it, once as its last transaction left it and once in the middle of one.

use crate::lab::{all, data, names, open};
use backup::{Bump, Content, Error, kine, restore, sqlite::Database};
use component::Env;
use etcd::Kept;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// The database, and its log.
fn database(dir: &Path, file: &str, log: Option<&str>) -> PathBuf {
    let path = dir.join("state.db");
    std::fs::write(&path, data(file)).unwrap();
    if let Some(log) = log {
        std::fs::write(dir.join("state.db-wal"), data(log)).unwrap();
    }
    path
}

#[tokio::test]
async fn k3s_keys_are_moved_with_their_revisions() {
    for (file, log) in [
        ("kine.db.zst", None),
        ("wal.db.zst", Some("wal.db-wal.zst")),
        ("wal.db.zst", Some("open.db-wal.zst")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let content = kine::read(&database(dir.path(), file, log)).unwrap();
        let (image, versions) = content.clone().into_versions();
        assert_eq!((image.revision, image.compacted), (308, 303), "{file} {log:?}");
        assert_eq!(image.leases, [(15, 15_000)]);
        let removed = versions.filter(|kept| matches!(kept, Ok(Kept::Removed(..))));
        assert_eq!(removed.count(), 1);
        let target = dir.path().join("data");
        let env = Env::system();
        let restored = restore(content, &target, None, Bump::default(), false, &env);
        assert_eq!(restored.await.unwrap().keys, 302);
        let store = open(&target);
        let (kvs, _) = all(store.as_ref(), 0).await.unwrap();
        let find = |key: &str| kvs.iter().find(|kv| kv.key == key);
        let changed = find("/registry/configmaps/default/c001").unwrap();
        assert_eq!(
            (changed.create_revision, changed.mod_revision, changed.version),
            (4, 308, 3)
        );
        assert!(changed.value.ends_with(b"{\"n\":\"again\"}}"));
        assert!(find("/registry/configmaps/default/c002").is_none());
        // Larger than a page.
        assert!(find("/registry/configmaps/default/big").unwrap().value.len() > 50_000);
        assert_eq!(find("/registry/masterleases/10.0.0.1").unwrap().lease, 15);
        assert!(
            find("compact_rev_key").is_none()
                && find("gap-306").is_none()
                && find("/registry/lost/0").is_none()
        );
        let before = all(store.as_ref(), 304).await.unwrap().0;
        assert!(
            before
                .iter()
                .any(|kv| kv.key == "/registry/configmaps/default/c002")
        );
        store.close().await;
    }
}

#[test]
fn a_log_that_is_cut_ends_with_its_last_whole_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let path = database(dir.path(), "wal.db.zst", None);
    let log = data("wal.db-wal.zst");
    let before = kine::read(&path).unwrap().image.revision;
    assert_eq!(before, 303);
    let mut last = before;
    for length in (0..=log.len()).step_by(509).chain([log.len()]) {
        std::fs::write(dir.path().join("state.db-wal"), &log[..length]).unwrap();
        let revision = kine::read(&path).unwrap().image.revision;
        assert!(revision >= last && revision <= 308, "{length}: {revision}");
        last = revision;
    }
    assert_eq!(last, 308);
}

#[test]
fn a_database_that_is_written_to_while_it_is_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = database(dir.path(), "wal.db.zst", Some("wal.db-wal.zst"));
    let log = dir.path().join("state.db-wal");
    let outcome = |content: Content| content.into_versions().1.map(|kept| kept.map(drop)).collect();
    let read = || kine::read(&path).unwrap();
    let whole: Result<Vec<()>, Error> = outcome(read());
    assert_eq!(whole.unwrap().len(), read().versions());
    // What is only added to the log is newer than all that is read.
    let content = read();
    let mut longer = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    longer.write_all(&[7; 5000]).unwrap();
    outcome(content).unwrap();
    for file in [&path, &log] {
        let content = read();
        let before = std::fs::read(file).unwrap();
        let mut changed = before.clone();
        changed[16..24].fill(9);
        changed.push(0);
        std::fs::write(file, &changed).unwrap();
        let why = outcome(content).unwrap_err().to_string();
        assert!(why.contains("written to while it was read"), "{why}");
        std::fs::write(file, &before).unwrap();
    }
}

#[test]
fn a_database_that_is_damaged_or_another_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = database(dir.path(), "kine.db.zst", None);
    let table = Database::open(&path).unwrap().table("kine").unwrap();
    assert_eq!(table.number, Some(0));
    assert_eq!(table.columns[..3], ["id", "name", "created"]);
    let refused = |path: &Path| kine::read(path).unwrap_err().to_string();
    assert!(Database::open(&path).unwrap().table("pods").is_err());
    std::fs::write(dir.path().join("state.db-journal"), [1; 600]).unwrap();
    assert!(refused(&path).contains("a transaction that was not finished"));
    std::fs::remove_file(dir.path().join("state.db-journal")).unwrap();
    let whole = data("kine.db.zst");
    for length in (0..whole.len()).step_by(1021) {
        std::fs::write(&path, &whole[..length]).unwrap();
        refused(&path);
    }
    // Nothing that is changed makes it fail in another way than by saying so.
    for at in (0..whole.len()).step_by(211) {
        let mut changed = whole.to_vec();
        changed[at] ^= 0x55;
        std::fs::write(&path, &changed).unwrap();
        drop(kine::read(&path));
    }
    std::fs::write(&path, "no database at all").unwrap();
    assert!(refused(&path).ends_with("is no SQLite database"));
    assert_eq!(names(dir.path()), ["state.db"]);
}
