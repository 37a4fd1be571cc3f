//! What a kind may see of the cluster while it is written, and what it allocates.

use super::Handler;
use crate::allocate::Picked;
use api::{Gvr, Object};
use resources::Cluster;
use std::sync::{Arc, Mutex, PoisonError};

/// A view for one attempt of a write. What it picked is free again, unless a stored Service has it, when it is dropped.
pub(super) struct View<'a> {
    handler: &'a Handler,
    picked: Mutex<Vec<Picked>>,
}

impl<'a> View<'a> {
    pub(super) fn new(handler: &'a Handler) -> Self {
        Self {
            handler,
            picked: Mutex::default(),
        }
    }

    fn pick(&self, picked: Picked) {
        self.picked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(picked);
    }

    /// What the write has picked, to be claimed before it is committed.
    pub(super) fn picked(&self) -> Vec<Picked> {
        self.picked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        for picked in self.picked() {
            self.handler.allocator.over(picked);
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

    fn disabled(&self) -> Option<&schema::Disabled> {
        Some(&self.handler.disabled)
    }

    fn admits(&self, plugin: &str) -> bool {
        self.handler.admission.has(plugin)
    }

    fn families(&self) -> Vec<&'static str> {
        let mut families: Vec<&'static str> = Vec::new();
        let usual = self.handler.allocator.usual().to_vec();
        for range in usual.into_iter().chain(self.handler.ranges()) {
            if !families.contains(&range.family()) {
                families.push(range.family());
            }
        }
        families
    }

    fn allocate_ip(&self, family: &str, wished: Option<&str>) -> Result<String, String> {
        let (handler, ranges) = (self.handler, self.handler.ranges());
        let taken = |ip| handler.is_claimed(ip);
        let ip = handler
            .allocator
            .pick_ip(&ranges, (family, wished), taken, &handler.env.random)?;
        self.pick(Picked::Ip(ip));
        Ok(ip.to_string())
    }

    fn allocate_node_port(&self, wished: Option<u16>) -> Result<u16, String> {
        let port = self
            .handler
            .allocator
            .pick_port(wished, &self.handler.env.random)?;
        self.pick(Picked::Port(port));
        Ok(port)
    }
}
