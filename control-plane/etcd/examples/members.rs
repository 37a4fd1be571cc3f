//! Prints how many durable 1 KiB writes a second 1 and 64 writers get acknowledged: by the engine alone, by a cluster of
//! one member, and by one of three members in this process that speak over loopback. Of a cluster of one member it also
//! prints what writes cost that are proposed as a server does for its clients, which are on connections of ten each; with `called` it prints nothing else.

use bytes::Bytes;
use component::Env;
use etcd::{
    Durability, Engine, Op, Options, Store, TxnRequest,
    replica::{Replica, Settings, auth::Who, peer::PeerListener},
    txn::{Txn, TxnOp},
};
use futures::future::join_all;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let dir = std::env::args().nth(1).ok_or("usage: members DIR [called]")?;
    runtime.block_on(run(Path::new(&dir)))
}

async fn run(dir: &Path) -> Result<(), Failed> {
    let env = Env::system();
    if std::env::args().nth(2).is_some_and(|only| only == "called") {
        return called(dir, &env).await;
    }
    let engine = Engine::open(dir.join("engine"), Options::default(), env.clone())?;
    measure("engine", engine.clone(), &env).await;
    engine.close().await;
    let one = Replica::open(Settings::new(dir.join("one")), env.clone()).await?;
    measure("members-1", Arc::new(one.clone()), &env).await;
    one.close().await;
    called(dir, &env).await?;
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

async fn called(dir: &Path, env: &Env) -> Result<(), Failed> {
    let one = Replica::open(Settings::new(dir.join("called")), env.clone()).await?;
    for clients in [1, 64, 1000] {
        call(&one, env, clients).await;
    }
    one.close().await;
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

/// Writes by call backs.
async fn call(replica: &Replica, env: &Env, clients: u64) {
    let (start, before) = (env.clock.now(), processor_time());
    let mut connections = JoinSet::new();
    for first in (0..clients).step_by(10) {
        let those = first..clients.min(first + 10);
        connections.spawn(connection(replica.clone(), env.clone(), those));
    }
    let done: u64 = connections.join_all().await.into_iter().sum();
    let (took, spent) = (env.clock.now() - start, processor_time().saturating_sub(before));
    println!(
        "put/called clients={clients} value=1KiB ops/s={:.0} processor-us={:.1}",
        done as f64 / took.as_secs_f64(),
        spent.as_secs_f64() * 1e6 / done as f64
    );
}

async fn connection(replica: Replica, env: Env, clients: std::ops::Range<u64>) -> u64 {
    let (start, mut done) = (env.clock.now(), 0);
    let value = Bytes::from(vec![b'x'; 1024]);
    let (told, mut answers) = mpsc::unbounded_channel();
    let ask = |client: u64, done: u64| {
        let put = TxnOp::Put {
            key: Bytes::from(format!("/bench/{client:04}/{:04}", done % 156)),
            value: Some(value.clone()),
            lease: Some(0),
            prev: false,
        };
        let told = told.clone();
        replica.transact_then(&Who::default(), Txn::of(put), move |answer| {
            // The connection has ended.
            let _ = told.send((client, answer.is_ok()));
        });
    };
    let mut under_way = clients.end - clients.start;
    clients.for_each(|client| ask(client, 0));
    let mut inbox = Vec::new();
    while under_way > 0 && answers.recv_many(&mut inbox, 64).await > 0 {
        let over = env.clock.now() - start > Duration::from_secs(3);
        for (client, was_done) in inbox.drain(..) {
            done += u64::from(was_done);
            match over || !was_done {
                true => under_way -= 1,
                false => ask(client, done),
            }
        }
    }
    done
}

/// The processor time that this process has taken.
fn processor_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let spent = threads.filter_map(|thread| {
        let told = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        told.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}
