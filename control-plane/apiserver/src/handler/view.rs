//! What a kind may see of the cluster while it is written, and what it allocates.

use super::Handler;
use api::{Gvr, Object};
use resources::Cluster;
use std::sync::{Arc, Mutex, PoisonError};

/// What was allocated.
enum Taken {
    Ip(String),
    Port(u16),
}

/// A view for one attempt of a write. What it allocated goes back when it is dropped without [`View::keep`].
pub(super) struct View<'a> {
    handler: &'a Handler,
    taken: Mutex<Vec<Taken>>,
}

impl<'a> View<'a> {
    pub(super) fn new(handler: &'a Handler) -> Self {
        Self {
            handler,
            taken: Mutex::default(),
        }
    }

    fn took(&self, taken: Taken) {
        self.taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(taken);
    }

    /// The write is done: allocations stay until the object that has them goes.
    pub(super) fn keep(self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        for taken in self
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            match taken {
                Taken::Ip(ip) => self.handler.allocator.release_ip(&ip),
                Taken::Port(port) => self.handler.allocator.release_port(port),
            }
        }
    }
}

impl Cluster for View<'_> {
    fn get(&self, resource: &Gvr, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let held = self
            .handler
            .cache(&resource.group, &resource.resource)?
            .get(namespace, name)?;
        Some(held.hub().clone())
    }

    fn list(&self, resource: &Gvr, namespace: &str) -> Vec<Arc<Object>> {
        let cache = self.handler.cache(&resource.group, &resource.resource);
        cache
            .map(|cache| cache.snapshot().hubs(cache.row, namespace))
            .unwrap_or_default()
    }

    fn allocate_ip(&self, family: &str, wished: Option<&str>) -> Result<String, String> {
        let ip = self.handler.allocator.take_ip(wished, &self.handler.env.random).map_err(|e| e.detail)?;
        let _ = family;
        self.took(Taken::Ip(ip.clone()));
        Ok(ip)
    }

    fn allocate_node_port(&self, wished: Option<u16>) -> Result<u16, String> {
        let port = self
            .handler
            .allocator
            .take_port(wished, &self.handler.env.random).map_err(|e| e.detail)?;
        self.took(Taken::Port(port));
        Ok(port)
    }
}
