//! Prints how many durable 1 KiB writes a second 1 and 64 writers get acknowledged: by the engine alone, by a cluster of
//! one member, and by one of three members in this process that speak over loopback.

use bytes::Bytes;
use component::Env;
use etcd::{
    Durability, Engine, Op, Options, Store, TxnRequest,
    replica::{Replica, Settings, peer::PeerListener},
};
use futures::future::join_all;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinSet};

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let dir = std::env::args().nth(1).ok_or("usage: members DIR")?;
    runtime.block_on(run(Path::new(&dir)))
}

async fn run(dir: &Path) -> Result<(), Failed> {
    let env = Env::system();
    let engine = Engine::open(dir.join("engine"), Options::default(), env.clone())?;
    measure("engine", engine.clone(), &env).await;
    engine.close().await;
    let one = Replica::open(Settings::new(dir.join("one")), env.clone()).await?;
    measure("members-1", Arc::new(one.clone()), &env).await;
    one.close().await;
    let three = three(dir, &env).await?;
    let leads = async {
        loop {
            if let Some(leader) = three.iter().find(|member| member.view().leads) {
                return leader.clone();
            }
            env.clock.sleep(Duration::from_millis(50)).await;
        }
    };
    measure("members-3", Arc::new(leads.await), &env).await;
    join_all(three.iter().map(Replica::close)).await;
    Ok(())
}

async fn three(dir: &Path, env: &Env) -> Result<Vec<Replica>, Failed> {
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await?);
    }
    let mut initial = Vec::new();
    for (at, listener) in listeners.iter().enumerate() {
        initial.push((format!("m{at}"), format!("http://{}", listener.local_addr()?)));
    }
    let mut members = Vec::new();
    for (at, listener) in listeners.into_iter().enumerate() {
        let settings = Settings {
            name: initial[at].0.clone(),
            peer_urls: vec![initial[at].1.clone()],
            initial_cluster: initial.clone(),
            ..Settings::new(dir.join(format!("three-{at}")))
        };
        let replica = Replica::open(settings, env.clone()).await?;
        let serving = PeerListener::new(replica.clone(), false);
        env.tasks.spawn("peers", serving.serve(listener));
        members.push(replica);
    }
    Ok(members)
}

async fn measure(name: &str, store: Arc<dyn Store>, env: &Env) {
    for writers in [1, 64] {
        let start = env.clock.now();
        let mut writing = JoinSet::new();
        for writer in 0..writers {
            writing.spawn(write(store.clone(), env.clone(), writer));
        }
        let done: u64 = writing.join_all().await.into_iter().sum();
        let seconds = (env.clock.now() - start).as_secs_f64();
        println!(
            "put/{name} writers={writers} value=1KiB ops/s={:.0}",
            done as f64 / seconds
        );
    }
}

async fn write(store: Arc<dyn Store>, env: Env, writer: u64) -> u64 {
    let value = Bytes::from(vec![b'x'; 1024]);
    let (start, mut done) = (env.clock.now(), 0);
    while env.clock.now() - start < Duration::from_secs(3) {
        let request = TxnRequest {
            key: Bytes::from(format!("/bench/{writer:02}/{:04}", done % 156)),
            expect: None,
            op: Op::Put {
                value: value.clone(),
                lease: 0,
            },
            durability: Durability::Durable,
        };
        if let Err(error) = store.txn(request).await {
            eprintln!("{error}");
            break;
        }
        done += 1;
    }
    done
}
