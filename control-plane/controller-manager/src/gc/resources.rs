//! The resources that are served, which come and go with custom resource definitions.

use api::Gvr;
use std::sync::Arc;
use tokio::sync::watch;

/// A resource that can be listed, watched and deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collectable {
    /// Group, version and plural.
    pub gvr: Gvr,
    /// The kind of its objects.
    pub kind: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// It is served as long as the API server is.
    pub built_in: bool,
}

/// Every resource that can be listed, watched and deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources(pub Vec<Collectable>);

/// The resources of the moment; whoever makes the controllers' `Config` sends what is new.
pub type Served = watch::Receiver<Arc<Resources>>;

impl Resources {
    /// The resource of an owner reference. Any version of the group will do: the objects are the same.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Collectable> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.0.iter().find(|r| r.gvr.group == group && r.kind == kind)
    }

    /// As a list that never changes.
    pub fn fixed(self) -> Served {
        watch::channel(Arc::new(self)).1
    }
}
