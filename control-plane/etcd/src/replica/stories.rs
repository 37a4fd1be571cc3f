//! Stories of a member alone.

use super::{Replica, Settings};
use crate::{Durability, Op, RangeRequest, Store, TxnRequest};
use bytes::Bytes;
use component::Env;
use std::{fs, path::Path};

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// How far its log is agreed on is not noted after each write, since it alone agrees.
#[tokio::test]
async fn a_member_alone_that_was_killed_becomes_a_cluster_with_all_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let replica = Replica::open(Settings::new(dir.path().join("one")), Env::system())
        .await
        .unwrap();
    for turn in 0..5u8 {
        let write = TxnRequest {
            key: vec![b'a', turn].into(),
            expect: None,
            op: Op::Put {
                value: Bytes::from_static(b"v"),
                lease: 0,
            },
            durability: Durability::Durable,
        };
        replica.txn(write).await.unwrap();
    }
    // As a process that is killed leaves them.
    copy(&dir.path().join("one"), &dir.path().join("killed"));
    replica.close().await;
    let settings = Settings {
        force_new: true,
        ..Settings::new(dir.path().join("killed"))
    };
    let replica = Replica::open(settings, Env::system()).await.unwrap();
    let range = RangeRequest {
        start: Bytes::from_static(b"a"),
        end: Bytes::from_static(b"b"),
        ..RangeRequest::default()
    };
    assert_eq!(replica.range(range).await.unwrap().count, 5);
    replica.close().await;
}
