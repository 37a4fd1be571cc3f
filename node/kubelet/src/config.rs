//! What a kubelet is told when it starts.

use crate::threshold::Thresholds;
use api::{Status, decision::Ring};
use futures::future::BoxFuture;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

/// Settings of a kubelet.
#[derive(Clone)]
pub struct Config {
    /// The node's name.
    pub node_name: String,
    /// The node's addresses, the primary first.
    pub node_ips: Vec<String>,
    /// Folder of pods and volumes.
    pub root_dir: PathBuf,
    /// Data of `local-path` volumes.
    pub local_path_root: PathBuf,
    /// Kernel parameters that pods may set beyond the safe ones: names, or what they begin with before a `*`.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Most processes of a pod; 0 or less: as many as the kernel allows.
    pub pod_pids_limit: i64,
    /// Folder of the containers' logs.
    pub log_dir: PathBuf,
    /// Name servers of the cluster.
    pub cluster_dns: Vec<String>,
    /// Domain of the cluster.
    pub cluster_domain: String,
    /// More labels of the node.
    pub node_labels: BTreeMap<String, String>,
    /// Most pods.
    pub max_pods: u32,
    /// Told the node's range of pod addresses, when known and when it changes.
    pub on_pod_cidr: Arc<dyn Fn(&str) + Send + Sync>,
    /// Decides whether a request over the network may be served.
    pub authorize: Authorize,
    /// Where the server listens, with what certificate; `None`: only in memory.
    pub listen: Option<(SocketAddr, Arc<rustls::ServerConfig>)>,
    /// Port that the node object tells of.
    pub port: u16,
    /// `gitVersion` of Kubernetes, such as `v1.37.0+ferrokube.0.1.0`.
    pub kubelet_version: String,
    /// Where the kubelet writes its decisions.
    pub records: Ring,
    /// Folder of the static pods' manifests.
    pub static_pod_path: Option<PathBuf>,
    /// Signals and the quantities or percents below which pods are evicted. Usually the disk may be filled further than
    /// upstream's 10 and 15 %, as in other clusters on one machine, whose disk is not theirs alone.
    pub eviction_hard: Thresholds,
    /// How long the node says that something is short after it was last seen.
    pub eviction_transition: Duration,
    /// Percent of the images' disk in use at which unused images go.
    pub image_gc_high: u8,
    /// Percent of the images' disk in use down to which they go.
    pub image_gc_low: u8,
    /// Bytes after which a log is rotated.
    pub log_max_size: u64,
    /// Files a rotated log has, the current one included.
    pub log_max_files: usize,
}

/// Decides about a request.
pub type Authorize = Arc<dyn Fn(Access) -> BoxFuture<'static, Result<(), Status>> + Send + Sync>;

/// A request as authorization sees it: a verb on `nodes/SUBRESOURCE` of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The bearer token, if one came.
    pub bearer: Option<String>,
    /// The client's certificate (DER), if one came.
    pub certificate: Option<Vec<u8>>,
    /// `get`, `create`, ...
    pub verb: &'static str,
    /// `stats`, `log`, `metrics`, `pods`, `healthz`, `proxy`.
    pub subresource: &'static str,
    /// The node's name.
    pub node: String,
}

impl Config {
    /// Usual settings of a node; nobody is authorized over the network.
    pub fn new(node_name: impl Into<String>, node_ip: impl Into<String>) -> Self {
        Self {
            node_name: node_name.into(),
            node_ips: vec![node_ip.into()],
            root_dir: "/var/lib/kubelet".into(),
            local_path_root: "/var/lib/ferrokube/local-path".into(),
            allowed_unsafe_sysctls: Vec::new(),
            pod_pids_limit: 0,
            log_dir: "/var/log/pods".into(),
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            node_labels: BTreeMap::new(),
            max_pods: 110,
            on_pod_cidr: Arc::new(|_| {}),
            authorize: Arc::new(|_| Box::pin(async { Err(Status::unauthorized()) })),
            listen: None,
            port: 10250,
            kubelet_version: concat!("v1.37.0+ferrokube.", env!("CARGO_PKG_VERSION")).to_owned(),
            records: Ring::default(),
            static_pod_path: None,
            eviction_hard: Thresholds::default(),
            eviction_transition: Duration::from_secs(300),
            image_gc_high: 85,
            image_gc_low: 80,
            log_max_size: 10 << 20,
            log_max_files: 5,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Config({})", self.node_name)
    }
}
