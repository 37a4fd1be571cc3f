//! Conversion between the versions of a custom resource.

use crate::{
    cache::Held,
    handler::{Handler, Place},
};
use api::Status;
use resources::{Custom, Op, Written};
use std::sync::Arc;

impl Handler {
    /// Makes sure that all of `items` have the form of the served version of `place`.
    pub(crate) async fn ensure(&self, place: &Place, items: &[Held]) -> Result<(), Status> {
        let Some(custom) = place.cache.custom() else { return Ok(()) };
        let missing: Vec<&Held> = items.iter().filter(|held| !held.has(place.version)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let bodies = missing.iter().map(|held| held.hub().to_json()).collect();
        let converted = self.webhooks.convert(&custom, place.version, bodies).await?;
        for (held, object) in missing.into_iter().zip(converted) {
            held.put(place.version, object);
        }
        Ok(())
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
        let marked = op == Op::Subresource("delete") || old.is_some_and(|old| *old.hub().body() == written.body);
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
