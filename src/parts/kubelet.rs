//! kubelet alone, with the built-in runtime and pod network in its process.

use super::{
    config::ConfigKind,
    flags::{KUBELET, KUBELET_EVICTION, KUBELET_FILE, OTHER_RUNTIME, PROCESS},
    part::{Choice, Part, VERSION},
    tls, way, webhook,
};
use anyhow::{Context, Result, anyhow, bail};
use api::Quantity;
use component::{Env, flags::Settings};
use kubelet::{Config, Kubelet, machine::Linux};
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const NAME: &str = "kubelet";

/// The part.
pub const PART: Part = Part {
    name: NAME,
    tables: &[KUBELET, KUBELET_EVICTION, KUBELET_FILE, PROCESS],
    choices: &[
        Choice::new("container-runtime-endpoint", &[""], OTHER_RUNTIME),
        Choice::new("image-service-endpoint", &[""], OTHER_RUNTIME),
        Choice::new(
            "anonymous-auth",
            &["false"],
            "requests without credentials are never taken",
        ),
        Choice::new(
            "authentication-token-webhook",
            &["true"],
            "tokens are always the API server's to check",
        ),
        Choice::new(
            "authorization-mode",
            &["Webhook"],
            "the API server always decides",
        ),
        Choice::new("tls-min-version", &["VersionTLS12"], "TLS 1.2 and 1.3 are spoken"),
        Choice::new("seccomp-default", &["true"], "the default profile is always on"),
        Choice::new(
            "cgroup-driver",
            &["cgroupfs"],
            "cgroups are made by the runtime itself",
        ),
        Choice::new(
            "cgroups-per-qos",
            &["true"],
            "pods always stand in the cgroup of their class",
        ),
        Choice::new("register-node", &["true"], "the Node object is always made"),
        Choice::new(
            "read-only-port",
            &["0"],
            "there is no port without authentication",
        ),
        Choice::new("fail-swap-on", &["false"], "swap is not looked for"),
        Choice::new(
            "enable-server",
            &["true"],
            "the API server needs it for logs and exec",
        ),
        Choice::new(
            "enable-debugging-handlers",
            &["true"],
            "the API server needs them for logs and exec",
        ),
        Choice::new("cpu-manager-policy", &["none"], "processors are not pinned yet"),
        Choice::new("memory-manager-policy", &["None"], "memory is not pinned yet"),
        Choice::new(
            "topology-manager-policy",
            &["none"],
            "devices are not aligned yet",
        ),
        Choice::new(
            "topology-manager-scope",
            &["container"],
            "devices are not aligned yet",
        ),
        Choice::new(
            "rotate-certificates",
            &["false"],
            "certificates are not asked for yet; give them by files",
        ),
        Choice::new(
            "rotate-server-certificates",
            &["false"],
            "certificates are not asked for yet; give them by files",
        ),
        Choice::new(
            "enable-controller-attach-detach",
            &["true"],
            "a kubelet attaches no volumes",
        ),
        Choice::new("cpu-cfs-quota", &["true"], "limits are always kept"),
        Choice::new(
            "cloud-provider",
            &[""],
            "clouds are the cloud controller manager's",
        ),
    ],
    config: Some(ConfigKind {
        api_version: "kubelet.config.k8s.io/v1beta1",
        kind: "KubeletConfiguration",
    }),
    start: |settings, env, base| Box::pin(start(settings, env, base)),
};

async fn start(settings: Settings, env: Env, base: Env) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("a node needs root: namespaces, mounts and cgroups are made; try sudo");
    }
    let client = way::client(way::endpoint(&settings)?, NAME, &env)?;
    let mut config = config(&settings, &env)?;
    config.authorize = webhook::authorize(client.clone());

    let network = cni::BuiltIn::new(base.tasks.clone(), network(&settings));
    let runtime = runtime::Native::open(runtime(&settings, network.clone()), base.child());
    let runtime = runtime.map_err(|e| anyhow!("container runtime: {e}"))?;
    config.on_pod_cidr = Arc::new(move |cidr| {
        if let Err(error) = network.set_pod_cidr(cidr) {
            tracing::error!(cidr, %error, "the pod network cannot take its range");
        }
    });
    let machine = Arc::new(Linux::new(settings.text("root-dir"), "/etc/resolv.conf"));
    let kubelet = Kubelet::start(config, client, runtime, machine, env.clone());
    let tasks = env.tasks.clone();
    env.tasks.spawn("kubelet", async move {
        // The value must live as long as its tasks.
        tasks.stopping().await;
        drop(kubelet);
    });
    Ok(())
}

fn network(settings: &Settings) -> cni::BuiltInConfig {
    cni::BuiltInConfig {
        data_dir: PathBuf::from(settings.text("data-dir")).join("network"),
        cluster_cidrs: settings.list("cluster-cidr"),
        ..cni::BuiltInConfig::default()
    }
}

fn runtime(settings: &Settings, network: cni::BuiltIn) -> runtime::Config {
    runtime::Config {
        data_dir: settings.text("data-dir").into(),
        run_dir: settings.text("run-dir").into(),
        registries: settings.text("registries").into(),
        cni: Arc::new(network),
        cgroup_root: settings.text("cgroup-root").to_owned(),
        program: None,
    }
}

fn config(settings: &Settings, env: &Env) -> Result<Config> {
    let name = match settings.text("hostname-override") {
        "" => crate::address::node_name()?,
        name if api::valid_dns_subdomain(name) => name.to_owned(),
        name => bail!("--hostname-override {name:?} is not a lowercase RFC 1123 subdomain"),
    };
    let mut node_ips = settings.list("node-ip");
    if node_ips.is_empty() {
        node_ips.push(crate::address::node_ip()?.to_string());
    }
    for ip in &node_ips {
        ip.parse::<IpAddr>().with_context(|| format!("--node-ip={ip}"))?;
    }
    let port = u16::try_from(settings.int("port"))
        .ok()
        .filter(|port| *port != 0)
        .context("--port: it is 1 to 65535")?;
    let address: IpAddr = settings.text("address").parse().context("--address")?;
    let names = [name.clone()]
        .into_iter()
        .chain(node_ips.iter().cloned())
        .collect();
    let leaf = tls::serving(settings, Path::new(settings.text("cert-dir")), names, env)?;
    let serving = tls::server(&leaf, tls::optional_file(settings, "client-ca-file")?.as_deref())?;
    let (eviction_hard, eviction_transition) = eviction(settings)?;
    Ok(Config {
        eviction_hard,
        eviction_transition,
        root_dir: settings.text("root-dir").into(),
        log_dir: settings.text("pod-logs-dir").into(),
        cluster_dns: settings.list("cluster-dns"),
        cluster_domain: settings.text("cluster-domain").to_owned(),
        node_labels: settings.map("node-labels"),
        static_pod_path: Some(settings.text("pod-manifest-path"))
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
        max_pods: number(settings, "max-pods")?,
        pod_pids_limit: number(settings, "pod-max-pids")?,
        allowed_unsafe_sysctls: settings.list("allowed-unsafe-sysctls"),
        listen: Some((SocketAddr::new(address, port), serving)),
        port,
        kubelet_version: VERSION.to_owned(),
        image_gc_high: number(settings, "image-gc-high-threshold")?,
        image_gc_low: number(settings, "image-gc-low-threshold")?,
        log_max_size: bytes(settings.text("container-log-max-size"))?,
        log_max_files: number(settings, "container-log-max-files")?,
        node_ips,
        ..Config::new(name, "")
    })
}

/// When pods are evicted, and how long the node tells of it.
pub fn eviction(settings: &Settings) -> Result<(kubelet::Thresholds, Duration)> {
    let hard = kubelet::Thresholds::parse(&settings.map("eviction-hard"));
    let hard = hard.map_err(|why| anyhow!("--eviction-hard: {why}"))?;
    Ok((hard, settings.duration("eviction-pressure-transition-period")))
}

fn number<T: TryFrom<i64>>(settings: &Settings, flag: &str) -> Result<T> {
    T::try_from(settings.int(flag)).map_err(|_| anyhow!("--{flag}={} is out of range", settings.int(flag)))
}

fn bytes(text: &str) -> Result<u64> {
    let quantity: Quantity = text
        .parse()
        .map_err(|e| anyhow!("--container-log-max-size={text}: {e}"))?;
    u64::try_from(quantity.value()).map_err(|_| anyhow!("--container-log-max-size={text} is out of range"))
}
