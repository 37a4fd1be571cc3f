//! The node: container runtime, kubelet, service proxy, cluster DNS, joined to the control plane in memory.

use crate::{
    certificates::{Kept, keep},
    control_plane::ControlPlane,
    dial::MemoryDial,
    parts::{flags::KUBELET_EVICTION, kubelet::eviction},
    settings::{DNS_PORT, Settings},
};
use anyhow::{Result, anyhow};
use component::{
    Env, State,
    pki::{Purpose, Rotating, server_config},
};
use kubelet::{Identity, Kubelet, machine::Linux};
use std::{net::SocketAddr, sync::Arc};

const KUBELET_PORT: u16 = 10250;

/// What all our cgroups stand under.
pub const CGROUP_ROOT: &str = "/ferrokube";

/// The settings of the pod network.
pub fn network(settings: &Settings) -> cni::BuiltInConfig {
    let (base, prefix) = settings.cluster_cidr;
    cni::BuiltInConfig {
        data_dir: settings.data_dir.join("network"),
        cluster_cidrs: vec![format!("{base}/{prefix}")],
        ..cni::BuiltInConfig::default()
    }
}

/// The settings of the container runtime.
pub fn runtime(settings: &Settings, cni: Arc<dyn cni::Cni>) -> runtime::Config {
    runtime::Config {
        data_dir: settings.data_dir.clone(),
        run_dir: settings.run_dir.clone(),
        registries: settings.registries.clone(),
        cni,
        cgroup_root: CGROUP_ROOT.to_owned(),
        program: None,
    }
}

/// Starts all of it in the task tree of `env`.
pub async fn start(settings: &Settings, plane: &ControlPlane, env: &Env, dial: &MemoryDial) -> Result<()> {
    let name = settings.node_name.as_str();
    let network = cni::BuiltIn::new(env.tasks.clone(), network(settings));
    let native = runtime::Native::open(runtime(settings, Arc::new(network.clone())), env.clone())
        .map_err(|e| anyhow!("container runtime: {e}"))?;
    env.ready.set("runtime", State::Ready);

    let config = kubelet_config(settings, plane, env, network)?;
    let node = plane.client(&format!("system:node:{name}"), &["system:nodes"], env);
    let machine = Arc::new(Linux::new(&settings.kubelet_dir, "/etc/resolv.conf"));
    let kubelet = Kubelet::start(config, node, native, machine, env.clone());
    let (tasks, serving) = (env.tasks.clone(), kubelet.clone());
    let serve = move |stream| {
        let kubelet = serving.clone();
        tasks.spawn("kubelet-stream", async move {
            kubelet.serve_stream(stream, Identity::Trusted).await
        });
    };
    dial.serve(name, Arc::new(serve));

    let proxy = plane.client("system:kube-proxy", &["system:node-proxiers"], env);
    let (base, prefix) = settings.cluster_cidr;
    let config = proxy::Config {
        node: name.to_owned(),
        cluster_cidrs: vec![
            format!("{base}/{prefix}")
                .parse()
                .map_err(|e| anyhow!("cluster CIDR: {e:?}"))?,
        ],
        ..proxy::Config::default()
    };
    let (inner, ready) = (env.clone(), env.ready.clone());
    env.tasks.spawn_draining("proxy", async move {
        if let Err(error) = proxy::run(proxy, inner, config).await {
            ready.set("proxy", State::Failed(error.to_string()));
        }
    });

    let dns = plane.client(
        "system:serviceaccount:kube-system:kube-dns",
        &["system:serviceaccounts"],
        env,
    );
    let config = dns::Config {
        listen: vec![SocketAddr::new(settings.node_ip.into(), DNS_PORT)],
        domain: settings.domain.clone(),
        service_ips: vec![settings.dns_ip.into()],
        ..dns::Config::default()
    };
    let (inner, ready) = (env.clone(), env.ready.clone());
    env.tasks.spawn_draining("dns", async move {
        if let Err(error) = dns::run(dns, inner, config).await {
            ready.set("dns", State::Failed(error.to_string()));
        }
    });
    Ok(())
}

fn kubelet_config(
    settings: &Settings,
    plane: &ControlPlane,
    env: &Env,
    network: cni::BuiltIn,
) -> Result<kubelet::Config> {
    let name = &settings.node_name;
    let purpose = Purpose::server(
        &format!("system:node:{name}"),
        vec![name.clone(), settings.node_ip.to_string()],
    );
    let serving = Rotating::open(&plane.authority, "kubelet", purpose, env.clock.wall())?;
    let kept = Kept {
        certificate: serving.clone(),
        authority: plane.authority.clone(),
    };
    env.tasks
        .spawn("certificates", keep(vec![kept], || Ok(()), env.clone()));
    let tls = Arc::new(server_config(serving, plane.authority.trusted())?);
    let flags = settings.parts.settings(KUBELET_EVICTION)?;
    let (eviction_hard, eviction_transition) = eviction(&flags)?;
    let server = plane.server.clone();
    let ready = env.ready.clone();
    Ok(kubelet::Config {
        root_dir: settings.kubelet_dir.clone(),
        local_path_root: settings.data_dir.join("local-path"),
        log_dir: settings.log_dir.clone(),
        static_pod_path: Some(settings.pod_manifest_path.clone()),
        eviction_hard,
        eviction_transition,
        // The disk is not ours alone.
        image_gc_high: 97,
        image_gc_low: 95,
        cluster_dns: vec![settings.dns_ip.to_string()],
        cluster_domain: settings.domain.clone(),
        on_pod_cidr: Arc::new(move |cidr| {
            if let Err(error) = network.set_pod_cidr(cidr) {
                ready.set("kubelet", State::Failed(format!("pod network: {error}")));
            }
        }),
        authorize: Arc::new(move |access| {
            Box::pin(crate::cluster::authorize_node_access(server.clone(), access))
        }),
        listen: Some((SocketAddr::new(settings.node_ip.into(), KUBELET_PORT), tls)),
        port: KUBELET_PORT,
        records: plane.records.clone(),
        ..kubelet::Config::new(name, settings.node_ip.to_string())
    })
}
