//! Where a request goes: a resource in a served version, and what of it.

use crate::cache::{Cache, api_version};
use api::{Gvr, Status};
use resources::{Row, Version, VirtualResource};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::watch;

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

    /// Whether the resource has the subresource in this version.
    pub fn has(&self, subresource: &str) -> bool {
        let custom = self.cache.custom();
        let version = custom.as_ref().map(|custom| &custom.versions[self.version]);
        match (version, subresource) {
            (Some(version), "status") => version.status,
            (Some(version), "scale") => version.scale.is_some(),
            _ => self.row().subresource(subresource).is_some(),
        }
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

/// All resources that are served. Definitions add and take away some while the server runs.
pub struct Places {
    virtual_resources: Vec<&'static VirtualResource>,
    index: watch::Sender<Arc<Index>>,
    rows: watch::Sender<Vec<&'static Row>>,
}

/// The resources that are served at one time.
pub struct Index {
    /// Grows with each change.
    pub number: u64,
    /// The caches: built-in ones in the table's order, then custom ones.
    pub caches: Vec<Arc<Cache>>,
    /// Resources without storage.
    pub virtual_resources: Vec<&'static VirtualResource>,
    served: HashMap<(&'static str, &'static str, &'static str), (usize, usize)>,
    resources: HashMap<(&'static str, &'static str), usize>,
}

impl Index {
    fn new(caches: Vec<Arc<Cache>>, virtual_resources: Vec<&'static VirtualResource>, number: u64) -> Self {
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
            number,
            caches,
            virtual_resources,
            served,
            resources,
        }
    }
}

fn rows(caches: &[Arc<Cache>]) -> Vec<&'static Row> {
    caches.iter().map(|cache| cache.row).collect()
}

impl Places {
    /// Indexes `caches`; resources without storage are listed beside them.
    pub fn new(caches: Vec<Arc<Cache>>, virtual_resources: Vec<&'static VirtualResource>) -> Self {
        let index = Index::new(caches.clone(), virtual_resources.clone(), 0);
        Self {
            virtual_resources,
            rows: watch::Sender::new(rows(&caches)),
            index: watch::Sender::new(Arc::new(index)),
        }
    }

    /// The resource without storage of this name.
    pub fn virtual_resource(&self, gvr: &Gvr) -> Option<&'static VirtualResource> {
        let same = |of: &&&'static VirtualResource| {
            (of.group, of.version, of.plural)
                == (gvr.group.as_ref(), gvr.version.as_ref(), gvr.resource.as_ref())
        };
        self.virtual_resources.iter().find(same).copied()
    }

    /// The resources as they are now.
    pub fn index(&self) -> Arc<Index> {
        self.index.borrow().clone()
    }

    /// The rows that are served, and each change of them.
    pub fn rows(&self) -> watch::Receiver<Vec<&'static Row>> {
        self.rows.subscribe()
    }

    /// Changes what is served; also called when only a schema has changed.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Arc<Cache>>)) {
        let mut now = Vec::new();
        self.index.send_modify(|index| {
            let mut caches = index.caches.clone();
            change(&mut caches);
            now = rows(&caches);
            *index = Arc::new(Index::new(
                caches,
                index.virtual_resources.clone(),
                index.number + 1,
            ));
        });
        self.rows.send_if_modified(|rows| {
            let changed = !rows
                .iter()
                .map(|row| std::ptr::from_ref(*row))
                .eq(now.iter().map(|row| std::ptr::from_ref(*row)));
            *rows = now;
            changed
        });
    }

    /// The cache of a resource, by group and plural name.
    pub fn cache(&self, group: &str, plural: &str) -> Option<Arc<Cache>> {
        let index = self.index.borrow();
        let &place = index.resources.get(&(group, plural))?;
        Some(index.caches[place].clone())
    }

    /// The place of a request; 404 for what is not served.
    pub fn find(&self, gvr: &Gvr, namespace: &str, name: &str, subresource: &str) -> Result<Place, Status> {
        let key = (gvr.group.as_ref(), gvr.version.as_ref(), gvr.resource.as_ref());
        let index = self.index.borrow();
        let &(cache, version) = index.served.get(&key).ok_or_else(Status::no_such_path)?;
        Ok(Place {
            cache: index.caches[cache].clone(),
            version,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        })
    }
}
