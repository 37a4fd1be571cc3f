//! `ferrokube rm`: takes away all that a cluster made and stored.

use crate::{
    cli::PlaceArgs,
    kubectl, node,
    parts::given::Given,
    place::Place,
    settings::{Settings, range},
    stop,
};
use anyhow::{Context, Result, bail};
use component::Env;
use kubelet::machine::Machine;
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
};

/// Stops the cluster if it runs, then removes it.
pub fn run(args: &PlaceArgs) -> Result<()> {
    let dir = std::path::absolute(&args.data_dir)?;
    if !dir.join("version").exists() {
        bail!("there is no cluster at {}", dir.display());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("what a cluster made is removed by root only; try sudo");
    }
    stop::stop(&dir)?;
    let _place = Place::lock(&dir)?;
    let running = Place::running(&dir);
    if let Some(running) = &running {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let settings = Settings {
            data_dir: dir.clone(),
            run_dir: running.run_dir.clone(),
            kubelet_dir: running.kubelet_dir.clone(),
            log_dir: running.log_dir.clone(),
            registries: "/dev/null".into(),
            pod_manifest_path: "/dev/null".into(),
            node_name: String::new(),
            node_ip: Ipv4Addr::UNSPECIFIED,
            bind_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            secure_port: 0,
            cluster_cidr: range("10.244.0.0/16")?,
            service_cidr: String::new(),
            api_ip: Ipv4Addr::UNSPECIFIED,
            dns_ip: Ipv4Addr::UNSPECIFIED,
            domain: String::new(),
            encryption_provider_config: None,
            authentication: Vec::new(),
            parts: Given::default(),
            gates: component::gates::Gates::default(),
            runtime: resources::Runtime::default(),
            durable_leases: false,
        };
        runtime.block_on(containers(&settings))?;
        let machine = kubelet::machine::Linux::new(&running.kubelet_dir, "/etc/resolv.conf");
        machine
            .remove_tree(&running.kubelet_dir)
            .context("pods and volumes")?;
        for made in [&running.log_dir, &running.run_dir] {
            remove(made)?;
        }
        kubectl::forget(&running.kubeconfig)?;
    }
    remove(&dir)?;
    println!("removed");
    Ok(())
}

/// Sandboxes with their containers, the pod network, the rules of Services.
async fn containers(settings: &Settings) -> Result<()> {
    let env = Env::system();
    let network = cni::BuiltIn::new(env.tasks.clone(), node::network(settings));
    let native = runtime::Native::open(node::runtime(settings, Arc::new(network.clone())), env.clone())?;
    native.purge().await.context("containers")?;
    network.purge().await.context("pod network")?;
    proxy::nftables::Nftables::purge().context("rules of Services")?;
    Ok(())
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}
