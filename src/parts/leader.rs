//! Work for the one that holds the Lease.

use super::{health, part::Choice, way};
use anyhow::{Result, bail};
use api::Key;
use client::{Client, Endpoint, Recorder, election};
use component::{Env, State, flags::Settings};

/// What kind of lock is taken.
pub const LOCK: Choice = Choice::new("leader-elect-resource-lock", &["leases"], "leaders hold Leases");

/// Upstream's factor of the retry period.
const JITTER: f64 = 1.2;

/// Serves the health of a part and, once it leads, does its `work` over a client of `endpoint`.
pub async fn run(
    name: &'static str,
    settings: &Settings,
    endpoint: Endpoint,
    env: &Env,
    work: impl FnOnce(&Client, &Env) + Send + 'static,
) -> Result<()> {
    let client = way::client(endpoint, name, env)?;
    health::serve(name, settings, env).await?;
    let inner = client.clone();
    lead(name, settings, client, env, move |env| work(&inner, env))
}

/// Does `work` in a branch of `env`, once this process leads. A leader that lost its Lease fails, so that the process
/// ends: nothing of its work may go on.
fn lead(
    name: &'static str,
    settings: &Settings,
    client: Client,
    env: &Env,
    work: impl FnOnce(&Env) + Send + 'static,
) -> Result<()> {
    if !settings.bool("leader-elect") {
        work(env);
        return Ok(());
    }
    let host = crate::address::node_name()?;
    let config = config(name, settings, format!("{host}_{}", env.random.uuid()))?;
    let recorder = Recorder::start(&client, name, &host, env);
    let outer = env.clone();
    env.tasks.spawn_draining("leader", async move {
        let watched = outer.clone();
        let work = move |branch: &Env| {
            work(branch);
            watch(name, branch.clone(), &watched);
        };
        if election::run(&client, config, &outer, Some(&recorder), work).await == election::Ended::Lost {
            outer
                .ready
                .set("leader", State::Failed(format!("{name} lost its Lease")));
        }
    });
    Ok(())
}

/// Work that stopped by itself has panicked; to go on leading would be to do nothing.
fn watch(name: &'static str, branch: Env, env: &Env) {
    let outer = env.clone();
    env.tasks.spawn("leader-watch", async move {
        branch.tasks.stopping().await;
        if !outer.tasks.is_stopping() {
            outer.ready.set(
                "leader",
                State::Failed(format!("{name} no longer leads, or a task of it panicked")),
            );
        }
    });
}

fn config(name: &str, settings: &Settings, identity: String) -> Result<election::Config> {
    let (lease, renew, retry) = (
        settings.duration("leader-elect-lease-duration"),
        settings.duration("leader-elect-renew-deadline"),
        settings.duration("leader-elect-retry-period"),
    );
    if lease <= renew {
        bail!("--leader-elect-lease-duration must be greater than --leader-elect-renew-deadline");
    }
    if renew <= retry.mul_f64(JITTER) || retry.is_zero() {
        bail!(
            "--leader-elect-renew-deadline must be greater than --leader-elect-retry-period times {JITTER}"
        );
    }
    let own = settings.text("leader-elect-resource-name");
    let own = if own.is_empty() { name } else { own };
    Ok(election::Config {
        lease: Key::new(settings.text("leader-elect-resource-namespace"), own),
        lease_duration: lease,
        renew_deadline: renew,
        retry_period: retry,
        ..election::Config::new(name, &identity)
    })
}
