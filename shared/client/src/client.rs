//! The handle that boxes hold.

use crate::{
    DeleteOptions, List, ListParams, Patch, Target, Transport, WatchParams, WatchStream, Write, WriteOptions,
};
use api::{Gvr, Key, Object, Status};
use bytes::Bytes;
use serde::Serialize;
use std::sync::Arc;

/// A client of one API server, as one identity. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    manager: Arc<str>,
}

impl Client {
    /// Over `transport`; writes are managed as `field_manager`, such as `kube-scheduler`.
    pub fn new(transport: Arc<dyn Transport>, field_manager: &str) -> Self {
        Self {
            transport,
            manager: field_manager.into(),
        }
    }

    /// The name that writes are managed as.
    pub fn manager(&self) -> &str {
        &self.manager
    }

    /// The transport.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    fn options(&self) -> WriteOptions {
        WriteOptions {
            field_manager: self.manager.to_string(),
            ..WriteOptions::default()
        }
    }

    /// Reads one object.
    pub async fn get(&self, gvr: &Gvr, key: &Key) -> Result<Arc<Object>, Status> {
        self.transport.get(Target::object(gvr, key)).await
    }

    /// Reads one object; `None` when it is not there.
    pub async fn find(&self, gvr: &Gvr, key: &Key) -> Result<Option<Arc<Object>>, Status> {
        match self.get(gvr, key).await {
            Ok(object) => Ok(Some(object)),
            Err(status) if status.is_not_found() => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// Reads a collection; an empty namespace is all of them.
    pub async fn list(&self, gvr: &Gvr, namespace: &str, params: ListParams) -> Result<List, Status> {
        self.transport
            .list(Target::collection(gvr, namespace), params)
            .await
    }

    /// Watches a collection.
    pub async fn watch(
        &self,
        gvr: &Gvr,
        namespace: &str,
        params: WatchParams,
    ) -> Result<WatchStream, Status> {
        self.transport
            .watch(Target::collection(gvr, namespace), params)
            .await
    }

    /// Any write.
    pub async fn write(&self, target: Target, write: Write) -> Result<Arc<Object>, Status> {
        self.transport.write(target, write, self.options()).await
    }

    /// Creates an object from anything that serializes to one.
    pub async fn create(
        &self,
        gvr: &Gvr,
        namespace: &str,
        object: &impl Serialize,
    ) -> Result<Arc<Object>, Status> {
        self.write(Target::collection(gvr, namespace), Write::Create(encode(object)?))
            .await
    }

    /// Replaces an object.
    pub async fn update(&self, gvr: &Gvr, key: &Key, object: &impl Serialize) -> Result<Arc<Object>, Status> {
        self.write(Target::object(gvr, key), Write::Update(encode(object)?))
            .await
    }

    /// Patches an object or one of its subresources.
    pub async fn patch(
        &self,
        gvr: &Gvr,
        key: &Key,
        subresource: &'static str,
        kind: Patch,
        patch: &impl Serialize,
    ) -> Result<Arc<Object>, Status> {
        self.write(
            Target::object(gvr, key).sub(subresource),
            Write::Patch(kind, encode(patch)?),
        )
        .await
    }

    /// Deletes an object.
    pub async fn delete(&self, gvr: &Gvr, key: &Key, options: DeleteOptions) -> Result<Arc<Object>, Status> {
        self.write(Target::object(gvr, key), Write::Delete(options)).await
    }
}

fn encode(object: &impl Serialize) -> Result<Bytes, Status> {
    serde_json::to_vec(object)
        .map(Bytes::from)
        .map_err(Status::internal)
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.manager)
    }
}
