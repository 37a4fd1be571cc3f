//! kube-apiserver alone, with the store in its process or at etcd.

use super::{
    audit, authentication, dial,
    flags::{
        KUBE_APISERVER, KUBE_APISERVER_AUDIT, KUBE_APISERVER_SECURITY, KUBE_APISERVER_STORE, PROCESS, SERVING,
    },
    guards,
    part::{Choice, Part},
    store, tls,
};
use anyhow::{Context, Result, anyhow, bail};
use api::decision::Ring;
use apiserver::{
    Server, admission, aggregate,
    security::{self, RequestHeader, Trust},
};
use component::{
    Env, State,
    flags::Settings,
    gates::Gates,
    pki::{client_certificate, client_config},
};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpListener;

/// The part.
pub const PART: Part = Part {
    name: "kube-apiserver",
    tables: &[
        KUBE_APISERVER,
        KUBE_APISERVER_SECURITY,
        KUBE_APISERVER_STORE,
        KUBE_APISERVER_AUDIT,
        SERVING,
        PROCESS,
    ],
    choices: &[
        Choice::new(
            "allow-privileged",
            &["true"],
            "privileged containers cannot be forbidden yet",
        ),
        Choice::new(
            "service-account-lookup",
            &["true"],
            "tokens always end with their service account",
        ),
        Choice::new("storage-backend", &["", "etcd3"], "there is no other"),
        Choice::new("tls-min-version", &["VersionTLS12"], "TLS 1.2 and 1.3 are spoken"),
    ],
    config: None,
    start: |settings, env, base| Box::pin(start(settings, env, base)),
};

async fn start(settings: Settings, env: Env, base: Env) -> Result<()> {
    let deciders = guards::read(&settings, &env)?;
    let audit = audit::open(&settings, &env)?;
    let port = u16::try_from(settings.int("secure-port")).context("--secure-port")?;
    let address: IpAddr = settings.text("bind-address").parse().context("--bind-address")?;
    let advertise = advertise(&settings, address)?;
    let leaf = tls::pair(&settings, "tls-cert-file", "tls-private-key-file")?;
    let leaf = leaf.context("--tls-cert-file and --tls-private-key-file are needed")?;
    let trust = trust(&settings)?;
    let serving = tls::asking(&leaf)?;
    let proxy = tls::pair(&settings, "proxy-client-cert-file", "proxy-client-key-file")?;
    let certificate = proxy.as_ref().map(client_certificate).transpose()?;
    let aggregate = aggregate::Settings {
        certificate,
        trust: trust.clone(),
    };
    let admission = admission::Settings {
        enable: settings.list("enable-admission-plugins"),
        disable: settings.list("disable-admission-plugins"),
        configuration: admission_configuration(settings.text("admission-control-config-file"))?,
    };
    admission
        .check()
        .map_err(|why| anyhow!("admission plugins: {why}"))?;
    let kubelet_tls = kubelet_tls(&settings)?;
    let signing = signing(&settings, &env, trust)?;
    let oidc = signing
        .documents(&format!("https://{advertise}:{port}"))
        .map_err(|e| anyhow!("--service-account-signing-key-file: {e}"))?;
    let address = SocketAddr::new(address, port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen at {address}"))?;

    let runtime = resources::Runtime::parse(&settings.list("runtime-config")).map_err(anyhow::Error::msg)?;
    let store = store::open(&settings, &env, &base).await?;
    let (sealing, reload) = (
        settings.text("encryption-provider-config"),
        settings.bool("encryption-provider-config-automatic-reload"),
    );
    let sealing = (!sealing.is_empty()).then(|| Path::new(sealing));
    let (store, sealing) = crate::encryption::seal(store, sealing, reload, &env).await?;
    let (nodes, records) = (dial::Nodes::default(), Ring::default());
    let config = apiserver::Config {
        build: crate::build_info::info(),
        limits: limits(&settings)?,
        gates: Gates::parse(&settings.map("feature-gates")).map_err(anyhow::Error::msg)?,
        rows: runtime.rows(),
        surface: surface(&settings, &runtime)?,
        store,
        security: Box::new(move |reader| {
            let security = deciders.fit(security::standard(&reader, signing)?, &reader)?;
            Ok(security::Security { audit, ..security })
        }),
        dial: Arc::new(dial::to(nodes.clone())),
        kubelet_tls,
        service_cidr: settings.text("service-cluster-ip-range").to_owned(),
        advertise: (advertise, port),
        records: Some(Arc::new(move || {
            records.recent().iter().map(|r| (**r).clone()).collect()
        })),
        oidc: Some(oidc),
        aggregate,
        admission,
    };
    let server = Server::start(config, env.clone()).await?;
    if let Some((sealed, reloads)) = sealing {
        server.tell_health_of(sealed, reloads);
    }
    // Set once: here.
    let _ = nodes.set(server.reader());
    server.bootstrap().await?;
    env.tasks.spawn_draining(
        "kube-apiserver",
        async move { server.serve(listener, serving).await },
    );
    env.ready.set("kube-apiserver", State::Ready);
    tracing::info!(%address, "serving");
    Ok(())
}

/// The address that clients inside the cluster are given.
fn advertise(settings: &Settings, bind: IpAddr) -> Result<IpAddr> {
    match settings.text("advertise-address") {
        "" if bind.is_unspecified() => Ok(crate::address::node_ip()
            .context("say --advertise-address")?
            .into()),
        "" => Ok(bind),
        text => text.parse().context("--advertise-address"),
    }
}

/// What is set of what the server offers.
fn surface(settings: &Settings, runtime: &resources::Runtime) -> Result<apiserver::Surface> {
    let range = settings.text("service-node-port-range");
    let ports = || {
        let (first, last) = range.split_once('-')?;
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        (first > 0 && first <= last).then_some(first..=last)
    };
    Ok(apiserver::Surface {
        virtual_resources: runtime.virtual_resources(),
        node_ports: ports()
            .with_context(|| format!("--service-node-port-range: {range:?} is no range of ports"))?,
        event_ttl: settings.duration("event-ttl"),
    })
}

/// Whose certificates are taken, and for what.
fn trust(settings: &Settings) -> Result<Trust> {
    let ca = tls::optional_file(settings, "requestheader-client-ca-file")?;
    let list = |flag| settings.list(flag);
    Ok(Trust {
        client_ca: tls::optional_file(settings, "client-ca-file")?.unwrap_or_default(),
        request_header: ca.map(|ca| RequestHeader {
            ca,
            allowed_names: list("requestheader-allowed-names"),
            username_headers: list("requestheader-username-headers"),
            group_headers: list("requestheader-group-headers"),
            uid_headers: list("requestheader-uid-headers"),
            extra_prefixes: list("requestheader-extra-headers-prefix"),
        }),
    })
}

fn limits(settings: &Settings) -> Result<apiserver::Limits> {
    let count =
        |flag| usize::try_from(settings.int(flag)).with_context(|| format!("--{flag}: less than nothing"));
    let limits = apiserver::Limits {
        request_timeout: settings.duration("request-timeout"),
        reads: count("max-requests-inflight")?,
        writes: count("max-mutating-requests-inflight")?,
        fairness: settings.bool("enable-priority-and-fairness"),
        list_bytes: count("list-bytes-inflight")?,
        health_timeout: settings.duration("etcd-healthcheck-timeout"),
        ready_timeout: settings.duration("etcd-readycheck-timeout"),
        min_request_timeout: Duration::from_secs(u64::try_from(count("min-request-timeout")?)?),
        streams: u32::try_from(count("http2-max-streams-per-connection")?)?,
        goaway_chance: settings
            .text("goaway-chance")
            .parse()
            .context("--goaway-chance")?,
        shutdown_delay: settings.duration("shutdown-delay-duration"),
        shutdown_retry_after: settings.bool("shutdown-send-retry-after"),
    };
    if !(0.0..=0.02).contains(&limits.goaway_chance) {
        bail!("--goaway-chance can not be less than 0 or greater than 0.02");
    }
    if limits.fairness && limits.reads + limits.writes == 0 {
        bail!(
            "--max-requests-inflight and --max-mutating-requests-inflight: with --enable-priority-and-fairness their \
             sum must be positive"
        );
    }
    Ok(limits)
}

/// What the admission plugins are told, if there is a file.
fn admission_configuration(path: &str) -> Result<admission::Configuration> {
    if path.is_empty() {
        return Ok(admission::Configuration::default());
    }
    let beside = |name: &str| {
        let parent = std::path::Path::new(path)
            .parent()
            .unwrap_or(std::path::Path::new(""));
        std::fs::read_to_string(parent.join(name)).map_err(|e| e.to_string())
    };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    admission::Configuration::parse(&text, beside)
        .map_err(|why| anyhow!("failed to read plugin config: {path}: {why}"))
}

fn signing(settings: &Settings, env: &Env, trust: Trust) -> Result<security::Settings> {
    Ok(security::Settings {
        signing_key: tls::file(settings, "service-account-signing-key-file")?,
        issuers: authentication::issuers(settings)?,
        audiences: settings.list("api-audiences"),
        trust,
        authentication: authentication::read(settings, env)?,
        env: env.clone(),
    })
}

fn kubelet_tls(settings: &Settings) -> Result<Option<Arc<rustls::ClientConfig>>> {
    let leaf = tls::pair(settings, "kubelet-client-certificate", "kubelet-client-key")?;
    match (
        tls::optional_file(settings, "kubelet-certificate-authority")?,
        leaf,
    ) {
        (None, None) => Ok(None),
        (None, Some(_)) => bail!("--kubelet-certificate-authority is needed: kubelets are always verified"),
        (Some(ca), leaf) => Ok(Some(Arc::new(client_config(&ca, leaf.as_ref())?))),
    }
}
