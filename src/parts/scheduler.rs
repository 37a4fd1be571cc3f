//! kube-scheduler alone.

use super::{
    config::ConfigKind,
    flags::{CLIENT, DELEGATED, ELECTION, KUBE_SCHEDULER, KUBE_SCHEDULER_FILE, PROCESS, SERVING},
    leader,
    part::{Choice, Part},
    way,
};
use anyhow::Result;
use api::decision::Ring;
use client::Client;
use component::{Env, flags::Settings};

const NAME: &str = scheduler::NAME;

/// The part.
pub const PART: Part = Part {
    name: NAME,
    tables: &[
        KUBE_SCHEDULER,
        KUBE_SCHEDULER_FILE,
        CLIENT,
        ELECTION,
        SERVING,
        DELEGATED,
        PROCESS,
    ],
    choices: &[
        leader::LOCK,
        Choice::new("tls-min-version", &["VersionTLS12"], "TLS 1.2 and 1.3 are spoken"),
    ],
    config: Some(ConfigKind {
        api_version: "kubescheduler.config.k8s.io/v1",
        kind: "KubeSchedulerConfiguration",
    }),
    start: |settings, env, _| Box::pin(start(settings, env)),
};

async fn start(settings: Settings, env: Env) -> Result<()> {
    let endpoint = way::endpoint(&settings)?;
    let work = |client: &Client, env: &Env| {
        scheduler::start(client, scheduler::Config::default(), Ring::default(), env);
    };
    leader::run(NAME, &settings, endpoint, &env, work).await
}
