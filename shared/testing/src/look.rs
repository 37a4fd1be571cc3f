//! Looking at what a cluster has.

use api::{Gvr, Key, Object};
use apiserver::Reader;
use std::sync::Arc;

/// Reads the API server's caches.
#[derive(Clone)]
pub struct Look(pub(crate) Reader);

impl Look {
    /// The resource with this plural, such as `pods`.
    pub fn gvr(plural: &str) -> Gvr {
        let row = resources::table().iter().find(|row| row.plural == plural);
        row.unwrap_or_else(|| panic!("no resource {plural}")).gvr()
    }

    /// All objects of a resource in a namespace; empty: in all.
    pub fn all(&self, plural: &str, namespace: &str) -> Vec<Arc<Object>> {
        self.0.list(&Self::gvr(plural), namespace)
    }

    /// One object.
    pub fn one(&self, plural: &str, key: &Key) -> Option<Arc<Object>> {
        self.0.get(&Self::gvr(plural), &key.namespace, &key.name)
    }

    /// A scalar of an object, by path, such as `status.readyReplicas`; empty if it is not there.
    pub fn value(object: &Object, path: &str) -> String {
        api::scan::scalar(object.body(), path)
            .map(std::borrow::Cow::into_owned)
            .unwrap_or_default()
    }

    /// A number of an object; 0 if it is not there.
    pub fn number(object: &Object, path: &str) -> i64 {
        Self::value(object, path).parse().unwrap_or(0)
    }

    /// A scalar of the first item of a list of an object; empty if it is not there.
    pub fn first(object: &Object, list: &str, name: &str) -> String {
        let path: Vec<&str> = list.split('.').collect();
        let Ok(Some(range)) = find(object, &path) else {
            return String::new();
        };
        items(&object.body()[range])
            .first()
            .map(|text| member(text, name))
            .unwrap_or_default()
    }

    /// The status and reason of a condition; empty if it is not there.
    pub fn condition(object: &Object, kind: &str) -> (String, String) {
        let Ok(Some(conditions)) = find(object, &["status", "conditions"]) else {
            return Default::default();
        };
        let found = items(&object.body()[conditions])
            .into_iter()
            .find(|text| member(text, "type") == kind);
        found
            .map(|text| (member(&text, "status"), member(&text, "reason")))
            .unwrap_or_default()
    }

    /// Running pods of a namespace that are ready and not being deleted.
    pub fn ready_pods(&self, namespace: &str) -> Vec<Arc<Object>> {
        let ready = |pod: &Arc<Object>| {
            pod.deletion_timestamp().is_none() && Self::condition(pod, "Ready").0 == "True"
        };
        self.all("pods", namespace).into_iter().filter(ready).collect()
    }

    /// Whether a Deployment is rolled out: all its pods are of the present template and available, and no other is left.
    pub fn rolled_out(&self, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let deployment = self.one("deployments", &Key::new(namespace, name))?;
        let wished = Self::number(&deployment, "spec.replicas");
        let done = Self::number(&deployment, "status.observedGeneration") == deployment.generation()
            && ["replicas", "updatedReplicas", "availableReplicas"]
                .iter()
                .all(|field| Self::number(&deployment, &format!("status.{field}")) == wished);
        done.then_some(deployment)
    }
}

fn find(object: &Object, path: &[&str]) -> Result<Option<std::ops::Range<usize>>, api::scan::ScanError> {
    let mut range = 0..object.body().len();
    for name in path {
        let Some(inner) = api::scan::find(&object.body()[range.clone()], name)? else {
            return Ok(None);
        };
        range = range.start + inner.start..range.start + inner.end;
    }
    Ok(Some(range))
}

fn items(list: &[u8]) -> Vec<String> {
    let items: Vec<Box<serde_json::value::RawValue>> = serde_json::from_slice(list).unwrap_or_default();
    items.into_iter().map(|item| item.get().to_owned()).collect()
}

fn member(text: &str, name: &str) -> String {
    api::scan::scalar(text.as_bytes(), name)
        .map(std::borrow::Cow::into_owned)
        .unwrap_or_default()
}

/// JSON of a YAML text.
pub fn yaml(text: &str) -> bytes::Bytes {
    schema::yaml_to_json(text.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .into()
}
