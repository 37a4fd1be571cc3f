//! kube-controller-manager: one row a controller, all on the runtime of `reconcile`.
//!
//! Controllers are pure: they never hold a client, never await, never retry. The garbage collector is an engine with
//! effects of its own.

mod aggregation;
mod certificates;
mod claim;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod ephemeral_volume;
pub mod gc;
mod job;
mod legacy_token;
mod legacy_token_cleaner;
mod memo;
mod namespace;
mod node;
mod publish;
mod quota;
mod replicaset;
mod service_cidr;
mod statefulset;
#[cfg(test)]
mod stories;
mod views;
mod volumes;
mod workloads;

pub use aggregation::ClusterRoleAggregationController;
pub use certificates::{PodCertificateRequestCleaner, ServingBundleController, Signer, SignerError, Signers};
pub use cronjob::CronJobController;
pub use daemonset::DaemonSetController;
pub use deployment::DeploymentController;
pub use endpoints::{EndpointSliceController, EndpointsController};
pub use ephemeral_volume::EphemeralVolumeController;
pub use job::{JobController, TtlAfterFinishedController};
pub use legacy_token::LegacyTokenController;
pub use legacy_token_cleaner::LegacyTokenCleaner;
pub use namespace::NamespaceController;
pub use node::{NodeIpamController, NodeLifecycleController, TaintEvictionController};
pub use publish::{RootCaController, ServiceAccountController};
pub use replicaset::{ReplicaSetController, ReplicationController};
pub use service_cidr::{AddressController, ServiceCidrController};
pub use statefulset::StatefulSetController;

use api::decision::Ring;
use client::Client;
use component::{Env, State};
use reconcile::Runtime;
use std::{net::Ipv4Addr, sync::Arc, time::Duration};

/// How long nobody must have used a token in a Secret, if nothing else is said.
pub const TOKEN_CLEAN_UP: Duration = Duration::from_secs(8760 * 3600);

/// The name of the box on the readiness board.
pub const NAME: &str = "kube-controller-manager";

/// Settings of the box.
#[derive(Clone)]
pub struct Config {
    /// The cluster's CA certificate, PEM, published to every namespace.
    pub root_ca: String,
    /// The key that signs service account tokens; without it no Secret is given one.
    pub token_key: Option<Arc<component::jwt::Key>>,
    /// Tokens in Secrets that nobody used for so long are cleaned up.
    pub token_clean_up: Duration,
    /// The cluster's pod range.
    pub cluster_cidr: (Ipv4Addr, u8),
    /// The prefix length of a node's range.
    pub node_cidr_prefix: u8,
    /// Sign certificates that are approved.
    pub signers: Signers,
    /// Every resource that can be listed, watched and deleted, but for custom ones and those of other servers; it may change.
    pub resources: gc::Served,
}

/// Starts all controllers in the task tree of `env`.
pub fn start(client: &Client, config: Config, records: Ring, env: &Env) -> Runtime {
    let runtime = Runtime::new(client.clone(), records, env.clone());
    runtime.start(DeploymentController);
    runtime.start(ReplicaSetController::default());
    runtime.start(ReplicationController::default());
    runtime.start(DaemonSetController::default());
    runtime.start(StatefulSetController::default());
    runtime.start(JobController::default());
    runtime.start(TtlAfterFinishedController);
    runtime.start(CronJobController::default());
    runtime.start(EndpointSliceController);
    runtime.start(EndpointsController);
    runtime.start(ClusterRoleAggregationController);
    runtime.start(ServiceAccountController);
    if let Some(key) = config.token_key {
        runtime.start(LegacyTokenController {
            key,
            root_ca: config.root_ca.clone(),
        });
    }
    runtime.start(LegacyTokenCleaner {
        period: config.token_clean_up,
    });
    runtime.start(PodCertificateRequestCleaner);
    runtime.start(ServingBundleController {
        certificate: config.root_ca.clone(),
    });
    runtime.start(RootCaController {
        certificate: config.root_ca,
    });
    let (base, prefix) = config.cluster_cidr;
    runtime.start(NodeIpamController {
        base,
        prefix,
        node_prefix: config.node_cidr_prefix,
    });
    runtime.start(NodeLifecycleController {
        since: env.clock.wall(),
    });
    runtime.start(TaintEvictionController);
    volumes::start(&runtime);
    certificates::start(client, runtime.caches(), config.signers, env);
    runtime.start(EphemeralVolumeController);
    runtime.start(ServiceCidrController);
    runtime.start(AddressController);
    let collections = gc::Collections::default();
    let served = gc::with_definitions(runtime.caches(), config.resources, env);
    let served = gc::with_other_servers(client, runtime.caches(), served, &collections, env);
    let counting = quota::start(client, runtime.caches(), &collections, env);
    gc::start(client, runtime.caches(), &served, &collections, counting, env);
    runtime.start(NamespaceController {
        served: served.borrow().clone(),
        collections: collections.clone(),
    });
    runtime.start(disruption::DisruptionController::new(served, collections));
    env.ready.set(NAME, State::Ready);
    runtime
}
