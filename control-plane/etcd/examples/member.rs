//! A member of its own without the rest of the binary, to be measured: takes the flags of `ferrokube etcd` that matter for that.

use component::Env;
use etcd::{
    replica::{self, Replica},
    server::{Listener, Member, Settings},
};
use std::time::Duration;
use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let flag = |name: &str| {
        let start = format!("--{name}=");
        std::env::args()
            .find_map(|argument| argument.strip_prefix(&start).map(str::to_owned))
            .ok_or(format!("{start}... is missing"))
    };
    let (env, client) = (Env::system(), flag("listen-client-urls")?);
    let settings = replica::Settings::new(flag("data-dir")?);
    let replica = Replica::open(settings, env.clone()).await?;
    let settings = Settings {
        quota: 0,
        max_request_bytes: 1536 << 10,
        max_txn_ops: 128,
        progress_interval: Duration::from_secs(600),
        ..Settings::default()
    };
    let member = Member::new(replica.clone(), settings, env.clone());
    let listener = TcpListener::bind(client.trim_start_matches("http://")).await?;
    let serving = Listener::new(member, None, env.clone())?;
    env.tasks.spawn_draining("etcd", serving.serve(listener));
    let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    ended.recv().await;
    env.tasks.stop();
    replica.close().await;
    env.tasks.drain(Duration::from_secs(60)).await;
    Ok(())
}
