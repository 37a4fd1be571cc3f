//! Transactions inside transactions.

use crate::lab::*;
use bytes::Bytes;
use component::Env;
use etcd::{
    txn::{Compare, Field, Relation, Txn, TxnOp, TxnResult},
    *,
};

fn write(key: &str, text: &str) -> TxnOp {
    TxnOp::Put {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Some(Bytes::copy_from_slice(text.as_bytes())),
        lease: Some(0),
        prev: true,
    }
}

fn remove(key: &str) -> TxnOp {
    TxnOp::Delete {
        start: Bytes::copy_from_slice(key.as_bytes()),
        end: Bytes::new(),
        prev: true,
    }
}

fn read(key: &str) -> TxnOp {
    TxnOp::Range(RangeRequest {
        start: Bytes::copy_from_slice(key.as_bytes()),
        ..RangeRequest::default()
    })
}

fn when(key: &str, text: &str, success: Vec<TxnOp>, failure: Vec<TxnOp>) -> Txn {
    let compare = Compare {
        start: Bytes::copy_from_slice(key.as_bytes()),
        end: Bytes::new(),
        relation: Relation::Equal,
        field: Field::Value(Bytes::copy_from_slice(text.as_bytes())),
    };
    Txn {
        compare: vec![compare],
        success,
        failure,
    }
}

/// What was done, as text.
fn told(results: &[TxnResult]) -> String {
    let one = |result: &TxnResult| match result {
        TxnResult::Range(found) => {
            let kvs: Vec<_> = found.kvs.iter().map(text).collect();
            format!("[{}]", kvs.join(" "))
        }
        TxnResult::Put(prev) => format!("put<{}", prev.as_ref().map(text).unwrap_or_default()),
        TxnResult::Deleted(count, _) => format!("-{count}"),
        TxnResult::Txn(held, inner) => format!("({held} {})", told(inner)),
    };
    results.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[tokio::test(start_paused = true)]
async fn transactions_inside_decide_first_and_write_at_one_revision() {
    let (files, env) = (MemoryFiles::new(), Env::simulated(1));
    let store = Engine::open_in(std::sync::Arc::new(files.clone()), small(), env).unwrap();
    for (key, text) in [("/a", "1"), ("/b", "1"), ("/c", "1")] {
        put(&store, key, text).await;
    }
    let mut watch = watch_all(&store, 3);
    // Each is decided by what was there before any of it: /b is 1 though it was written by then.
    let innermost = when("/b", "1", vec![remove("/c"), read("/b")], vec![write("/no", "1")]);
    let inner = when(
        "/a",
        "9",
        vec![write("/no", "2")],
        vec![TxnOp::Txn(innermost), write("/d", "3")],
    );
    let other = when("/a", "1", vec![read("/d"), read("/c")], Vec::new());
    let outer = when(
        "/a",
        "1",
        vec![write("/b", "2"), TxnOp::Txn(inner), TxnOp::Txn(other)],
        vec![write("/no", "3")],
    );
    let reply = store.transact(outer).await.unwrap();
    assert!(reply.succeeded);
    assert_eq!(reply.revision, 4);
    assert_eq!(
        told(&reply.results),
        "put</b=1@2 (false (true -1 [/b=2@4]) put<) (true [/d=3@4] [])"
    );
    assert_eq!(next_events(&mut watch).await, "+/b=2@4 -/c@4 +/d=3@4");
    assert_eq!(list(&store, "/", 0).await.unwrap(), "/a=1@1 /b=2@4 /d=3@4");
    assert_eq!(list(&store, "/", 3).await.unwrap(), "/a=1@1 /b=1@2 /c=1@3");
    // What cannot be written is taken back as a whole.
    files.set_room(100);
    let inner = when("/b", "2", vec![write("/b", "4"), remove("/a")], Vec::new());
    let again = when("/a", "1", vec![TxnOp::Txn(inner)], Vec::new());
    store.transact(again).await.unwrap_err();
    assert_eq!(list(&store, "/", 0).await.unwrap(), "/a=1@1 /b=2@4 /d=3@4");
    files.set_room(u64::MAX);
    let killed = open(&files.after_crash());
    assert_eq!(list(&killed, "/", 0).await.unwrap(), "/a=1@1 /b=2@4 /d=3@4");
}
