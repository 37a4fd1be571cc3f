//! Work for the one that holds the Lease.

use super::{
    pages::Pages,
    part::Choice,
    tls,
    trust::{self, Trusted},
    way,
};
use anyhow::{Context, Result, anyhow, bail};
use api::Key;
use client::{Client, Endpoint, Recorder, election};
use component::{Env, State, flags::Settings, gates::Gates};
use std::{net::SocketAddr, path::PathBuf};

/// What kind of lock is taken.
pub const LOCK: Choice = Choice::new("leader-elect-resource-lock", &["leases"], "leaders hold Leases");

/// Upstream's factor of the retry period.
const JITTER: f64 = 1.2;

/// Serves the pages of a part and, once it leads, does its `work` over a client of `endpoint`.
pub async fn run(
    name: &'static str,
    settings: &Settings,
    endpoint: Endpoint,
    env: &Env,
    work: impl FnOnce(&Client, &Env) + Send + 'static,
) -> Result<()> {
    let client = way::client(endpoint, name, env)?;
    let gates = Gates::parse(&settings.map("feature-gates")).map_err(|why| anyhow!(why))?;
    gates.tell(&env.metrics);
    if let Some(pages) = pages(name, settings, &client, env).await? {
        pages.serve(env).await?;
    }
    let inner = client.clone();
    lead(name, settings, client, env, move |env| work(&inner, env))
}

/// The pages at `--bind-address` and `--secure-port`; port 0: none.
async fn pages(name: &'static str, settings: &Settings, client: &Client, env: &Env) -> Result<Option<Pages>> {
    let port = u16::try_from(settings.int("secure-port")).context("--secure-port")?;
    if port == 0 {
        return Ok(None);
    }
    let address = settings.text("bind-address").parse().context("--bind-address")?;
    let dir = match settings.text("cert-dir") {
        "" => PathBuf::from("/run/ferrokube/certificates").join(name),
        dir => dir.into(),
    };
    let names = vec![
        crate::address::node_name()?,
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
    ];
    let leaf = tls::serving(settings, &dir, names, env)?;
    let tokens = asker("authentication-kubeconfig", settings, client, env)?;
    let access = asker("authorization-kubeconfig", settings, client, env)?;
    let trusted = match tls::optional_file(settings, "client-ca-file")? {
        Some(ca) => Trusted::Given(Some(ca)),
        None if settings.bool("authentication-skip-lookup") => Trusted::Given(None),
        None => Trusted::LookedUp {
            client: tokens.clone(),
            tolerant: settings.bool("authentication-tolerate-lookup-failure"),
        },
    };
    Ok(Some(Pages {
        name,
        address: SocketAddr::new(address, port),
        tls: trust::follow(leaf, trusted, env).await?,
        tokens,
        access,
        open: settings.list("authorization-always-allow-paths"),
    }))
}

/// Who asks the API server about those who come to the pages; the part itself when no kubeconfig is given.
fn asker(flag: &str, settings: &Settings, own: &Client, env: &Env) -> Result<Client> {
    match settings.text(flag) {
        "" => Ok(own.clone()),
        path => {
            let endpoint = client::kubeconfig::read(path.as_ref(), None);
            way::client(
                endpoint.with_context(|| format!("--{flag} {path}"))?,
                own.manager(),
                env,
            )
        }
    }
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
