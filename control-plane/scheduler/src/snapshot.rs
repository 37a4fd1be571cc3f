//! The snapshot: nodes with what runs on them, kept current by events and by what was just assigned.

use crate::{
    views::{NodeView, Pod},
    volumes::Volumes,
};
use api::Object;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// A node with its pods.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub object: Option<Arc<Object>>,
    pub view: NodeView,
    pub allocatable: BTreeMap<String, i64>,
    pub requested: BTreeMap<String, i64>,
    pub pods: BTreeMap<String, Arc<Pod>>,
}

impl Node {
    fn empty() -> Self {
        Self {
            object: None,
            view: NodeView::default(),
            allocatable: BTreeMap::new(),
            requested: BTreeMap::new(),
            pods: BTreeMap::new(),
        }
    }

    /// The value of one of its labels.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.object.as_ref()?.label(key)
    }

    /// What is left of a resource.
    pub fn free(&self, resource: &str) -> i64 {
        let get = |map: &BTreeMap<String, i64>| map.get(resource).copied().unwrap_or(0);
        get(&self.allocatable) - get(&self.requested)
    }

    fn add(&mut self, pod: Arc<Pod>) {
        for (resource, n) in &pod.requests {
            *self.requested.entry(resource.clone()).or_default() += n;
        }
        self.pods.insert(pod.object.uid().to_owned(), pod);
    }

    fn remove(&mut self, uid: &str) {
        let Some(pod) = self.pods.remove(uid) else { return };
        for (resource, n) in &pod.requests {
            *self.requested.entry(resource.clone()).or_default() -= n;
        }
    }
}

/// All nodes, by name. Nodes that only pods name (not seen yet, or deleted) are kept aside of scheduling.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    nodes: BTreeMap<String, Node>,
    on: HashMap<String, String>,
    /// What pods can be given.
    pub volumes: Volumes,
}

impl Snapshot {
    /// The nodes that exist.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes
            .iter()
            .filter(|(_, n)| n.object.is_some())
            .map(|(name, node)| (name.as_str(), node))
    }

    /// A node that exists.
    pub fn node(&self, name: &str) -> Option<&Arc<Object>> {
        self.nodes.get(name)?.object.as_ref()
    }

    /// Puts a node in, or its new state.
    pub fn set_node(&mut self, object: Arc<Object>) {
        let view: NodeView = object.view().unwrap_or_default();
        let node = self
            .nodes
            .entry(object.name().to_owned())
            .or_insert_with(Node::empty);
        node.allocatable = view
            .status
            .allocatable
            .iter()
            .map(|(r, q)| (r.clone(), api::requests::amount(r, *q)))
            .collect();
        node.view = view;
        node.object = Some(object);
    }

    /// Takes a node out; pods that still name it are remembered.
    pub fn remove_node(&mut self, name: &str) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.object = None;
            if node.pods.is_empty() {
                self.nodes.remove(name);
            }
        }
    }

    /// Counts a pod on its node.
    pub fn set_pod(&mut self, node: &str, pod: Arc<Pod>) {
        self.remove_pod(pod.object.uid());
        self.on.insert(pod.object.uid().to_owned(), node.to_owned());
        self.nodes
            .entry(node.to_owned())
            .or_insert_with(Node::empty)
            .add(pod);
    }

    /// Counts a pod no more.
    pub fn remove_pod(&mut self, uid: &str) {
        let Some(name) = self.on.remove(uid) else { return };
        if let Some(node) = self.nodes.get_mut(&name) {
            node.remove(uid);
            if node.object.is_none() && node.pods.is_empty() {
                self.nodes.remove(&name);
            }
        }
    }

    /// The node a pod is counted on.
    pub fn node_of(&self, uid: &str) -> Option<&str> {
        self.on.get(uid).map(String::as_str)
    }
}
