//! kube-controller-manager alone.

use super::{
    flags::{CLIENT, DELEGATED, ELECTION, KUBE_CONTROLLER_MANAGER, PROCESS, SERVING},
    leader,
    part::{Choice, Part},
    tls, way,
};
use anyhow::{Context, Result, anyhow, bail};
use api::decision::Ring;
use client::Client;
use component::{Env, flags::Settings};
use controller_manager::{Config, Signer};
use std::sync::Arc;

const NAME: &str = controller_manager::NAME;

/// The part.
pub const PART: Part = Part {
    name: NAME,
    tables: &[
        KUBE_CONTROLLER_MANAGER,
        CLIENT,
        ELECTION,
        SERVING,
        DELEGATED,
        PROCESS,
    ],
    choices: &[
        leader::LOCK,
        Choice::new("tls-min-version", &["VersionTLS12"], "TLS 1.2 and 1.3 are spoken"),
        Choice::new("controllers", &["*"], "controllers run together"),
        Choice::new("allocate-node-cidrs", &["true"], "nodes always get their range"),
        Choice::new(
            "cidr-allocator-type",
            &["RangeAllocator"],
            "there is no other allocator",
        ),
        Choice::new("enable-garbage-collector", &["true"], "it always runs"),
        Choice::new(
            "configure-cloud-routes",
            &["false"],
            "routes are the cloud controller manager's",
        ),
        Choice::new(
            "cloud-provider",
            &["", "external"],
            "clouds are the cloud controller manager's",
        ),
    ],
    config: None,
    start: |settings, env, _| Box::pin(start(settings, env)),
};

async fn start(settings: Settings, env: Env) -> Result<()> {
    let endpoint = way::endpoint(&settings)?;
    let root_ca = tls::optional_file(&settings, "root-ca-file")?.unwrap_or_else(|| endpoint.ca.clone());
    let config = config(&settings, root_ca)?;
    let work = move |client: &Client, env: &Env| {
        drop(controller_manager::start(client, config, Ring::default(), env));
    };
    leader::run(NAME, &settings, endpoint, &env, work).await
}

fn config(settings: &Settings, root_ca: String) -> Result<Config> {
    let cluster_cidr = crate::settings::range(settings.text("cluster-cidr")).context("--cluster-cidr")?;
    let node_cidr_prefix = u8::try_from(settings.int("node-cidr-mask-size")).unwrap_or_default();
    if !(cluster_cidr.1..=30).contains(&node_cidr_prefix) {
        bail!(
            "--node-cidr-mask-size must be from {} (the size of --cluster-cidr) to 30",
            cluster_cidr.1
        );
    }
    let token_key = tls::optional_file(settings, "service-account-private-key-file")?
        .map(|pem| component::jwt::Key::from_pem(&pem).map(Arc::new))
        .transpose()
        .map_err(|error| anyhow!("--service-account-private-key-file: {error}"))?;
    let signer = tls::pair(settings, "cluster-signing-cert-file", "cluster-signing-key-file")?
        .map(|ca| Signer::new(&ca.certificate, &ca.key).map(Arc::new))
        .transpose()
        .context("--cluster-signing-cert-file, --cluster-signing-key-file")?;
    Ok(Config {
        root_ca,
        signer,
        token_key,
        cluster_cidr,
        node_cidr_prefix,
        resources: crate::cluster::collectable().fixed(),
    })
}
