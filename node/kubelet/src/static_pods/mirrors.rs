//! Keeps the mirror pods in line with the static pods.

use super::{Mirror, StaticPod, StaticPods};
use crate::{
    resources::{NODES, PODS},
    worker::Shared,
};
use api::{Key, Status};
use client::DeleteOptions;
use std::{sync::Arc, time::Duration};

/// Before another attempt.
const AGAIN: Duration = Duration::from_secs(1);

impl StaticPods {
    /// Makes mirrors that are missing, removes those that are too many, old or being deleted.
    pub async fn keep_mirrors(shared: Arc<Shared>, pods: client::Cache) {
        pods.synced().await;
        loop {
            let done = shared.statics.mend(&shared).await;
            let wait = async {
                match &done {
                    Ok(()) => std::future::pending().await,
                    Err(_) => shared.env.clock.sleep(AGAIN).await,
                }
            };
            tokio::select! {
                biased;
                () = shared.statics.news.notified() => {}
                () = wait => {}
            }
        }
    }

    async fn mend(&self, shared: &Shared) -> Result<(), Status> {
        let (wanted, mirrors) = (self.wanted(|w| w.clone()), self.mirrors(|m| m.clone()));
        let mut outcome = Ok(());
        let stale = |key: &Key, mirror: &Mirror| match wanted.get(key) {
            Some(pod) => mirror.ending || mirror.hash != pod.uid,
            // As long as the pod is being stopped its mirror shows it.
            None => mirror.ending || !shared.registry.has(&mirror.hash),
        };
        for (key, mirror) in mirrors.iter().filter(|(key, mirror)| stale(key, mirror)) {
            let options = DeleteOptions {
                uid: Some(mirror.uid.clone()),
                grace_period_seconds: Some(0),
                ..DeleteOptions::default()
            };
            match shared.client.delete(&PODS, key, options).await {
                Err(error) if !error.is_not_found() && !error.is_conflict() => {
                    tracing::debug!(%key, %error, "mirror pod not deleted");
                    outcome = Err(error);
                }
                _ => {}
            }
        }
        for pod in wanted.values().filter(|pod| !mirrors.contains_key(&pod.key())) {
            if let Err(error) = self.create(shared, pod).await {
                tracing::debug!(pod = pod.pod.full_name(), %error, "mirror pod not created");
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn create(&self, shared: &Shared, pod: &StaticPod) -> Result<(), Status> {
        let name = &shared.config.node_name;
        let node = shared.client.get(&NODES, &Key::cluster(name)).await?;
        let mirror = pod.mirror(name, node.uid()).map_err(Status::internal)?;
        match shared
            .client
            .create(&PODS, &pod.pod.metadata.namespace, &mirror)
            .await
        {
            // Seen soon, if it is ours; else there is nothing to be done until that pod goes.
            Err(error) if error.is_already_exists() => Ok(()),
            other => other.map(drop),
        }
    }
}
