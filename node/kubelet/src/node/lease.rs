//! The lease, by which the control plane sees that the node lives.

use super::NodeKeeper;
use crate::resources::{LEASES, NODES};
use api::{Key, Status};
use client::Patch;
use serde::Serialize;
use std::{sync::Arc, time::Duration};

const LEASE_SECONDS: u64 = 40;
const RENEW: Duration = Duration::from_secs(10);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lease<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: LeaseMetadata<'a>,
    spec: LeaseSpec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LeaseMetadata<'a> {
    name: &'a str,
    namespace: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    owner_references: Vec<api::Owner>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LeaseSpec<'a> {
    holder_identity: &'a str,
    lease_duration_seconds: u64,
    renew_time: String,
}

#[derive(Serialize)]
struct Renewal<'a> {
    spec: LeaseSpec<'a>,
}

impl NodeKeeper {
    fn lease_spec(&self) -> LeaseSpec<'_> {
        LeaseSpec {
            holder_identity: &self.config.node_name,
            lease_duration_seconds: LEASE_SECONDS,
            renew_time: self
                .env
                .clock
                .wall()
                .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
                .to_string(),
        }
    }

    /// The lease: the only write that comes without a change.
    pub(super) async fn leases(self: Arc<Self>) {
        let key = Key::new("kube-node-lease", &self.config.node_name);
        loop {
            let renewal = Renewal {
                spec: self.lease_spec(),
            };
            let renewed = self.client.patch(&LEASES, &key, "", Patch::Merge, &renewal).await;
            let outcome = match renewed {
                Err(status) if status.is_not_found() => self.create_lease(&key).await,
                other => other.map(drop),
            };
            if let Err(status) = outcome {
                tracing::debug!(error = %status, "lease not renewed");
                self.env.clock.sleep(Duration::from_secs(1)).await;
            } else {
                self.env.clock.sleep(RENEW).await;
            }
        }
    }

    async fn create_lease(&self, key: &Key) -> Result<(), Status> {
        let node = self.client.get(&NODES, &self.key()).await?;
        let owner = api::Owner {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: self.config.node_name.clone(),
            uid: node.uid().to_owned(),
            ..api::Owner::default()
        };
        let lease = Lease {
            api_version: "coordination.k8s.io/v1",
            kind: "Lease",
            metadata: LeaseMetadata {
                name: &key.name,
                namespace: "kube-node-lease",
                owner_references: vec![owner],
            },
            spec: self.lease_spec(),
        };
        self.client
            .create(&LEASES, &key.namespace, &lease)
            .await
            .map(drop)
    }
}
