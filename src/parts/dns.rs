//! Cluster DNS alone.

use super::{
    flags::{CLIENT, DNS, PROCESS},
    part::Part,
    way,
};
use anyhow::{Context, Result};
use component::{Env, State, flags::Settings};
use dns::Config;

/// The part.
pub const PART: Part = Part {
    name: "dns",
    tables: &[DNS, CLIENT, PROCESS],
    choices: &[],
    config: None,
    start: |settings, env, _| Box::pin(start(settings, env)),
};

async fn start(settings: Settings, env: Env) -> Result<()> {
    let (mut listen, mut service_ips) = (Vec::new(), Vec::new());
    for address in settings.list("listen") {
        listen.push(address.parse().with_context(|| format!("--listen={address}"))?);
    }
    for address in settings.list("cluster-dns") {
        service_ips.push(
            address
                .parse()
                .with_context(|| format!("--cluster-dns={address}"))?,
        );
    }
    let config = Config {
        listen,
        domain: settings.text("cluster-domain").to_owned(),
        service_ips,
        resolv_conf: settings.text("resolv-conf").into(),
    };
    let client = way::client(way::endpoint(&settings)?, "dns", &env)?;
    let inner = env.clone();
    env.tasks.spawn_draining("dns", async move {
        if let Err(error) = dns::run(client, inner.clone(), config).await {
            inner.ready.set("dns", State::Failed(error.to_string()));
        }
    });
    Ok(())
}
