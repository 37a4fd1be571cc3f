//! How many watch what: whom a write will be told to.

use crate::security::Attributes;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Group, resource, namespace, name.
type What = [String; 4];

/// The watches there are.
#[derive(Clone, Default)]
pub struct Watches(Arc<Mutex<BTreeMap<What, u64>>>);

/// A watch, as long as it goes on.
pub struct Watching {
    watches: Watches,
    what: What,
}

impl Watches {
    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<What, u64>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A watch begins. One that is indexed by another value than most objects have, as kubelets' of their pods, is not
    /// told of most changes: it does not count.
    pub fn begin(&self, asked: &Attributes, fields: &str) -> Option<Watching> {
        let of_one_node = || {
            let selector = api::FieldSelector::parse(fields).unwrap_or_default();
            selector
                .required("spec.nodeName")
                .is_some_and(|node| !node.is_empty())
        };
        if asked.resource == "pods" && of_one_node() {
            return None;
        }
        let what = what(asked, &asked.namespace, &asked.name);
        self.with(|all| *all.entry(what.clone()).or_default() += 1);
        Some(Watching {
            watches: self.clone(),
            what,
        })
    }

    /// How many are told of a write.
    pub fn interested(&self, asked: &Attributes) -> u64 {
        self.with(|all| {
            if all.is_empty() {
                return 0;
            }
            let count = |namespace: &str, name: &str| {
                let count = all.get(&what(asked, namespace, name));
                count.copied().unwrap_or_default()
            };
            let (namespace, name) = (asked.namespace.as_str(), asked.name.as_str());
            let mut sum = count("", "");
            if !namespace.is_empty() {
                sum += count(namespace, "");
            }
            if !name.is_empty() {
                sum += count(namespace, name);
            }
            sum
        })
    }
}

fn what(asked: &Attributes, namespace: &str, name: &str) -> What {
    [&asked.group, &asked.resource, namespace, name].map(ToOwned::to_owned)
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watches.with(|all| {
            if let Some(count) = all.get_mut(&self.what) {
                *count -= 1;
                if *count == 0 {
                    all.remove(&self.what);
                }
            }
        });
    }
}
