//! The transport: how requests reach an API server.

use api::{Gvr, Key, Object, Status};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture, stream::BoxStream};
use serde::Deserialize;
use std::sync::Arc;

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The resource.
    pub gvr: Gvr,
    /// Namespace; empty: cluster-scoped, or all namespaces for collections.
    pub namespace: String,
    /// Name; empty for collections.
    pub name: String,
    /// Subresource such as `status`; empty for none.
    pub subresource: &'static str,
}

impl Target {
    /// One object.
    pub fn object(gvr: &Gvr, key: &Key) -> Self {
        Self {
            gvr: gvr.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            subresource: "",
        }
    }

    /// A collection; an empty namespace is all of them.
    pub fn collection(gvr: &Gvr, namespace: &str) -> Self {
        Self {
            gvr: gvr.clone(),
            namespace: namespace.to_owned(),
            name: String::new(),
            subresource: "",
        }
    }

    /// Its subresource.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "short for subresource; nothing is subtracted"
    )]
    pub fn sub(mut self, subresource: &'static str) -> Self {
        self.subresource = subresource;
        self
    }

    /// The URL path.
    pub fn path(&self) -> String {
        let namespace = (!self.namespace.is_empty()).then_some(self.namespace.as_str());
        let mut path = self.gvr.path(namespace);
        for part in [self.name.as_str(), self.subresource] {
            if !part.is_empty() {
                path.push('/');
                path.push_str(part);
            }
        }
        path
    }
}

/// Query of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListParams {
    /// Label selector, in its query form.
    pub label_selector: String,
    /// Field selector, in its query form.
    pub field_selector: String,
    /// At most so many; 0: all.
    pub limit: usize,
    /// Go on from here.
    pub continue_token: String,
    /// `None`: the newest state; `Some(0)`: any state.
    pub resource_version: Option<u64>,
}

/// Query of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchParams {
    /// Label selector, in its query form.
    pub label_selector: String,
    /// Field selector, in its query form.
    pub field_selector: String,
    /// Changes after this version.
    pub resource_version: u64,
    /// Send bookmarks.
    pub bookmarks: bool,
}

/// A list of objects, all of one version of the collection.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// The objects.
    pub items: Vec<Arc<Object>>,
    /// The version the list is of.
    pub resource_version: u64,
    /// Where the next page starts; empty: this was the last.
    pub continue_token: String,
}

/// An event of a watch.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// New, or newly matching.
    Added(Arc<Object>),
    /// Changed.
    Modified(Arc<Object>),
    /// Gone, or no longer matching; as it was last.
    Deleted(Arc<Object>),
    /// Everything up to this version was sent.
    Bookmark(u64),
}

/// Events, in order. Ends after an error (410 when the version is too old) or when the server ends it.
pub type WatchStream = BoxStream<'static, Result<WatchEvent, Status>>;

/// The kinds of patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' strategic merge.
    Strategic,
    /// Server-side apply.
    Apply,
}

/// Options of a delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Delete only this UID.
    pub uid: Option<String>,
    /// Delete only at this resourceVersion.
    pub resource_version: Option<u64>,
    /// Seconds of grace; `None`: the object's own.
    pub grace_period_seconds: Option<i64>,
    /// `Background`, `Foreground` or `Orphan`; `None`: the resource's default.
    pub propagation_policy: Option<&'static str>,
}

/// A write. Bodies are JSON objects.
#[derive(Clone, Debug)]
pub enum Write {
    /// POST to a collection or subresource.
    Create(Bytes),
    /// PUT.
    Update(Bytes),
    /// PATCH.
    Patch(Patch, Bytes),
    /// DELETE of an object, or of a collection when the target has no name.
    Delete(DeleteOptions),
}

/// Options of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Who manages the fields; empty: the client's own name.
    pub field_manager: String,
    /// Do everything but store it.
    pub dry_run: bool,
    /// Take fields from other managers (server-side apply).
    pub force: bool,
}

/// A resource of a version of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Discovered {
    /// Plural.
    pub name: String,
    /// The kind of its objects.
    pub kind: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// What can be done with it.
    pub verbs: Vec<String>,
}

/// A way to an API server, as one identity.
pub trait Transport: Send + Sync + 'static {
    /// Reads one object.
    fn get(&self, target: Target) -> BoxFuture<'_, Result<Arc<Object>, Status>>;
    /// Reads a collection.
    fn list(&self, target: Target, params: ListParams) -> BoxFuture<'_, Result<List, Status>>;
    /// Watches a collection.
    fn watch(&self, target: Target, params: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>>;
    /// Writes. The answer is the object as written (or, for a finished delete, as it was; a `Status` of kind
    /// `Status` when that is what the server says).
    fn write(
        &self,
        target: Target,
        write: Write,
        options: WriteOptions,
    ) -> BoxFuture<'_, Result<Arc<Object>, Status>>;
    /// The resources that a version of a group has. A way that has no discovery knows of none.
    fn discover(&self, _group: String, _version: String) -> BoxFuture<'_, Result<Vec<Discovered>, Status>> {
        std::future::ready(Err(Status::no_such_path())).boxed()
    }
}
