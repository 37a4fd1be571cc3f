//! The control plane: store, API server, scheduler, controllers, joined in memory.

use crate::{
    certificates::{Kept, keep, turn},
    dial::MemoryDial,
    parts::{
        pages::{OPEN, Pages},
        snapshots,
    },
    settings::Settings,
};
use anyhow::{Context, Result, anyhow};
use api::decision::Ring;
use apiserver::{
    Server,
    security::{RequestHeader, Trust, User},
};
use backup::socket::{self, Socket};
use client::Client;
use component::{
    Env, State,
    pki::{Authority, Purpose, Rotating, asking_server_config, server_config},
};
use futures::future::{self, BoxFuture};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// How long old revisions can be read, as `--etcd-compaction-interval` of kube-apiserver.
const COMPACTION: Duration = Duration::from_secs(300);

/// The issuer of service account tokens, and their first audience.
const ISSUER: &str = "https://kubernetes.default.svc.";

/// The name of the certificate shown to other API servers, in its subject and on disk.
const FRONT_PROXY: &str = "front-proxy-client";

/// A control plane that runs.
pub struct ControlPlane {
    /// The API server.
    pub server: Arc<Server>,
    /// The store, closed last.
    pub store: Arc<etcd::Engine>,
    /// The cluster's CA.
    pub authority: Arc<Authority>,
    /// Decisions of all boxes of this process.
    pub records: Ring,
}

impl ControlPlane {
    /// A client in memory, as `user` of `groups`, whose requests are counted in `env`.
    pub fn client(&self, user: &str, groups: &[&str], env: &Env) -> Client {
        let mut all = groups.to_vec();
        all.push("system:authenticated");
        let manager = match user.rsplit(':').next() {
            _ if user.starts_with("system:node:") => "kubelet",
            Some(name) => name,
            None => user,
        };
        let way = self.server.local(User::new(user, &all));
        Client::new(client::counted(way, "in-process", env), manager)
    }

    /// The pages of a part where it has them when it runs alone; the cluster does without if the port is taken.
    async fn pages(
        &self,
        settings: &Settings,
        name: &'static str,
        port: u16,
        client: &Client,
        env: &Env,
    ) -> Result<()> {
        settings.gates.tell(&env.metrics);
        let names = vec![
            settings.node_name.clone(),
            settings.node_ip.to_string(),
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
        ];
        let serving = Rotating::open(
            &self.authority,
            name,
            Purpose::server(name, names),
            env.clock.wall(),
        )?;
        let kept = Kept {
            certificate: serving.clone(),
            authority: self.authority.clone(),
        };
        env.tasks
            .spawn("certificates", keep(vec![kept], || Ok(()), env.clone()));
        let tls = Arc::new(server_config(serving, self.authority.trusted())?);
        let pages = Pages {
            name,
            address: SocketAddr::new(settings.bind_address, port),
            tls: tokio::sync::watch::channel(tls).1,
            tokens: client.clone(),
            access: client.clone(),
            open: OPEN.map(str::to_owned).into(),
        };
        if let Err(error) = pages.serve(env).await {
            tracing::warn!("no health and metrics of {name}: {error:#}");
        }
        Ok(())
    }
}

/// Starts all of it in the task tree of `env`; the store lives in a branch of `store_env`, which ends later.
pub async fn start(
    settings: &Settings,
    env: &Env,
    store_env: &Env,
    dial: Arc<MemoryDial>,
) -> Result<ControlPlane> {
    let now = env.clock.wall();
    let pki = settings.data_dir.join("pki");
    let (certificate, listener) = (
        pki.clone(),
        SocketAddr::new(settings.bind_address, settings.secure_port),
    );
    let authority = Arc::new(Authority::open(&certificate, now)?);
    let listener = TcpListener::bind(listener)
        .await
        .with_context(|| format!("the API server cannot listen at {listener}"))?;
    let serving = Rotating::open(&authority, "apiserver", serving(settings), now)?;
    let front_proxy = FrontProxy::open(&pki, authority.trusted(), now)?;
    let tls = Arc::new(asking_server_config(serving.clone())?);
    let store = open_store(settings, store_env)?;
    let (compactor, life) = (etcd::Compactor::new(store.clone(), false), env.clone());
    env.tasks
        .spawn("compactor", async move { compactor.run(COMPACTION, life).await });
    take_snapshots(settings, &store, env)?;
    let sealing = settings.encryption_provider_config.as_deref();
    let (behind, sealing) = crate::encryption::seal(store.clone(), sealing, true, env).await?;
    let records = Ring::default();
    let way = dial.clone();
    let given = (authority.as_ref(), &front_proxy);
    let server = start_server(settings, env, given, behind, dial, records.clone()).await?;
    if let Some((sealed, reloads)) = sealing {
        server.tell_health_of(sealed, reloads);
    }
    way.know(server.reader());
    server.bootstrap().await?;
    let plane = ControlPlane {
        server: server.clone(),
        store,
        authority: authority.clone(),
        records: records.clone(),
    };
    let master = plane.client("system:apiserver", &["system:masters"], env);
    apiserver::security::rbac::bootstrap::reconcile(&master)
        .await
        .map_err(|e| anyhow!("RBAC bootstrap: {e}"))?;
    let dns = crate::cluster::dns_service(settings);
    server
        .publish(&master, &dns)
        .await
        .context("the Service of cluster DNS")?;
    let listening = server.clone();
    env.tasks.spawn_draining(
        "kube-apiserver",
        async move { listening.serve(listener, tls).await },
    );
    let front_proxy = Kept {
        certificate: front_proxy.certificate,
        authority: front_proxy.authority,
    };
    let authorities = vec![authority.clone(), front_proxy.authority.clone()];
    let serving = Kept {
        certificate: serving,
        authority: authority.clone(),
    };
    let kept = keep(vec![serving, front_proxy], || Ok(()), env.clone());
    env.tasks.spawn("certificates", kept);
    let (turned, tasks) = (turn(authorities, env.clone()), env.tasks.clone());
    env.tasks.spawn("authorities", async move {
        turned.await;
        tasks.stop();
    });
    env.ready.set("kube-apiserver", State::Ready);

    let inner = env.counted();
    let scheduler = plane.client("system:kube-scheduler", &[], &inner);
    plane
        .pages(settings, scheduler::NAME, 10259, &scheduler, &inner)
        .await?;
    scheduler::start(&scheduler, scheduler::Config::default(), records.clone(), &inner);
    let inner = env.counted();
    let controllers = plane.client("system:kube-controller-manager", &[], &inner);
    plane
        .pages(settings, controller_manager::NAME, 10257, &controllers, &inner)
        .await?;
    let [certificate, key] = ["ca.crt", "ca.key"].map(|name| authority.dir().join(name));
    let signer = controller_manager::Signer::open(&certificate, &key)?;
    let config = controller_manager::Config {
        signers: controller_manager::Signers::one(signer),
        root_ca: authority.trusted().to_owned(),
        token_key: Some(Arc::new(
            component::jwt::Key::from_pem(&authority.signing_key("sa")?).map_err(|e| anyhow!(e))?,
        )),
        cluster_cidr: settings.cluster_cidr,
        node_cidr_prefix: 24,
        token_clean_up: controller_manager::TOKEN_CLEAN_UP,
        resources: crate::cluster::collectable(&settings.runtime.rows()).fixed(),
    };
    controller_manager::start(&controllers, config, records, &inner);
    Ok(plane)
}

fn open_store(settings: &Settings, env: &Env) -> Result<Arc<etcd::Engine>> {
    env.ready
        .set("store", State::Starting("reading the log".to_owned()));
    let options = etcd::Options {
        durable_leases: settings.durable_leases,
        ..etcd::Options::default()
    };
    let store = etcd::Engine::open(settings.data_dir.join("store"), options, env.clone())?;
    env.ready.set("store", State::Ready);
    Ok(store)
}

/// Gives snapshots of the store to who asks at a socket, and takes them by schedule.
fn take_snapshots(settings: &Settings, store: &Arc<etcd::Engine>, env: &Env) -> Result<()> {
    let store = store.clone();
    let engine = move || -> BoxFuture<'static, _> { Box::pin(future::ready(Ok(store.clone()))) };
    let source = snapshots::of_engine(engine);
    let socket = Socket::open(&settings.run_dir.join(socket::NAME))?;
    env.tasks
        .spawn("snapshot-socket", socket.serve(source.clone(), env.clone()));
    snapshots::of_cluster(&settings.parts, &settings.data_dir, source, env)
}

async fn start_server(
    settings: &Settings,
    env: &Env,
    (authority, front_proxy): (&Authority, &FrontProxy),
    store: Arc<dyn etcd::Store>,
    dial: Arc<MemoryDial>,
    records: Ring,
) -> Result<Arc<Server>> {
    let audit = crate::parts::audit::of_cluster(&settings.parts, env)?;
    let issuer = format!("{ISSUER}{}", settings.domain);
    let guards = apiserver::security::Settings {
        signing_key: authority.signing_key("sa")?,
        authentication: crate::parts::authentication::of_cluster(&issuer, &settings.authentication, env)?,
        issuers: vec![issuer],
        audiences: Vec::new(),
        trust: front_proxy.trust.clone(),
        env: env.clone(),
    };
    let public = format!("https://{}:{}", settings.node_ip, settings.secure_port);
    let oidc = guards
        .documents(&public)
        .map_err(|e| anyhow!("{}: {e}", authority.dir().display()))?;
    let config = apiserver::Config {
        build: crate::build_info::info(),
        limits: apiserver::Limits::default(),
        gates: settings.gates.clone(),
        surface: apiserver::Surface {
            virtual_resources: settings.runtime.virtual_resources(),
            ..apiserver::Surface::default()
        },
        oidc: Some(oidc),
        aggregate: apiserver::aggregate::Settings {
            certificate: Some(front_proxy.certificate.clone()),
            trust: front_proxy.trust.clone(),
        },
        admission: apiserver::admission::Settings::default(),
        rows: settings.runtime.rows(),
        store,
        security: Box::new(move |reader| {
            let security = apiserver::security::standard(&reader, guards)?;
            Ok(apiserver::security::Security { audit, ..security })
        }),
        dial,
        kubelet_tls: None,
        service_cidr: settings.service_cidr.clone(),
        advertise: (settings.node_ip.into(), settings.secure_port),
        records: Some(Arc::new(move || {
            records.recent().iter().map(|r| (**r).clone()).collect()
        })),
    };
    Ok(Server::start(config, env.clone()).await?)
}

/// The names under which clients reach the API server.
fn serving(settings: &Settings) -> Purpose {
    let domain = &settings.domain;
    let names = [
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        format!("kubernetes.default.svc.{domain}"),
        "localhost".to_owned(),
        settings.node_name.clone(),
        "127.0.0.1".to_owned(),
        settings.api_ip.to_string(),
        settings.node_ip.to_string(),
    ];
    let mut names: Vec<String> = names.into();
    if !settings.bind_address.is_unspecified() {
        names.push(settings.bind_address.to_string());
    }
    names.sort();
    names.dedup();
    Purpose::server("kube-apiserver", names)
}

/// The CA by which other API servers know this one, and what this one shows them.
struct FrontProxy {
    authority: Arc<Authority>,
    certificate: Arc<Rotating>,
    trust: Trust,
}

impl FrontProxy {
    fn open(pki: &Path, client_ca: &str, now: jiff::Timestamp) -> Result<Self> {
        let authority = Arc::new(Authority::named(pki, "front-proxy-ca", "front-proxy-ca", now)?);
        let purpose = Purpose::client(FRONT_PROXY, &[]);
        let certificate = Rotating::open(&authority, FRONT_PROXY, purpose, now)?;
        let trust = Trust {
            client_ca: client_ca.to_owned(),
            request_header: Some(RequestHeader::usual(authority.trusted(), FRONT_PROXY)),
        };
        Ok(Self {
            authority,
            certificate,
            trust,
        })
    }
}
