//! Where a request goes: a resource in a served version, and what of it.

use crate::cache::{Cache, api_version};
use api::{Gvr, Status};
use resources::{Row, Version};
use std::{collections::HashMap, sync::Arc};

/// What a request is about, found in the table.
#[derive(Clone)]
pub struct Place {
    /// The resource.
    pub cache: Arc<Cache>,
    /// Index of the served version in the row.
    pub version: usize,
    /// Namespace; empty: cluster-scoped or all.
    pub namespace: String,
    /// Name; empty: the collection.
    pub name: String,
    /// Subresource; empty for none.
    pub subresource: String,
}

impl Place {
    /// The row.
    pub fn row(&self) -> &'static Row {
        self.cache.row
    }

    /// The served version.
    pub fn served(&self) -> &'static Version {
        &self.row().versions[self.version]
    }

    /// Its group.
    pub fn group(&self) -> &'static str {
        self.served().group.unwrap_or(self.row().group)
    }

    /// `group/version` as served.
    pub fn api_version(&self) -> String {
        api_version(self.row(), self.served())
    }

    /// Group, version and resource as served.
    pub fn gvr(&self) -> Gvr {
        Gvr::new(self.group(), self.served().name, self.row().plural)
    }

    /// The key in the store, of the object `name`.
    pub fn key(&self, name: &str) -> String {
        self.row().key(&self.namespace, name)
    }

    /// The same collection, one object of it.
    pub fn named(&self, namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..self.clone()
        }
    }
}

/// All resources, by served group, version and plural name.
pub struct Places {
    caches: Vec<Arc<Cache>>,
    served: HashMap<(&'static str, &'static str, &'static str), (usize, usize)>,
    resources: HashMap<(&'static str, &'static str), usize>,
}

impl Places {
    /// Indexes `caches`.
    pub fn new(caches: Vec<Arc<Cache>>) -> Self {
        let (mut served, mut resources) = (HashMap::new(), HashMap::new());
        for (index, cache) in caches.iter().enumerate() {
            let row = cache.row;
            resources.insert((row.group, row.plural), index);
            for (number, version) in row.versions.iter().enumerate() {
                let group = version.group.unwrap_or(row.group);
                served.insert((group, version.name, row.plural), (index, number));
                resources.entry((group, row.plural)).or_insert(index);
            }
        }
        Self {
            caches,
            served,
            resources,
        }
    }

    /// The caches, in the table's order.
    pub fn caches(&self) -> &[Arc<Cache>] {
        &self.caches
    }

    /// The cache of a resource, by group and plural name.
    pub fn cache(&self, group: &str, plural: &str) -> Option<&Arc<Cache>> {
        self.resources
            .get(&(group, plural))
            .map(|&index| &self.caches[index])
    }

    /// The place of a request; 404 for what is not served.
    pub fn find(&self, gvr: &Gvr, namespace: &str, name: &str, subresource: &str) -> Result<Place, Status> {
        let key = (gvr.group.as_ref(), gvr.version.as_ref(), gvr.resource.as_ref());
        let &(index, version) = self.served.get(&key).ok_or_else(Status::no_such_path)?;
        Ok(Place {
            cache: self.caches[index].clone(),
            version,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        })
    }
}
