//! Prints how many 1 KiB writes a second 64 writers get acknowledged durably, within at most three seconds.

use bytes::Bytes;
use component::Env;
use etcd::{Durability, Engine, Op, Options, Store, TxnRequest};
use futures::future::join_all;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

const WRITERS: u64 = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let dir = std::env::args().nth(1).ok_or("usage: put DIR")?;
    runtime.block_on(run(&dir))
}

async fn run(dir: &str) -> Result<(), Box<dyn std::error::Error>> {
    let env = Env::system();
    let store = Engine::open(dir, Options::default(), env.clone())?;
    for (name, durability) in [
        ("durable", Durability::Durable),
        ("volatile", Durability::Volatile),
    ] {
        let start = env.clock.now();
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(store.clone(), env.clone(), writer, durability));
        }
        let done: u64 = writers.join_all().await.into_iter().sum();
        let seconds = (env.clock.now() - start).as_secs_f64();
        println!(
            "put/{name} writers={WRITERS} value=1KiB ops/s={:.0}",
            done as f64 / seconds
        );
    }
    let start = env.clock.now();
    let range = etcd::RangeRequest {
        start: "/bench/".into(),
        end: "/bench0".into(),
        ..Default::default()
    };
    let count = store.range(range).await?.kvs.len();
    println!(
        "range/{count} ms={:.1}",
        (env.clock.now() - start).as_secs_f64() * 1e3
    );
    let start = env.clock.now();
    let gets = (0..1000).map(|n| {
        let key = Bytes::from(format!("/bench/{:02}/{:04}", n % WRITERS, n % 100));
        store.range(etcd::RangeRequest {
            start: key,
            ..Default::default()
        })
    });
    join_all(gets).await;
    println!("get us={:.1}", (env.clock.now() - start).as_secs_f64() * 1e3);
    store.close().await;
    Ok(())
}

async fn write(store: Arc<Engine>, env: Env, writer: u64, durability: Durability) -> u64 {
    let value = Bytes::from(vec![b'x'; 1024]);
    let (start, mut done) = (env.clock.now(), 0);
    while env.clock.now() - start < Duration::from_millis(1500) {
        let key = Bytes::from(format!("/bench/{writer:02}/{:04}", done % 156));
        let op = Op::Put {
            value: value.clone(),
            lease: 0,
        };
        let request = TxnRequest {
            key,
            expect: None,
            op,
            durability,
        };
        if let Err(error) = store.txn(request).await {
            eprintln!("{error}");
            break;
        }
        done += 1;
    }
    done
}
