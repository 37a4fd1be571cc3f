//! kube-proxy alone.

use super::{
    config::ConfigKind,
    flags::{CLIENT, KUBE_PROXY, KUBE_PROXY_FILE, PROCESS},
    part::{Choice, Part},
    way,
};
use anyhow::{Context, Result};
use component::{Env, State, flags::Settings};
use proxy::{Config, nftables::Nftables};
use std::net::SocketAddr;

const NAME: &str = "kube-proxy";

/// The part.
pub const PART: Part = Part {
    name: NAME,
    tables: &[KUBE_PROXY, KUBE_PROXY_FILE, CLIENT, PROCESS],
    choices: &[
        Choice::new("proxy-mode", &["nftables"], "rules are written by nftables alone"),
        Choice::new(
            "detect-local-mode",
            &["ClusterCIDR"],
            "local traffic is told by --cluster-cidr alone",
        ),
    ],
    config: Some(ConfigKind {
        api_version: "kubeproxy.config.k8s.io/v1alpha1",
        kind: "KubeProxyConfiguration",
    }),
    start: |settings, env, _| Box::pin(start(settings, env)),
};

async fn start(settings: Settings, env: Env) -> Result<()> {
    if settings.bool("cleanup") {
        Nftables::purge()?;
        env.tasks.stop();
        return Ok(());
    }
    let config = config(&settings)?;
    let client = way::client(way::endpoint(&settings)?, NAME, &env)?;
    let inner = env.clone();
    env.tasks.spawn_draining("proxy", async move {
        if let Err(error) = proxy::run(client, inner.clone(), config).await {
            inner.ready.set("proxy", State::Failed(error.to_string()));
        }
    });
    Ok(())
}

fn config(settings: &Settings) -> Result<Config> {
    let node = match settings.text("hostname-override") {
        "" => crate::address::node_name()?,
        name => name.to_owned(),
    };
    let mut cluster_cidrs = Vec::new();
    for cidr in settings.list("cluster-cidr") {
        cluster_cidrs.push(
            cidr.parse()
                .map_err(|e| anyhow::anyhow!("--cluster-cidr={cidr}: {e}"))?,
        );
    }
    let healthz: Option<SocketAddr> = match settings.text("healthz-bind-address") {
        "" => None,
        text => Some(
            text.parse()
                .with_context(|| format!("--healthz-bind-address={text}"))?,
        ),
    };
    Ok(Config {
        node,
        cluster_cidrs,
        healthz,
    })
}
