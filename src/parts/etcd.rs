//! etcd alone: the store as a server that speaks etcd's own interface.

use super::{
    flags::{ETCD, PROCESS},
    part::{Choice, Part},
    tls,
};
use anyhow::{Context, Result, bail};
use component::{
    Env, State,
    flags::{Settings, parse_duration},
    pki::Leaf,
};
use etcd::{
    Compactor, Engine, Options,
    server::{self, Listener, Member},
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::net::{TcpListener, lookup_host};

/// The part.
pub const PART: Part = Part {
    name: "etcd",
    tables: &[ETCD, PROCESS],
    choices: &[Choice::new(
        "auto-compaction-mode",
        &["periodic"],
        "revisions are kept by time",
    )],
    config: None,
    start: |settings, env, base| Box::pin(start(settings, env, base)),
};

async fn start(settings: Settings, env: Env, base: Env) -> Result<()> {
    let urls = settings.list("listen-client-urls");
    let advertised = settings.list("advertise-client-urls");
    let leaf = tls::pair(&settings, "cert-file", "key-file")?;
    let secure = leaf
        .as_ref()
        .map(|leaf| server_config(&settings, leaf))
        .transpose()?;
    let mut listeners = Vec::new();
    for url in &urls {
        listeners.push(bind(url, secure.is_some()).await?);
    }
    let engine = open(&settings, &base)?;
    let kept = retention(settings.text("auto-compaction-retention"))?;
    if !kept.is_zero() {
        let (compactor, clock) = (Compactor::new(engine.clone(), false), env.clone());
        env.tasks
            .spawn("compactor", async move { compactor.run(kept, clock).await });
    }
    let member = Member::new(engine, member_settings(&settings, advertised), env.clone());
    for (listener, is_secure) in listeners {
        let tls = secure.clone().filter(|_| is_secure);
        let serving = Listener::new(member.clone(), tls, env.clone())?;
        env.tasks.spawn_draining("etcd", serving.serve(listener));
    }
    for url in settings.list("listen-metrics-urls") {
        let (listener, is_secure) = bind(&url, secure.is_some()).await?;
        let tls = secure.clone().filter(|_| is_secure);
        let serving = Listener::new(member.clone(), tls, env.clone())?;
        env.tasks.spawn_draining("etcd-metrics", serving.serve(listener));
    }
    env.ready.set("etcd", State::Ready);
    tracing::info!(
        urls = urls.join(","),
        name = settings.text("name"),
        "serving client traffic"
    );
    Ok(())
}

fn member_settings(settings: &Settings, advertised: Vec<String>) -> server::Settings {
    let number = |flag| u64::try_from(settings.int(flag)).unwrap_or(0);
    server::Settings {
        name: settings.text("name").to_owned(),
        client_urls: advertised,
        peer_urls: settings.list("initial-advertise-peer-urls"),
        token: settings.text("initial-cluster-token").to_owned(),
        quota: number("quota-backend-bytes"),
        max_request_bytes: number("max-request-bytes") as usize,
        max_txn_ops: number("max-txn-ops") as usize,
        progress_interval: settings.duration("experimental-watch-progress-notify-interval"),
    }
}

/// How long old revisions are kept: a number of hours, or a duration.
fn retention(text: &str) -> Result<Duration> {
    let hours = text
        .parse()
        .ok()
        .map(|hours: u64| Duration::from_secs(hours.saturating_mul(3600)));
    hours
        .or_else(|| parse_duration(text))
        .with_context(|| format!("--auto-compaction-retention={text}: not a number of hours and no duration"))
}

/// Listens at the address of a URL; whether with TLS.
async fn bind(url: &str, have_certificate: bool) -> Result<(TcpListener, bool)> {
    let (secure, address) = match url.split_once("://") {
        Some(("http", address)) => (false, address),
        Some(("https", address)) => (true, address),
        _ => bail!("{url:?} is not http://host:port or https://host:port"),
    };
    if secure && !have_certificate {
        bail!("{url} needs --cert-file and --key-file");
    }
    let address = address.trim_end_matches('/');
    let found = lookup_host(address)
        .await
        .with_context(|| format!("{url}: no address"))?;
    let found: Vec<_> = found.collect();
    let listener = TcpListener::bind(found.as_slice())
        .await
        .with_context(|| format!("cannot listen at {url}"))?;
    Ok((listener, secure))
}

/// TLS of the certificate; clients must show one too if they are asked for it.
fn server_config(settings: &Settings, leaf: &Leaf) -> Result<Arc<ServerConfig>> {
    let ca = tls::optional_file(settings, "trusted-ca-file")?;
    if !settings.bool("client-cert-auth") {
        return tls::server(leaf, ca.as_deref());
    }
    let ca = ca.context("--client-cert-auth needs --trusted-ca-file")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.context("--trusted-ca-file")?)?;
    }
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let (chain, key) = leaf.der()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .context("--cert-file")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Opens the store. It is closed when `base` drains, after the server.
fn open(settings: &Settings, base: &Env) -> Result<Arc<Engine>> {
    let dir = match settings.text("data-dir") {
        "" => format!("{}.etcd", settings.text("name")),
        dir => dir.to_owned(),
    };
    let dir = Path::new(&dir).join("store");
    let options = Options {
        durable_leases: true,
        max_value_bytes: usize::MAX,
        first_revision: 1,
        ..Options::default()
    };
    let inner = base.child();
    let engine = Engine::open(&dir, options, inner.clone())?;
    let (closing, tasks) = (engine.clone(), base.tasks.clone());
    base.tasks.spawn_draining("store", async move {
        tasks.stopping().await;
        closing.close().await;
        inner.tasks.drain(Duration::from_secs(5)).await;
    });
    Ok(engine)
}
