//! etcd alone: the store as a server that speaks etcd's own interface, of one member or several.

use super::{
    flags::{ETCD, PROCESS, SNAPSHOTS},
    part::{Choice, Part},
    snapshots, tls,
};
use anyhow::{Context, Result, bail};
use component::{
    Env, State,
    flags::{Settings, parse_duration},
    pki::{self, Leaf},
};
use etcd::{
    Compactor, Unsynced,
    replica::{self, PeerTls, Replica, peer::PeerListener},
    server::{self, Listener, Member, Tokens},
};
use futures::future::BoxFuture;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{sync::Arc, time::Duration};
use tokio::net::{TcpListener, lookup_host};

/// The part.
pub const PART: Part = Part {
    name: "etcd",
    tables: &[ETCD, SNAPSHOTS, PROCESS],
    choices: &[
        Choice::new(
            "auto-compaction-mode",
            &["periodic"],
            "revisions are kept by time",
        ),
        Choice::new(
            "initial-cluster-state",
            &["new", "existing"],
            "a cluster is new or there already",
        ),
    ],
    config: None,
    start: |settings, env, base| Box::pin(start(settings, env, base)),
};

async fn start(settings: Settings, env: Env, base: Env) -> Result<()> {
    let urls = settings.list("listen-client-urls");
    let advertised = settings.list("advertise-client-urls");
    let leaf = tls::pair(&settings, "cert-file", "key-file")?;
    let secure = leaf
        .as_ref()
        .map(|leaf| server_config(&settings, leaf, "trusted-ca-file", "client-cert-auth"))
        .transpose()?;
    let mut listeners = Vec::new();
    for url in &urls {
        listeners.push(bind(url, secure.is_some()).await?);
    }
    let mut peers = Vec::new();
    for url in settings.list("listen-peer-urls") {
        peers.push(bind(&url, !settings.text("peer-cert-file").is_empty()).await?);
    }
    if let Some(warning) = unsynced(&settings) {
        tracing::warn!("{warning}");
    }
    let member_of = replica_settings(&settings, advertised)?;
    let mut openings = Vec::new();
    for (listener, is_secure) in peers {
        let (serving, opening) = PeerListener::ahead(&member_of, is_secure, &base);
        // They serve as long as the member does, which ends after its clients.
        base.tasks.spawn_draining("etcd-peers", serving.serve(listener));
        openings.push(opening);
    }
    let replica = Replica::open(member_of, base).await?;
    openings
        .into_iter()
        .for_each(|opening| opening.done(replica.clone()));
    let (of, data_dir) = (replica.clone(), data_dir(&settings));
    let engine = move || -> BoxFuture<'static, _> {
        let replica = of.clone();
        Box::pin(async move {
            let caught_up = replica.linearizable().await;
            caught_up.map_err(|failure| backup::Error::Server(failure.to_string()))?;
            Ok(replica.engine())
        })
    };
    let source = snapshots::of_engine(engine);
    snapshots::start(&settings, data_dir.as_ref(), source, &env)?;
    let kept = retention(settings.text("auto-compaction-retention"))?;
    if !kept.is_zero() {
        let (compactor, clock) = (Compactor::new(Arc::new(replica.clone()), false), env.clone());
        env.tasks
            .spawn("compactor", async move { compactor.run(kept, clock).await });
    }
    let (watched, ready) = (replica.clone(), env.ready.clone());
    env.tasks.spawn("member", async move {
        let why = watched.failed().await;
        ready.set("member", State::Failed(why));
    });
    let member = Member::new(replica, member_settings(&settings)?, env.clone());
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

/// What is said at start of data that is not synced.
fn unsynced(settings: &Settings) -> Option<&'static str> {
    settings.bool("unsafe-no-fsync").then_some(
        "--unsafe-no-fsync: what is acknowledged is not durable; a crash of this machine loses or damages it",
    )
}

fn member_settings(settings: &Settings) -> Result<server::Settings> {
    let number = |flag| u64::try_from(settings.int(flag)).unwrap_or(0);
    let cost = settings.int("bcrypt-cost");
    Ok(server::Settings {
        quota: number("quota-backend-bytes"),
        max_request_bytes: number("max-request-bytes") as usize,
        max_txn_ops: number("max-txn-ops") as usize,
        progress_interval: settings.duration("experimental-watch-progress-notify-interval"),
        tokens: Tokens::parse(settings.text("auth-token")).context("--auth-token")?,
        bcrypt_cost: match u32::try_from(cost) {
            Ok(cost @ 4..=31) => cost,
            _ => {
                tracing::warn!(
                    cost,
                    "--bcrypt-cost is not from 4 to 31: passwords are hashed with 10"
                );
                10
            }
        },
        client_names: settings.bool("client-cert-auth"),
        limits: server::Limits {
            streams: u32::try_from(settings.int("max-concurrent-streams")).unwrap_or(u32::MAX),
            ping_after: settings.duration("grpc-keepalive-min-time"),
            quiet: settings.duration("grpc-keepalive-interval"),
            patience: settings.duration("grpc-keepalive-timeout"),
        },
    })
}

fn replica_settings(settings: &Settings, advertised: Vec<String>) -> Result<replica::Settings> {
    let name = settings.text("name").to_owned();
    let data_dir = data_dir(settings);
    let millis = |flag| Duration::from_millis(u64::try_from(settings.int(flag)).unwrap_or(0));
    let (heartbeat, election) = (millis("heartbeat-interval"), millis("election-timeout"));
    if heartbeat.is_zero() || election < 5 * heartbeat {
        bail!(
            "--election-timeout[{}ms] should be at least as 5 times as --heartbeat-interval[{}ms]",
            election.as_millis(),
            heartbeat.as_millis()
        );
    }
    if election > Duration::from_secs(50) {
        bail!(
            "--election-timeout[{}ms] is too long, and should be set less than 50000ms",
            election.as_millis()
        );
    }
    let peer_urls = settings.list("initial-advertise-peer-urls");
    let initial_cluster = match settings.text("initial-cluster") {
        "" => peer_urls.iter().map(|url| (name.clone(), url.clone())).collect(),
        text => initial_cluster(text)?,
    };
    let mut usual = replica::Settings::new(data_dir);
    if unsynced(settings).is_some() {
        usual.folders = Arc::new(|dir| Ok(Arc::new(Unsynced::new(dir)?)));
    }
    Ok(replica::Settings {
        name,
        client_urls: advertised,
        peer_urls,
        initial_cluster,
        existing: settings.text("initial-cluster-state") == "existing",
        token: settings.text("initial-cluster-token").to_owned(),
        heartbeat,
        election,
        strict: settings.bool("strict-reconfig-check"),
        max_learners: usize::try_from(settings.int("experimental-max-learners")).unwrap_or(0),
        force_new: settings.bool("force-new-cluster"),
        check_at_start: settings.bool("experimental-initial-corrupt-check"),
        check_every: settings.duration("experimental-corrupt-check-time"),
        token_ttl: match settings.int("auth-token-ttl") {
            seconds @ 1.. => Duration::from_secs(seconds.unsigned_abs()),
            _ => usual.token_ttl,
        },
        tls: peer_tls(settings)?,
        ..usual
    })
}

/// Where the member's data is.
fn data_dir(settings: &Settings) -> String {
    match settings.text("data-dir") {
        "" => format!("{}.etcd", settings.text("name")),
        dir => dir.to_owned(),
    }
}

/// Names and URLs: `a=http://a:2380,b=http://b:2380`.
pub fn initial_cluster(text: &str) -> Result<Vec<(String, String)>> {
    let pairs = text.split(',').map(|pair| {
        let (name, url) = pair
            .trim()
            .split_once('=')
            .with_context(|| format!("--initial-cluster: {pair:?} is not NAME=URL"))?;
        Ok((name.to_owned(), url.to_owned()))
    });
    pairs.collect()
}

/// TLS between the members, if they have certificates.
fn peer_tls(settings: &Settings) -> Result<Option<PeerTls>> {
    let Some(leaf) = tls::pair(settings, "peer-cert-file", "peer-key-file")? else {
        return Ok(None);
    };
    let ca = tls::file(settings, "peer-trusted-ca-file")?;
    let client = pki::client_config(&ca, Some(&leaf)).context("--peer-cert-file")?;
    let server = server_config(settings, &leaf, "peer-trusted-ca-file", "peer-client-cert-auth")?;
    Ok(Some(PeerTls {
        client: Arc::new(client),
        server,
    }))
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
        bail!("{url} needs a certificate and a key");
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
fn server_config(settings: &Settings, leaf: &Leaf, ca: &str, auth: &str) -> Result<Arc<ServerConfig>> {
    let known = tls::optional_file(settings, ca)?;
    if !settings.bool(auth) {
        return tls::server(leaf, known.as_deref());
    }
    let ca = known.with_context(|| format!("--{auth} needs --{ca}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.context("the CA of those who connect")?)?;
    }
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let (chain, key) = leaf.der()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .context("the certificate to show")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Settings {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        PART.settings(&args).unwrap()
    }

    #[tokio::test]
    async fn a_member_ends_at_once_when_it_is_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let at = |flag: &str, text: &str| format!("--{flag}={text}");
        let settings = read(&[
            &at("data-dir", &dir.path().to_string_lossy()),
            &at("listen-client-urls", "http://127.0.0.1:0"),
            &at("listen-peer-urls", "http://127.0.0.1:0"),
        ]);
        let (env, base) = (Env::system(), Env::system());
        start(settings, env.clone(), base.clone()).await.unwrap();
        assert!(
            env.tasks.drain(Duration::from_secs(5)).await,
            "what clients reach"
        );
        assert!(base.tasks.drain(Duration::from_secs(60)).await, "the member");
    }

    #[test]
    fn clients_are_limited_as_etcd_does_unless_it_is_said_otherwise() {
        let usual = member_settings(&read(&[])).unwrap().limits;
        assert_eq!(
            (usual.streams, usual.ping_after),
            (u32::MAX, Duration::from_secs(5))
        );
        let said = member_settings(&read(&[
            "--max-concurrent-streams=7",
            "--grpc-keepalive-timeout=0s",
        ]));
        let said = said.unwrap().limits;
        assert_eq!((said.streams, said.patience), (7, Duration::ZERO));
        assert_eq!(said.quiet, Duration::from_secs(7200));
    }

    #[test]
    fn who_asks_for_no_syncs_is_told_what_that_means() {
        assert_eq!(unsynced(&read(&[])), None);
        let told = unsynced(&read(&["--unsafe-no-fsync"])).unwrap();
        assert!(told.contains("not durable"), "{told}");
    }
}
