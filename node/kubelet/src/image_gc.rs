//! Removes images that nobody uses when the disk fills up (upstream: `pkg/kubelet/images/image_gc_manager.go`).

use crate::{about, pod::default_tag, worker::Shared};
use client::Severity;
use jiff::{SignedDuration, Timestamp};
use runtime::{ContainerStatus, Image};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

const PERIOD: Duration = Duration::from_secs(300);

/// When an image was seen first, and last in use.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Timestamp,
    used: Timestamp,
}

/// What is known of the images between rounds, by id.
#[derive(Debug, Default)]
struct Memory(BTreeMap<String, Seen>);

/// Looks at the disk now and then.
pub(crate) async fn collect(shared: Arc<Shared>) {
    let (mut memory, mut all) = (Memory::default(), false);
    loop {
        if let Err(error) = memory.round(&shared, all).await {
            tracing::warn!(%error, "images not collected");
            let message = error.to_string();
            let node = about::node(&shared.config.node_name);
            shared
                .recorder
                .record(node, Severity::Warning, "ImageGCFailed", message);
        }
        all = tokio::select! {
            biased;
            () = shared.disk_low.notified() => true,
            () = shared.env.clock.sleep(PERIOD) => false,
        };
    }
}

impl Memory {
    /// Frees what is missing, or `all` that can be freed.
    async fn round(&mut self, shared: &Shared, all: bool) -> Result<(), crate::Error> {
        let runtime = &shared.runtime;
        let (images, containers) = (runtime.images().await?, runtime.containers(None).await?);
        let mut wanted = BTreeSet::new();
        for name in references(shared) {
            wanted.extend(runtime.image(name).await?.map(|image| image.id));
        }
        let now = shared.env.clock.wall();
        let used: BTreeSet<String> = images
            .iter()
            .filter(|image| wanted.contains(&image.id) || containers.iter().any(|c| is_of(c, image)))
            .map(|image| image.id.clone())
            .collect();
        self.0.retain(|id, _| images.iter().any(|image| image.id == *id));
        for image in &images {
            let seen = self.0.entry(image.id.clone()).or_insert(Seen {
                first: now,
                used: Timestamp::UNIX_EPOCH,
            });
            if used.contains(&image.id) {
                seen.used = now;
            }
        }
        if all {
            return self.free(shared, images, &used, u64::MAX).await.map(drop);
        }
        let (high, low) = (
            u64::from(shared.config.image_gc_high),
            u64::from(shared.config.image_gc_low),
        );
        let disk = shared.machine.disk(&runtime.image_root())?;
        if high >= 100
            || disk.capacity == 0
            || 100 - disk.available.min(disk.capacity) * 100 / disk.capacity < high
        {
            return Ok(());
        }
        let missing = (disk.capacity * (100 - low) / 100).saturating_sub(disk.available);
        let freed = self.free(shared, images, &used, missing).await?;
        if freed < missing {
            let message = format!(
                "Failed to garbage collect required amount of images. Attempted to free {missing} bytes, but only found {freed} bytes eligible to free."
            );
            let node = about::node(&shared.config.node_name);
            shared
                .recorder
                .record(node, Severity::Warning, "FreeDiskSpaceFailed", message);
        }
        Ok(())
    }

    /// Removes images that are not in use, those not used for the longest time first; how many bytes they had.
    async fn free(
        &mut self,
        shared: &Shared,
        mut images: Vec<Image>,
        used: &BTreeSet<String>,
        wanted: u64,
    ) -> Result<u64, crate::Error> {
        let now = shared.env.clock.wall();
        let seen = |image: &Image| self.0.get(&image.id).map(|s| (s.used, s.first));
        let old = |image: &Image| seen(image).is_some_and(|(_, first)| now.duration_since(first) >= MIN_AGE);
        images.retain(|image| !used.contains(&image.id) && old(image));
        images.sort_by_key(|image| (seen(image), image.id.clone()));
        let mut freed = 0;
        for image in images {
            if freed >= wanted {
                break;
            }
            tracing::info!(image = image.id, bytes = image.size, "unused image removed");
            shared.runtime.remove_image(image.id.clone()).await?;
            freed += image.size;
        }
        Ok(freed)
    }
}

/// An image that came just now may be wanted in a moment (upstream: `imageMinimumGCAge`).
const MIN_AGE: SignedDuration = SignedDuration::from_secs(120);

fn is_of(container: &ContainerStatus, image: &Image) -> bool {
    container.image_id == image.id || image.digests.contains(&container.image_id)
}

/// Images that pods of this node name.
fn references(shared: &Shared) -> BTreeSet<String> {
    let pods = shared.registry.pods();
    let of = pods.iter().flat_map(|input| {
        let containers = input.pod.every_container().map(|c| c.image.as_str());
        let volumes = input.pod.spec.volumes.iter().filter_map(|v| v.image.as_ref());
        containers.chain(volumes.map(|image| image.reference.as_str()))
    });
    of.map(default_tag).collect()
}
