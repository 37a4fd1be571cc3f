//! Many writers, readers and watches on a real directory, with compaction and reclaim under way.

use crate::lab::*;
use component::Env;
use etcd::*;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

const WRITERS: u64 = 16;
const WRITES: u64 = 400;

#[derive(Default)]
struct Order(Mutex<Vec<String>>);

impl Observer for Order {
    fn committed(&self, _: Revision, events: &[Event]) {
        self.0.lock().unwrap().extend(events.iter().map(event_text));
    }
}

async fn write(store: Arc<Engine>, order: Arc<Order>, writer: u64) {
    for n in 0..WRITES {
        let (key, text) = (
            format!("/{writer:02}/{}", n % 7),
            format!("{n}-{}", "x".repeat(200)),
        );
        let durability = if n % 5 == 0 {
            Durability::Volatile
        } else {
            Durability::Durable
        };
        let put = TxnRequest {
            durability,
            ..request(&key, None, value(&text))
        };
        let revision = done(store.txn(put).await);
        let own = format!("+{key}={text}@{revision}");
        assert!(
            order.0.lock().unwrap()[revision as usize - 1].starts_with(&own),
            "the observer is behind"
        );
        let read = list(&store, &key, 0).await.unwrap();
        assert_eq!(read, own[1..], "a writer reads what it wrote");
        if writer == 0 && n % 20 == 19 {
            store.compact(revision - 50).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_observer_and_watches_agree_on_one_order() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::system();
    let options = Options {
        segment_bytes: 64 << 10,
        checkpoint_bytes: 256 << 10,
        ..Options::default()
    };
    let store = Engine::open(dir.path(), options.clone(), env.clone()).unwrap();
    let order = Arc::new(Order::default());
    store.observe(order.clone());
    let mut watch = watch_all(&store, 0);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(store.clone(), order.clone(), writer));
    }
    let total = WRITERS * WRITES;
    let mut seen = Vec::new();
    // A watch without `prev` does not tell what was there before.
    let short = |text: &String| text.split('<').next().unwrap_or_default().to_owned();
    while (seen.len() as u64) < total {
        match next(&mut watch).await {
            Ok(WatchItem::Events(events)) => seen.extend(events.iter().map(event_text)),
            Ok(WatchItem::Progress(_)) => panic!("progress was not asked for"),
            // It was slower than the compactions: it goes on from there, as a client does.
            Err(Error::Compacted(oldest)) => {
                watch = watch_all(&store, oldest - 1);
                let order = order.0.lock().unwrap();
                seen.extend(order[seen.len()..oldest as usize - 1].iter().map(short));
            }
            Err(other) => panic!("{other}"),
        }
    }
    writers.join_all().await;
    let order: Vec<String> = std::mem::take(&mut order.0.lock().unwrap());
    assert_eq!(order.iter().map(short).collect::<Vec<_>>(), seen);
    let before = list(&store, "/", 0).await.unwrap();
    assert!(env.tasks.drain(Duration::from_secs(60)).await);
    let env = Env::system();
    let again = Engine::open(dir.path(), options, env.clone()).unwrap();
    assert_eq!(list(&again, "/", 0).await.unwrap(), before);
    assert!(env.tasks.drain(Duration::from_secs(60)).await);
}
