//! Conversion between the versions of a custom resource.

use crate::{
    cache::{Cache, Held, Item, Selection, Watcher},
    handler::{Handler, Place},
};
use api::{FieldSelector, Status};
use resources::{Custom, Op, Written};
use std::sync::Arc;

impl Place {
    /// Parses selectors over this collection, in upstream's words when they are bad. Each version of a custom resource
    /// has selectable fields of its own.
    pub(crate) fn selection(&self, labels: &str, fields: &str) -> Result<Selection, Status> {
        let row = self.row();
        let Some(custom) = self.cache.custom() else {
            return Selection::parse(row, &self.namespace, labels, fields);
        };
        let wished = FieldSelector::parse(fields).map_err(|error| Status::bad_request(error.to_string()))?;
        let of_all = |path: &str| path == "metadata.name" || (path == "metadata.namespace" && row.namespaced);
        let (fields, own): (Vec<_>, Vec<_>) = wished.0.into_iter().partition(|(path, ..)| of_all(path));
        let known = &custom.versions[self.version].selectable;
        if let Some((path, ..)) = own.iter().find(|(path, ..)| !known.contains(path)) {
            return Err(Status::bad_request(format!("field label not supported: {path}")));
        }
        let mut selection = Selection::parse(row, &self.namespace, labels, "")?;
        selection.fields.0 = fields;
        // What a webhook converts may be stored in any version.
        if self.version == custom.hub && custom.webhook.is_none() {
            selection.fields.0.extend(own);
        } else if !own.is_empty() {
            selection.converted = Some((self.version, FieldSelector(own)));
        }
        Ok(selection)
    }
}

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

    /// The same for what a watch tells next; none, if it is not told, since the form of the watched version is not
    /// selected. An error: it cannot be shown, and the watch has to end; who lists anew gets the error.
    pub(crate) async fn ensure_item(&self, watcher: &Watcher, item: Item) -> Result<Option<Item>, Status> {
        let Item::Event(kind, event) = item else {
            return Ok(Some(item));
        };
        let ensured = async |items: &[Held]| {
            let done = self.ensure_version(watcher.cache(), watcher.version, items).await;
            done.inspect_err(|status| tracing::warn!(%status, "a watch ends"))
        };
        let mut now = Some(kind);
        if watcher.selection().converted.is_some() {
            let sides = [&event.old, &event.new].into_iter().flatten().cloned();
            ensured(&sides.collect::<Vec<_>>()).await?;
            now = watcher.kind(&event);
        }
        if let Some(held) = now.and_then(|kind| event.held(kind))
            && !held.has(watcher.version)
        {
            ensured(std::slice::from_ref(held)).await?;
        }
        Ok(now.map(|kind| Item::Event(kind, event)))
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
