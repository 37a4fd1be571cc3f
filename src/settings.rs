//! The settings of a whole cluster in one process.

use crate::{address, cli::UpArgs, parts::given::Given};
use anyhow::{Context, Result, anyhow, bail};
use component::gates::Gates;
use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

/// Port at which cluster DNS listens on the node; Services lead port 53 there.
pub const DNS_PORT: u16 = 10053;

/// What all parts of a cluster agree on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Data.
    pub data_dir: PathBuf,
    /// Sockets.
    pub run_dir: PathBuf,
    /// Pods and volumes.
    pub kubelet_dir: PathBuf,
    /// Containers' logs.
    pub log_dir: PathBuf,
    /// Folder of the manifests of static pods.
    pub pod_manifest_path: PathBuf,
    /// Mirrors and credentials.
    pub registries: PathBuf,
    /// The node's name.
    pub node_name: String,
    /// The node's address.
    pub node_ip: Ipv4Addr,
    /// Where the API server listens.
    pub bind_address: IpAddr,
    /// At which port.
    pub secure_port: u16,
    /// Addresses of pods.
    pub cluster_cidr: (Ipv4Addr, u8),
    /// Addresses of Services, as text.
    pub service_cidr: String,
    /// The Service `kubernetes`: the first address.
    pub api_ip: Ipv4Addr,
    /// Cluster DNS: the tenth.
    pub dns_ip: Ipv4Addr,
    /// The cluster's domain.
    pub domain: String,
    /// Which values are encrypted in the store, and how.
    pub encryption_provider_config: Option<PathBuf>,
    /// Flags of kube-apiserver that say who is known how.
    pub authentication: Vec<String>,
    /// Flags of the parts.
    pub parts: Given,
    /// Which features are on.
    pub gates: Gates,
    /// Which versions and resources are served.
    pub runtime: resources::Runtime,
    /// All writes durable.
    pub durable_leases: bool,
}

impl Settings {
    /// From the command line, with this machine's name and address where it gives none.
    pub fn from_args(args: &UpArgs) -> Result<Self> {
        let service = range(&args.service_cluster_ip_range).context("--service-cluster-ip-range")?;
        let nth = |n: u32| Ipv4Addr::from(u32::from(service.0) + n);
        let node_name = match &args.node_name {
            Some(name) if api::valid_dns_subdomain(name) => name.clone(),
            Some(name) => bail!("--node-name {name:?} is not a lowercase RFC 1123 subdomain"),
            None => address::node_name()?,
        };
        let gates = args.feature_gates.iter().cloned().collect();
        let gates = Gates::parse(&gates).map_err(|why| anyhow!("--feature-gates: {why}"))?;
        let runtime = resources::Runtime::parse(&args.runtime_config);
        Ok(Self {
            data_dir: std::path::absolute(&args.data_dir)?,
            run_dir: std::path::absolute(&args.run_dir)?,
            kubelet_dir: std::path::absolute(&args.kubelet_dir)?,
            log_dir: std::path::absolute(&args.log_dir)?,
            pod_manifest_path: std::path::absolute(&args.pod_manifest_path)?,
            registries: args.registries.clone(),
            node_name,
            node_ip: args.node_ip.map_or_else(address::node_ip, Ok)?,
            bind_address: args.bind_address,
            secure_port: args.secure_port,
            cluster_cidr: range(&args.cluster_cidr).context("--cluster-cidr")?,
            service_cidr: args.service_cluster_ip_range.clone(),
            api_ip: nth(1),
            dns_ip: nth(10),
            domain: args.cluster_domain.clone(),
            encryption_provider_config: args.encryption_provider_config.clone(),
            authentication: authentication(args)?,
            parts: args.parts.clone(),
            gates,
            runtime: runtime.map_err(|why| anyhow!("--runtime-config: {why}"))?,
            durable_leases: args.durable_leases,
        })
    }

    /// The address at which this machine's clients reach the API server.
    pub fn server_url(&self) -> String {
        let host = if self.bind_address.is_unspecified() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            self.bind_address
        };
        format!("https://{}", std::net::SocketAddr::new(host, self.secure_port))
    }
}

/// The flags of kube-apiserver that say the same as those of `up`.
fn authentication(args: &UpArgs) -> Result<Vec<String>> {
    let files = [
        ("token-auth-file", &args.token_auth_file),
        ("basic-auth-file", &args.basic_auth_file),
        ("authentication-config", &args.authentication_config),
        (
            "authentication-token-webhook-config-file",
            &args.authentication_token_webhook_config_file,
        ),
    ];
    let mut flags = vec![
        "--enable-bootstrap-token-auth".to_owned(),
        "--authentication-token-webhook-version=v1".to_owned(),
    ];
    for (flag, file) in files {
        if let Some(file) = file {
            flags.push(format!("--{flag}={}", std::path::absolute(file)?.display()));
        }
    }
    Ok(flags)
}

/// Reads an IPv4 network such as `10.244.0.0/16`.
pub fn range(text: &str) -> Result<(Ipv4Addr, u8)> {
    let parts = text
        .split_once('/')
        .and_then(|(base, prefix)| Some((base.parse().ok()?, prefix.parse().ok()?)));
    match parts {
        Some((base, prefix)) if (8..=28).contains(&prefix) => Ok((base, prefix)),
        _ => bail!("{text:?} is not an IPv4 network with a prefix from 8 to 28"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Verb};
    use clap::Parser;

    fn read(flags: &[&str]) -> Result<Settings> {
        let args = ["ferrokube", "up", "--node-name=one", "--node-ip=192.0.2.1"];
        match Cli::try_parse_from(args.iter().chain(flags))?.verb {
            Verb::Up(args) => Settings::from_args(&args),
            other => bail!("{other:?}"),
        }
    }

    #[test]
    fn a_cluster_takes_feature_gates_and_runtime_config() {
        let settings = read(&[
            "--feature-gates=EnvFiles=false,ContainerStopSignals=true",
            "--feature-gates=WatchList=false",
            "--runtime-config=resource.k8s.io/v1beta2,batch/v1/cronjobs=false",
        ])
        .unwrap();
        let on = ["EnvFiles", "ContainerStopSignals", "WatchList"].map(|gate| settings.gates.enabled(gate));
        assert_eq!(on, [false, true, false]);
        assert!(
            settings
                .runtime
                .serves("resource.k8s.io", "v1beta2", "resourceclaims")
        );
        assert!(!settings.runtime.serves("batch", "v1", "cronjobs"));
        for (flag, why) in [
            (
                "--feature-gates=Nonsense=true",
                "--feature-gates: unrecognized feature gate: Nonsense",
            ),
            (
                "--runtime-config=nonsense/v1",
                "--runtime-config: unknown api groups nonsense/v1",
            ),
        ] {
            assert_eq!(format!("{:#}", read(&[flag]).unwrap_err()), why);
        }
        assert!(read(&["--feature-gates=EnvFiles"]).is_err());
    }
}
