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
use controller_manager::{Config, Signer, Signers, gc::Resources};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const NAME: &str = controller_manager::NAME;

/// How long to wait for an API server that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

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
        let (client, inner) = (client.clone(), env.clone());
        env.tasks.spawn("controllers", async move {
            let resources = served(&client, &inner).await.fixed();
            let config = Config { resources, ..config };
            drop(controller_manager::start(
                &client,
                config,
                Ring::default(),
                &inner,
            ));
        });
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
    let token_clean_up = settings.duration("legacy-service-account-token-clean-up-period");
    if token_clean_up.is_zero() {
        bail!("--legacy-service-account-token-clean-up-period must be more than 0");
    }
    let signers = signers(settings)?;
    Ok(Config {
        root_ca,
        signers,
        token_key,
        cluster_cidr,
        node_cidr_prefix,
        token_clean_up,
        // They are asked for once this process leads.
        resources: Resources::default().fixed(),
    })
}

/// The built-in resources that the API server serves.
async fn served(client: &Client, env: &Env) -> Resources {
    let Resources(mut known) = crate::cluster::collectable(resources::table());
    let versions = known
        .iter()
        .map(|one| (one.gvr.group.to_string(), one.gvr.version.to_string()));
    let versions: BTreeSet<(String, String)> = versions.collect();
    for (group, version) in versions {
        let found = loop {
            let answer = client.transport().discover(group.clone(), version.clone());
            match answer.await {
                Ok(found) => break found,
                Err(status) if status.is_not_found() => break Vec::new(),
                Err(error) => {
                    tracing::warn!(%error, group, version, "the API server does not say what it has")
                }
            }
            env.clock.sleep(PAUSE).await;
        };
        known.retain(|one| {
            let of = one.gvr.group == group && one.gvr.version == version;
            !of || found.iter().any(|found| found.name == one.gvr.resource)
        });
    }
    Resources(known)
}

/// Who signs: one CA for all, or one each.
fn signers(settings: &Settings) -> Result<Signers> {
    let signer = |what: &str| {
        let names = ["cert", "key"].map(|part| format!("cluster-signing-{what}{part}-file"));
        match [&names[0], &names[1]].map(|name| settings.text(name)) {
            ["", ""] => Ok(None),
            ["", _] | [_, ""] => bail!(
                "--{} and --{} are given together or not at all",
                names[0],
                names[1]
            ),
            [certificate, key] => Signer::open(certificate.as_ref(), key.as_ref())
                .map(Some)
                .with_context(|| format!("--{}, --{}", names[0], names[1])),
        }
    };
    let each = |what: &str| Ok::<_, anyhow::Error>(signer(what)?.map(Arc::new));
    let signers = Signers {
        client: each("kube-apiserver-client-")?,
        kubelet_client: each("kubelet-client-")?,
        kubelet_serving: each("kubelet-serving-")?,
        legacy_unknown: each("legacy-unknown-")?,
        ..Signers::default()
    };
    let longest = settings.duration("cluster-signing-duration").try_into();
    let longest = longest.context("--cluster-signing-duration")?;
    let any = [
        &signers.client,
        &signers.kubelet_client,
        &signers.kubelet_serving,
        &signers.legacy_unknown,
    ];
    let any = any.iter().any(|signer| signer.is_some());
    let signers = match signer("")? {
        Some(_) if any => bail!(
            "cannot specify --cluster-signing-{{cert,key}}-file and other --cluster-signing-*-file flags at the same time"
        ),
        Some(one) => Signers::one(one),
        None => signers,
    };
    Ok(Signers { longest, ..signers })
}
