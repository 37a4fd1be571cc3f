//! An object as the cache holds it: the stored form and, where they differ, its other served versions.

use api::{Object, ObjectError};
use bytes::Bytes;
use resources::{Row, Version};
use std::sync::Arc;

/// One stored object in all its served versions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Held {
    hub: Arc<Object>,
    /// One a served version, in the row's order; absent when the hub is the only one.
    others: Option<Arc<[Arc<Object>]>>,
}

impl Held {
    /// Reads the header of a stored value and converts it to the served versions.
    pub fn parse(row: &'static Row, body: Bytes, revision: u64) -> Result<Self, ObjectError> {
        Ok(Self::of(
            row,
            Arc::new(Object::parse(body, revision, row.fields)?),
        ))
    }

    fn of(row: &'static Row, hub: Arc<Object>) -> Self {
        let only_hub = row.versions.len() <= 1;
        let others = (!only_hub).then(|| row.versions.iter().map(|v| convert(row, v, &hub)).collect());
        Self { hub, others }
    }

    /// The stored form.
    pub fn hub(&self) -> &Arc<Object> {
        &self.hub
    }

    /// The form of the served version number `index`.
    pub fn version(&self, index: usize) -> &Arc<Object> {
        self.others
            .as_ref()
            .and_then(|others| others.get(index))
            .unwrap_or(&self.hub)
    }

    /// The same at another revision, as a deletion shows it.
    pub fn at(&self, revision: u64) -> Self {
        let at = |object: &Arc<Object>| Arc::new(object.at(revision));
        Self {
            hub: at(&self.hub),
            others: self.others.as_ref().map(|others| others.iter().map(at).collect()),
        }
    }

    /// Bytes that it keeps in memory, about.
    pub fn size(&self) -> usize {
        let others = self
            .others
            .as_ref()
            .map_or(0, |o| o.iter().map(|v| v.body().len()).sum());
        self.hub.body().len() + others + 400
    }
}

/// `hub` in the served version `version`. A conversion that fails is told and leaves the stored form, since an object
/// may not vanish.
fn convert(row: &'static Row, version: &'static Version, hub: &Arc<Object>) -> Arc<Object> {
    let wanted = api_version(row, version);
    let text = match version.from_hub {
        Some(from_hub) => from_hub(hub.body()),
        None if hub.api_version() == wanted => return hub.clone(),
        None => {
            let mut text = Vec::new();
            hub.at(0).write_json(Some(&wanted), &mut text);
            Ok(text)
        }
    };
    let parsed = text.map_err(|status| status.message).and_then(|text| {
        Object::parse(text.into(), hub.resource_version(), row.fields).map_err(|error| error.to_string())
    });
    parsed.map_or_else(
        |error| {
            tracing::error!(resource = %row.gvr(), key = %hub.key(), version = %wanted, error, "conversion failed");
            hub.clone()
        },
        Arc::new,
    )
}

/// `group/version` of a served version.
pub fn api_version(row: &Row, version: &Version) -> String {
    match version.group.unwrap_or(row.group) {
        "" => version.name.to_owned(),
        group => format!("{group}/{}", version.name),
    }
}
