//! Conversion between the versions of a custom resource.

use crate::{
    cache::{Cache, Held, Item, Watcher},
    handler::{Handler, Place},
};
use api::Status;
use resources::{Custom, Op, Written};
use std::sync::Arc;

impl Handler {
    /// Makes sure that all of `items` have the form of the served version of `place`.
    pub(crate) async fn ensure(&self, place: &Place, items: &[Held]) -> Result<(), Status> {
        self.ensure_version(&place.cache, place.version, items).await
    }

    async fn ensure_version(&self, cache: &Cache, version: usize, items: &[Held]) -> Result<(), Status> {
        let missing: Vec<&Held> = items.iter().filter(|held| !held.has(version)).collect();
        let Some(custom) = cache.custom().filter(|_| !missing.is_empty()) else {
            return Ok(());
        };
        let bodies = missing.iter().map(|held| held.hub().to_json()).collect();
        let converted = self.webhooks.convert(&custom, version, bodies).await?;
        for (held, object) in missing.into_iter().zip(converted) {
            held.put(version, object);
        }
        Ok(())
    }

    /// The same for what a watch tells next. False: it cannot be shown, and the watch has to end; who lists anew gets
    /// the error.
    pub(crate) async fn ensure_item(&self, watcher: &Watcher, item: &Item) -> bool {
        let Item::Event(kind, event) = item else {
            return true;
        };
        let Some(held) = event.held(*kind).filter(|held| !held.has(watcher.version)) else {
            return true;
        };
        let items = std::slice::from_ref(held);
        let done = self.ensure_version(watcher.cache(), watcher.version, items).await;
        done.inspect_err(|status| tracing::warn!(%status, "a watch ends"))
            .is_ok()
    }

    /// What is to be stored of what was written in the served version of `place`.
    pub(crate) async fn stored_form(
        &self,
        place: &Place,
        custom: &Arc<Custom>,
        old: Option<&Held>,
        op: Op,
        written: Written,
    ) -> Result<Written, Status> {
        // A mark is put on what is stored, in its own version.
        let marked =
            op == Op::Subresource("delete") || old.is_some_and(|old| *old.hub().body() == written.body);
        if custom.webhook.is_none() || place.version == custom.hub || marked {
            return Ok(written);
        }
        let bodies = vec![written.body.clone()];
        let converted = self.webhooks.convert(custom, custom.hub, bodies).await?;
        let body = converted.into_iter().next().map(|object| object.body().clone());
        Ok(Written {
            body: body.ok_or_else(|| Status::internal("the conversion webhook answered no object"))?,
            ..written
        })
    }
}
