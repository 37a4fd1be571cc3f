//! The node object: registration, conditions, lease.

mod lease;

use crate::{
    about,
    config::Config,
    eviction::Pressure,
    image_list::{self, Listed},
    machine::Facts,
    pod::timestamp,
    resources::NODES,
    view::{Condition, Node},
    volumes::ROOT_ANNOTATION,
};
use api::{Key, Object, Quantity, Status, Taint};
use client::{About, Cache, Change, Client, Patch, Recorder, Selector, Severity};
use component::Env;
use runtime::Runtime;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::{Notify, watch};

const REPORT: Duration = Duration::from_secs(300);
const CHECK: Duration = Duration::from_secs(10);
/// What pods may be changed in because this kubelet follows (upstream: `component-helpers/nodedeclaredfeatures`).
const FEATURES: [&str; 2] = [
    "GuaranteedQoSPodCPUResize",
    "InPlacePodVerticalScalingInitContainers",
];

pub(crate) struct NodeKeeper {
    pub config: Config,
    pub client: Client,
    pub runtime: Arc<dyn Runtime>,
    pub facts: Facts,
    pub env: Env,
    pub recorder: Recorder,
    pub pressure: watch::Receiver<Pressure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Registration<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: Spec,
    status: NodeStatus<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Spec {
    taints: Vec<Taint>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeStatus<'a> {
    capacity: BTreeMap<&'static str, Quantity>,
    allocatable: BTreeMap<&'static str, Quantity>,
    conditions: &'a [Heartbeat],
    addresses: Vec<Address>,
    daemon_endpoints: Endpoints,
    node_info: NodeInfo<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<&'a [Listed]>,
    features: Features,
    runtime_handlers: [Handler; 1],
    declared_features: [&'static str; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Features {
    supplemental_groups_policy: bool,
}

/// What the runtime can do for pods without a RuntimeClass.
#[derive(Serialize)]
struct Handler {
    name: &'static str,
    features: HandlerFeatures,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HandlerFeatures {
    recursive_read_only_mounts: bool,
    user_namespaces: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Heartbeat {
    #[serde(flatten)]
    condition: Condition,
    last_heartbeat_time: String,
}

#[derive(Serialize)]
struct Address {
    #[serde(rename = "type")]
    kind: &'static str,
    address: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoints {
    kubelet_endpoint: Endpoint,
}

#[derive(Serialize)]
struct Endpoint {
    #[serde(rename = "Port")]
    port: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeInfo<'a> {
    #[serde(rename = "machineID")]
    machine_id: &'a str,
    #[serde(rename = "systemUUID")]
    system_uuid: &'a str,
    #[serde(rename = "bootID")]
    boot_id: &'a str,
    kernel_version: &'a str,
    os_image: &'a str,
    container_runtime_version: String,
    kubelet_version: &'a str,
    kube_proxy_version: &'static str,
    operating_system: &'static str,
    architecture: &'a str,
}

#[derive(Serialize)]
struct Report<'a> {
    metadata: Labels,
    status: NodeStatus<'a>,
}

#[derive(Serialize)]
struct Labels {}

impl NodeKeeper {
    /// Registers the node, then keeps its status and lease. `cache` holds this node only.
    pub async fn run(self, cache: Cache) {
        // A node that had a range keeps it: after a restart the network is ready before the status is told.
        cache.synced().await;
        let told = cache
            .get(&self.key())
            .and_then(|node| self.tell_range(&node, ""))
            .unwrap_or_default();
        let mut conditions = Vec::new();
        self.update_conditions(&mut conditions, &self.problem().await);
        let mut delay = Duration::from_millis(100);
        while let Err(status) = self.register(&conditions).await {
            tracing::debug!(error = %status, "node not registered");
            self.env.clock.sleep(delay).await;
            delay = (delay * 2).min(Duration::from_secs(7));
        }
        self.recorder
            .record(self.about(), Severity::Normal, "Starting", "Starting kubelet.");
        self.env.ready.set("kubelet", component::State::Ready);
        let keeper = Arc::new(self);
        let tasks = keeper.env.tasks.clone();
        tasks.spawn("node-lease", keeper.clone().leases());
        let news = Arc::new(Notify::new());
        tasks.spawn(
            "node-watch",
            keeper.clone().watch(cache.clone(), told, news.clone()),
        );
        keeper.report(conditions, cache, &news).await;
    }

    fn about(&self) -> About {
        about::node(&self.config.node_name)
    }

    /// Tells of the node's pod range, and registers again when the node was deleted.
    async fn watch(self: Arc<Self>, cache: Cache, mut told: String, news: Arc<Notify>) {
        let mut changes = cache.subscribe();
        while let Some(change) = changes.recv().await {
            match change {
                Change::Applied { new, .. } => {
                    if let Some(range) = self.tell_range(&new, &told) {
                        told = range;
                        news.notify_one();
                    }
                }
                Change::Deleted { .. } => {
                    let mut conditions = Vec::new();
                    self.update_conditions(&mut conditions, &self.problem().await);
                    if let Err(status) = self.register(&conditions).await {
                        tracing::warn!(error = %status, "deleted node not registered again");
                    }
                }
            }
        }
    }

    /// Tells the network of the node's range, if it is another than `told`.
    fn tell_range(&self, node: &Object, told: &str) -> Option<String> {
        let range = node.view::<Node>().unwrap_or_default().spec.pod_cidr;
        if range.is_empty() || range == told {
            return None;
        }
        (self.config.on_pod_cidr)(&range);
        Some(range)
    }

    /// Why the node is not ready.
    async fn problem(&self) -> Result<(), String> {
        self.runtime.status().await.map_err(|e| e.to_string())
    }

    fn update_conditions(&self, conditions: &mut Vec<Heartbeat>, problem: &Result<(), String>) -> bool {
        let now = timestamp(self.env.clock.wall());
        let ready = match problem {
            Ok(()) => (
                "True",
                "KubeletReady",
                "kubelet is posting ready status".to_owned(),
            ),
            Err(why) => ("False", "KubeletNotReady", why.clone()),
        };
        let fine = |reason, message: &str| ("False", reason, message.to_owned());
        let short = |reason, message: &str| ("True", reason, message.to_owned());
        let pressure = *self.pressure.borrow();
        let memory = match pressure.memory {
            true => short(
                "KubeletHasInsufficientMemory",
                "kubelet has insufficient memory available",
            ),
            false => fine(
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available",
            ),
        };
        let disk = match pressure.disk {
            true => short("KubeletHasDiskPressure", "kubelet has disk pressure"),
            false => fine("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        };
        let wanted = [
            ("MemoryPressure", memory),
            ("DiskPressure", disk),
            (
                "PIDPressure",
                fine("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ),
            ("Ready", ready),
        ];
        let mut changed = false;
        let fresh = wanted.into_iter().map(|(kind, (status, reason, message))| {
            let before = conditions.iter().find(|c| c.condition.kind == kind);
            let since = before
                .filter(|c| c.condition.status == status)
                .and_then(|c| c.condition.last_transition_time.clone());
            let condition = Condition {
                kind: kind.to_owned(),
                status: status.to_owned(),
                observed_generation: None,
                last_transition_time: since.or_else(|| Some(now.clone())),
                reason: Some(reason.to_owned()),
                message: Some(message),
                patch: None,
            };
            changed |= before.is_none_or(|c| c.condition != condition);
            Heartbeat {
                condition,
                last_heartbeat_time: now.clone(),
            }
        });
        *conditions = fresh.collect();
        changed
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let architecture = &self.facts.architecture;
        let mut labels = self.config.node_labels.clone();
        for (key, value) in [
            ("kubernetes.io/hostname", self.config.node_name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", architecture),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", architecture),
        ] {
            labels.insert(key.to_owned(), value.to_owned());
        }
        labels
    }

    fn annotations(&self) -> BTreeMap<&'static str, String> {
        let root = self.config.local_path_root.display().to_string();
        [(ROOT_ANNOTATION, root)].into()
    }

    /// What the runtime has; none while it does not say.
    async fn images(&self) -> Option<Vec<Listed>> {
        self.runtime.images().await.ok().map(image_list::list)
    }

    fn status<'a>(&'a self, conditions: &'a [Heartbeat], images: Option<&'a [Listed]>) -> NodeStatus<'a> {
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let resources: BTreeMap<&'static str, Quantity> = [
            (
                "cpu",
                Quantity::from_int(i64::try_from(self.facts.cpus).unwrap_or(1)),
            ),
            (
                "memory",
                Quantity::from_bytes(whole(self.facts.memory / 1024 * 1024)),
            ),
            (
                "ephemeral-storage",
                Quantity::from_bytes(whole(self.facts.disk / 1024 * 1024)),
            ),
            ("pods", Quantity::from_int(i64::from(self.config.max_pods))),
        ]
        .into();
        let mut addresses: Vec<Address> = self
            .config
            .node_ips
            .iter()
            .map(|ip| Address {
                kind: "InternalIP",
                address: ip.clone(),
            })
            .collect();
        addresses.push(Address {
            kind: "Hostname",
            address: self.config.node_name.clone(),
        });
        let (name, version) = self.runtime.version();
        NodeStatus {
            capacity: resources.clone(),
            allocatable: resources,
            conditions,
            addresses,
            daemon_endpoints: Endpoints {
                kubelet_endpoint: Endpoint {
                    port: self.config.port,
                },
            },
            node_info: NodeInfo {
                machine_id: &self.facts.machine_id,
                system_uuid: &self.facts.system_uuid,
                boot_id: &self.facts.boot_id,
                kernel_version: &self.facts.kernel,
                os_image: &self.facts.os_image,
                container_runtime_version: format!("{name}://{version}"),
                kubelet_version: &self.config.kubelet_version,
                kube_proxy_version: "",
                operating_system: "linux",
                architecture: &self.facts.architecture,
            },
            images,
            features: Features {
                supplemental_groups_policy: true,
            },
            runtime_handlers: [Handler {
                name: "",
                features: HandlerFeatures {
                    recursive_read_only_mounts: true,
                    user_namespaces: false,
                },
            }],
            declared_features: FEATURES,
        }
    }

    async fn register(&self, conditions: &[Heartbeat]) -> Result<(), Status> {
        let registration = Registration {
            api_version: "v1",
            kind: "Node",
            metadata: Metadata {
                name: &self.config.node_name,
                labels: self.labels(),
                annotations: self.annotations(),
            },
            // The node life-cycle controller takes it away once the node says that it is ready.
            spec: Spec {
                taints: vec![Taint {
                    key: "node.kubernetes.io/not-ready".to_owned(),
                    effect: "NoSchedule".to_owned(),
                    ..Taint::default()
                }],
            },
            status: self.status(conditions, None),
        };
        match self.client.create(&NODES, "", &registration).await {
            Ok(_) => Ok(()),
            Err(status) if status.is_already_exists() => {
                #[derive(Serialize)]
                struct Own<'a> {
                    metadata: Metadata<'a>,
                }
                let own = Own {
                    metadata: Metadata {
                        name: &self.config.node_name,
                        labels: self.labels(),
                        annotations: self.annotations(),
                    },
                };
                self.client
                    .patch(&NODES, &self.key(), "", Patch::Strategic, &own)
                    .await?;
                self.write(conditions, None).await
            }
            Err(status) => Err(status),
        }
    }

    fn key(&self) -> Key {
        Key::cluster(&self.config.node_name)
    }

    async fn write(&self, conditions: &[Heartbeat], images: Option<&[Listed]>) -> Result<(), Status> {
        let report = Report {
            metadata: Labels {},
            status: self.status(conditions, images),
        };
        self.client
            .patch(&NODES, &self.key(), "status", Patch::Strategic, &report)
            .await
            .map(drop)
    }

    /// The status: when it changes, and every five minutes.
    async fn report(&self, mut conditions: Vec<Heartbeat>, cache: Cache, news: &Notify) {
        let clock = &self.env.clock;
        let (mut due, mut written) = (clock.now() + REPORT, false);
        let mut pressure = self.pressure.clone();
        let (mut images, mut told) = (None, BTreeMap::new());
        // What a create carried in its status may have been dropped: the first write follows at once.
        loop {
            let changed = self.update_conditions(&mut conditions, &self.problem().await);
            let found = self.images().await;
            written &= found == images;
            images = found;
            if changed || !written || self.is_given_up(&cache) || clock.now() >= due {
                written = match self.write(&conditions, images.as_deref()).await {
                    Ok(()) => {
                        self.tell(&conditions, &mut told);
                        true
                    }
                    Err(status) => {
                        tracing::debug!(error = %status, "node status not written");
                        false
                    }
                };
                due = clock.now() + REPORT;
            }
            tokio::select! {
                biased;
                () = news.notified() => {}
                Ok(()) = pressure.changed() => {}
                () = clock.sleep(CHECK) => {}
            }
        }
    }

    /// Whether the control plane took this node for lost: then it is told at once that it is not.
    fn is_given_up(&self, cache: &Cache) -> bool {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Told {
            status: Conditions,
        }
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Conditions {
            conditions: Vec<Condition>,
        }
        let told = cache
            .get(&self.key())
            .and_then(|object| object.view::<Told>().ok());
        let lost = |c: &Condition| c.kind == "Ready" && c.status == "Unknown";
        told.is_some_and(|told| told.status.conditions.iter().any(lost))
    }

    /// An event for each condition that is not as it was `told`.
    fn tell(&self, conditions: &[Heartbeat], told: &mut BTreeMap<String, String>) {
        let name = &self.config.node_name;
        for Condition { kind, status, .. } in conditions.iter().map(|c| &c.condition) {
            if told.insert(kind.clone(), status.clone()).as_ref() == Some(status) {
                continue;
            }
            let reason = match (kind.as_str(), status == "True") {
                ("MemoryPressure", false) => "NodeHasSufficientMemory",
                ("MemoryPressure", true) => "NodeHasInsufficientMemory",
                ("DiskPressure", false) => "NodeHasNoDiskPressure",
                ("DiskPressure", true) => "NodeHasDiskPressure",
                ("PIDPressure", false) => "NodeHasSufficientPID",
                ("PIDPressure", true) => "NodeHasInsufficientPID",
                (_, true) => "NodeReady",
                (_, false) => "NodeNotReady",
            };
            let message = format!("Node {name} status is now: {reason}");
            self.recorder
                .record(self.about(), Severity::Normal, reason, message);
        }
    }
}

/// The selector of this node only.
pub(crate) fn own(name: &str) -> Selector {
    Selector::fields(format!("metadata.name={name}"))
}
