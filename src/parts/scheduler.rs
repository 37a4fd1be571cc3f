//! kube-scheduler alone.

use super::{
    config::ConfigKind,
    flags::{CLIENT, DELEGATED, ELECTION, KUBE_SCHEDULER, KUBE_SCHEDULER_FILE, PROCESS, SERVING},
    health, leader,
    part::{Choice, Part},
    way,
};
use anyhow::Result;
use api::decision::Ring;
use component::{Env, flags::Settings};

/// The part.
pub const PART: Part = Part {
    name: scheduler::NAME,
    tables: &[KUBE_SCHEDULER, KUBE_SCHEDULER_FILE, CLIENT, ELECTION, SERVING, DELEGATED, PROCESS],
    choices: &[leader::LOCK, Choice::new("tls-min-version", &["VersionTLS12"], "TLS 1.2 and 1.3 are spoken")],
    config: Some(ConfigKind { api_version: "kubescheduler.config.k8s.io/v1", kind: "KubeSchedulerConfiguration" }),
    start: |settings, env, _| Box::pin(start(settings, env)),
};

async fn start(settings: Settings, env: Env) -> Result<()> {
    let client = way::client(way::endpoint(&settings)?, PART.name, &env)?;
    health::serve(PART.name, &settings, &env).await?;
    let work = {
        let (client, env) = (client.clone(), env.clone());
        move || scheduler::start(&client, scheduler::Config::default(), Ring::default(), &env)
    };
    leader::lead(PART.name, &settings, client, &env, work)
}
