//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Kubernetes in one binary that needs only a Linux kernel.
#[derive(Debug, Parser)]
#[command(name = "ferrokube", version = crate::build_info::TOLD, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start a one-node cluster in this process; Ctrl-C stops it, its containers live on
    Up(Box<UpArgs>),
    /// Stop the cluster of a data directory; its containers live on
    Stop(PlaceArgs),
    /// Remove a cluster and all that it made and stored
    Rm(PlaceArgs),
    /// Say why an object is as it is, from the decisions of the parts of the system
    Why(WhyArgs),
    /// Snapshots of the store: take, list, verify, restore and remove them, and move a cluster's data here
    Snapshot(Box<crate::snapshot::SnapshotArgs>),
    /// The certificates of a cluster: list them, renew them, replace their CA
    Certificate(CertificateArgs),
    /// Hash a password, a line of standard input, for a line of kube-apiserver's --basic-auth-file
    HashPassword,
    /// One part alone; `ferrokube PART --help` lists its flags
    #[command(external_subcommand)]
    Part(Vec<String>),
}

/// Where a cluster is.
#[derive(Args, Clone, Debug)]
pub struct PlaceArgs {
    /// Where the cluster's data is
    #[arg(long, default_value = "/var/lib/ferrokube", global = true)]
    pub data_dir: PathBuf,
}

/// Arguments of `certificate`.
#[derive(Args, Clone, Debug)]
pub struct CertificateArgs {
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// What to do.
    #[command(subcommand)]
    pub verb: CertificateVerb,
}

/// What is done with certificates.
#[derive(Subcommand, Clone, Debug)]
pub enum CertificateVerb {
    /// Say whom each names, until when it is good and who signed it
    List,
    /// Make all but the CAs anew
    Renew,
    /// Replace the CA: the new one is trusted first, signs later, and the old one is forgotten last
    RotateCa(RotateArgs),
}

/// Arguments of `certificate rotate-ca`.
#[derive(Args, Clone, Debug)]
pub struct RotateArgs {
    /// How long clients have to hear of the new CA before it signs
    #[arg(long, default_value = "10m")]
    pub overlap: String,
    /// Forget the old CA now; without it that is done when nothing that it signed is good any more, a year later
    #[arg(long)]
    pub finish: bool,
}

/// Arguments of `up`.
#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// Where the cluster's data is kept
    #[arg(long, default_value = "/var/lib/ferrokube")]
    pub data_dir: PathBuf,
    /// Where sockets and other things that end with a reboot are kept
    #[arg(long, default_value = "/run/ferrokube")]
    pub run_dir: PathBuf,
    /// Where the kubelet keeps pods and volumes
    #[arg(long, default_value = "/var/lib/kubelet")]
    pub kubelet_dir: PathBuf,
    /// Where the containers' logs are
    #[arg(long, default_value = "/var/log/pods")]
    pub log_dir: PathBuf,
    /// Folder of the manifests of static pods
    #[arg(long, default_value = "/etc/kubernetes/manifests")]
    pub pod_manifest_path: PathBuf,
    /// The kubeconfig to write; by default the context `ferrokube` is merged into $KUBECONFIG or ~/.kube/config
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// The node's name; by default the host's
    #[arg(long)]
    pub node_name: Option<String>,
    /// The node's address; by default that of the interface of the default route
    #[arg(long)]
    pub node_ip: Option<std::net::Ipv4Addr>,
    /// Where the API server listens
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: std::net::IpAddr,
    /// At which port the API server listens
    #[arg(long, default_value_t = 6443)]
    pub secure_port: u16,
    /// Mirrors and credentials of registries
    #[arg(long, default_value = "/etc/ferrokube/registries.yaml")]
    pub registries: PathBuf,
    /// Addresses of pods
    #[arg(long, default_value = "10.244.0.0/16")]
    pub cluster_cidr: String,
    /// Addresses of Services
    #[arg(long, default_value = "10.96.0.0/12")]
    pub service_cluster_ip_range: String,
    /// The cluster's domain
    #[arg(long, default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Which values are encrypted in the store, and how: an `EncryptionConfiguration`, looked at once a minute
    #[arg(long, value_name = "FILE")]
    pub encryption_provider_config: Option<PathBuf>,
    /// Static tokens: lines of token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// Passwords: lines of hash,user,uid,"group1,group2"; `ferrokube hash-password` makes a hash
    #[arg(long, value_name = "FILE")]
    pub basic_auth_file: Option<PathBuf>,
    /// Other issuers of tokens, and requests without credentials: an `AuthenticationConfiguration`, looked at once a minute
    #[arg(long, value_name = "FILE")]
    pub authentication_config: Option<PathBuf>,
    /// The kubeconfig of a server that is asked about tokens, with reviews of version v1
    #[arg(long, value_name = "FILE")]
    pub authentication_token_webhook_config_file: Option<PathBuf>,
    /// Flags of the parts.
    #[command(flatten)]
    pub parts: crate::parts::given::Given,
    /// Features to switch on or off in all parts: Name=true,Other=false
    #[arg(long, value_name = "NAME=BOOL", value_delimiter = ',', value_parser = pair)]
    pub feature_gates: Vec<(String, String)>,
    /// Versions and resources to serve or not: api/beta=true, GROUP/VERSION=false, GROUP/VERSION/RESOURCE=true
    #[arg(long, value_name = "NAME=BOOL", value_delimiter = ',')]
    pub runtime_config: Vec<String>,
    /// Write Leases and Events to disk before they are acknowledged, as everything else
    #[arg(long)]
    pub durable_leases: bool,
    /// Start in the background and return when the cluster is ready
    #[arg(short = 'd', long)]
    pub detach: bool,
}

/// Arguments of `why`.
#[derive(Args, Clone, Debug)]
pub struct WhyArgs {
    /// What: `pod/web`, `deployment.apps/web`, or two words
    #[arg(required = true, num_args = 1..=2)]
    pub object: Vec<String>,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// The kubeconfig to use
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
}

/// Reads `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is a list of name=value")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
