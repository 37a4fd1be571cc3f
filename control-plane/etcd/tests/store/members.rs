//! The store as one of several members, who all apply the same entries.

use crate::lab::*;
use bytes::Bytes;
use component::{Env, Random};
use etcd::{
    state::Command,
    txn::{Compare, Field, Relation, Txn, TxnOp},
    *,
};
use std::{sync::Arc, time::Duration};

pub fn member(files: &MemoryFiles) -> Arc<Engine> {
    let options = Options {
        replicated: true,
        ..small()
    };
    Engine::open_in(Arc::new(files.clone()), options, Env::simulated(1)).unwrap()
}

fn write(key: &str, expect: Option<u64>, op: Op) -> Command {
    Command::Write {
        key: Bytes::copy_from_slice(key.as_bytes()),
        expect,
        op,
    }
}

fn put_op(key: &str, text: Option<&str>) -> TxnOp {
    TxnOp::Put {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: text.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        lease: Some(0),
        prev: true,
    }
}

/// A transaction that needs a value which is not in memory.
pub fn if_value(key: &str, text: &str, then: Vec<TxnOp>, or: Vec<TxnOp>) -> Command {
    let txn = Txn {
        compare: vec![Compare {
            start: Bytes::copy_from_slice(key.as_bytes()),
            end: Bytes::new(),
            relation: Relation::Equal,
            field: Field::Value(Bytes::copy_from_slice(text.as_bytes())),
        }],
        success: then,
        failure: or,
    };
    Command::Txn(txn, Default::default())
}

/// A long list of entries, with everything in it that members agree on.
pub fn entries(random: &Random, count: u64) -> Vec<Committed> {
    let key = || format!("/{}", random.below(8));
    let command = |index: u64| match random.below(16) {
        0 => Command::Nothing,
        1 => write(&key(), Some(random.below(index)), value("if")),
        2 => write(&key(), None, Op::Delete),
        3 => Command::Grant {
            id: random.below(3) as i64 + 1,
            ttl: 5000,
        },
        4 => {
            let (value, lease) = ("held".into(), random.below(4) as i64);
            write(&key(), None, Op::Put { value, lease })
        }
        5 => Command::Revoke(random.below(3) as i64 + 1),
        6 => Command::Compact(random.below(index)),
        7 => Command::Meta {
            key: format!("m{}", random.below(3)).into(),
            value: (random.below(3) > 0).then(|| format!("{index}").into()),
        },
        8 | 9 => {
            let both = vec![
                put_op(&format!("/x{index}"), Some("1")),
                put_op("/kept", Some("same")),
            ];
            let delete = vec![TxnOp::Delete {
                start: "/x".into(),
                end: "/y".into(),
                prev: true,
            }];
            if_value("/kept", "same", delete, both)
        }
        _ => write(&key(), None, value(&format!("{index}-{}", "x".repeat(200)))),
    };
    (1..=count)
        .map(|index| (1 + index / 50, index, command(index)))
        .collect()
}

/// All that members must agree on.
pub async fn agreed(store: &Engine) -> String {
    let all = RangeRequest {
        start: "/".into(),
        end: vec![0].into(),
        ..RangeRequest::default()
    };
    let all = store.range(all).await.unwrap();
    let leases = store.leases().into_iter();
    let leases: Vec<_> = leases.map(|id| (id, store.lease(id).unwrap().keys)).collect();
    let (applied, meta, oldest) = (store.applied(), store.meta_all(), store.compacted());
    format!(
        "{applied:?} {oldest} {meta:?} {leases:?} {} {:?}",
        all.revision, all.kvs
    )
}

#[tokio::test(start_paused = true)]
async fn members_that_apply_the_same_entries_are_the_same() {
    for seed in 0..20 {
        let entries = entries(&Random::seeded(seed), 300);
        let (one, two) = (MemoryFiles::new(), MemoryFiles::new());
        let (first, mut second) = (member(&one), member(&two));
        let random = Random::seeded(seed + 1000);
        let told = first.apply_committed(entries.clone()).await.unwrap();
        // The second applies in pieces, observes, and starts again now and then from what is on its disk.
        let mut answers = Vec::new();
        let mut rest = entries.as_slice();
        let mut two = two;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(1 + random.below(40) as usize));
            answers.truncate(piece[0].1 as usize - 1);
            answers.extend(second.apply_committed(piece.to_vec()).await.unwrap());
            rest = after;
            match random.below(6) {
                0 => {
                    let flushed = second.flush().await.unwrap();
                    assert_eq!(flushed, second.applied());
                    two = two.after_crash();
                    second = member(&two);
                    assert_eq!(second.applied(), flushed);
                }
                1 => {
                    two = two.after_kill();
                    second = member(&two);
                    let (_, index) = second.applied();
                    rest = &entries[index as usize..];
                }
                2 => {
                    second.close().await;
                    second = member(&two);
                }
                _ => {}
            }
        }
        assert_eq!(agreed(&first).await, agreed(&second).await, "seed {seed}");
        assert_eq!(format!("{told:?}"), format!("{answers:?}"), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn entries_come_in_order_and_only_from_the_members() {
    let store = member(&MemoryFiles::new());
    let entry = |term, index| (term, index, write("/a", None, value("1")));
    store
        .apply_committed(vec![(1, 1, Command::Nothing), entry(1, 2)])
        .await
        .unwrap();
    for (term, index) in [(1, 2), (1, 4), (0, 3)] {
        let error = store.apply_committed(vec![entry(term, index)]).await.unwrap_err();
        assert!(error.to_string().contains("cannot follow 2 of 1"), "{error}");
    }
    let error = store.txn(request("/a", None, value("2"))).await.unwrap_err();
    assert!(error.to_string().contains("decide together"), "{error}");
    assert_eq!(list(&store, "/", 0).await.unwrap(), "/a=1@1");
    assert_eq!(store.applied(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn leases_end_when_the_members_say_so() {
    let env = Env::simulated(1);
    let options = Options {
        replicated: true,
        ..small()
    };
    let store = Engine::open_in(Arc::new(MemoryFiles::new()), options, env.clone()).unwrap();
    let grant = Command::Grant { id: 7, ttl: 1000 };
    store.apply_committed(vec![(1, 1, grant)]).await.unwrap();
    let due = store.next_expiry().unwrap();
    env.clock.sleep(Duration::from_secs(5)).await;
    assert!(due <= env.clock.now());
    assert_eq!(store.expired(env.clock.now()), [7]);
    assert_eq!(store.leases(), [7]);
    store.renew_all();
    assert!(store.expired(env.clock.now()).is_empty());
    env.clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(store.expired(env.clock.now()), [7]);
    store
        .apply_committed(vec![(1, 2, Command::Revoke(7))])
        .await
        .unwrap();
    assert!(store.leases().is_empty() && store.expired(env.clock.now()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_member_with_a_full_disk_goes_on_in_memory_and_is_durable_when_there_is_space() {
    let files = MemoryFiles::new();
    let store = member(&files);
    let entry = |index| (1, index, write("/a", None, value(&"x".repeat(500))));
    store.apply_committed((1..4).map(entry).collect()).await.unwrap();
    store.flush().await.unwrap();
    files.set_room(100);
    store.apply_committed((4..40).map(entry).collect()).await.unwrap();
    assert_eq!(store.applied(), (1, 39));
    assert!(store.flush().await.is_err());
    let killed = member(&files.after_kill());
    assert!(killed.applied().1 >= 3);
    files.set_room(u64::MAX);
    assert_eq!(store.flush().await.unwrap(), (1, 39));
    assert_eq!(agreed(&member(&files.after_crash())).await, agreed(&store).await);
}

#[tokio::test(start_paused = true)]
async fn the_table_beside_the_key_space_is_kept_and_taken_back() {
    let files = MemoryFiles::new();
    let store = open(&files);
    let set = |key: &'static str, value: Option<&'static str>| {
        store.set_meta(
            Bytes::from_static(key.as_bytes()),
            value.map(|value| Bytes::from_static(value.as_bytes())),
        )
    };
    set("member/1", Some("one")).await.unwrap();
    set("member/2", Some("two")).await.unwrap();
    set("member/1", None).await.unwrap();
    assert_eq!(store.revision().await.unwrap(), 0);
    files.set_room(10);
    set("member/2", Some("three")).await.unwrap_err();
    assert_eq!(store.meta(b"member/2"), Some("two".into()));
    files.set_room(u64::MAX);
    for files in [files.after_crash(), {
        store.close().await;
        files
    }] {
        let all = open(&files).meta_all();
        assert_eq!(all, [("member/2".into(), "two".into())].into());
    }
}
