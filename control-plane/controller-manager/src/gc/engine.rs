//! The engine: a graph of owners and dependents, events in, effects out. It deletes only after a live look.

use api::{Gvr, Key, Object, Owner};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// What the engine hears.
#[derive(Debug)]
pub(super) enum Event {
    /// An object is there, as a cache saw it.
    Seen(Gvr, Arc<Object>),
    /// An object is gone, as a cache saw it.
    Gone(Arc<Object>),
    /// The answer to [`Effect::LookOwner`]: whether the owner with that UID is there.
    Owner(Owner, bool),
    /// The answer to [`Effect::LookDependent`]: the object as it is, `None` when it is gone.
    Dependent(String, Option<Arc<Object>>),
}

/// What the engine wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Read the owner that objects of this namespace name.
    LookOwner(Owner, String),
    /// Read the dependent with this UID.
    LookDependent(String, Gvr, Key),
    /// Delete exactly this object, in the background.
    Delete(String, Gvr, Key),
    /// Take these owners (by UID) off the object, if it is still at this version.
    Release(String, Gvr, Key, u64, Vec<String>),
}

#[derive(Debug)]
struct Node {
    gvr: Gvr,
    key: Key,
    owners: Vec<Owner>,
}

/// How many UIDs known to be gone are remembered.
const REMEMBERED: usize = 5000;

/// The graph.
#[derive(Debug, Default)]
pub(super) struct Engine {
    nodes: BTreeMap<String, Node>,
    dependents: BTreeMap<String, BTreeSet<String>>,
    gone: BTreeSet<String>,
    gone_order: VecDeque<String>,
    asked: BTreeSet<String>,
}

impl Engine {
    /// Takes an event in.
    pub fn on(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Seen(gvr, object) => self.seen(gvr, &object),
            Event::Gone(object) => self.gone(&object),
            Event::Owner(owner, there) => self.owner(&owner, there),
            Event::Dependent(uid, live) => self.dependent(&uid, live.as_deref()),
        }
    }

    fn seen(&mut self, gvr: Gvr, object: &Object) -> Vec<Effect> {
        let uid = object.uid().to_owned();
        let owners = object.owners().to_vec();
        self.unlink(&uid);
        for owner in &owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
        }
        self.nodes.insert(uid.clone(), Node { gvr, key: object.key(), owners: owners.clone() });
        self.asked.remove(&uid);
        let mut effects = Vec::new();
        for owner in owners {
            if self.gone.contains(&owner.uid) {
                effects.extend(self.look_dependent(&uid));
            } else if !self.nodes.contains_key(&owner.uid) && self.asked.insert(owner.uid.clone()) {
                effects.push(Effect::LookOwner(owner, object.namespace().to_owned()));
            }
        }
        effects
    }

    fn unlink(&mut self, uid: &str) {
        let Some(node) = self.nodes.remove(uid) else { return };
        for owner in node.owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
    }

    fn gone(&mut self, object: &Object) -> Vec<Effect> {
        self.unlink(object.uid());
        self.lost(object.uid())
    }

    /// Remembers that a UID is gone and looks at what depended on it.
    fn lost(&mut self, uid: &str) -> Vec<Effect> {
        if self.gone.insert(uid.to_owned()) {
            self.gone_order.push_back(uid.to_owned());
            if self.gone_order.len() > REMEMBERED
                && let Some(oldest) = self.gone_order.pop_front()
            {
                self.gone.remove(&oldest);
            }
        }
        let dependents: Vec<String> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        dependents.iter().filter_map(|d| self.look_dependent(d)).collect()
    }

    fn look_dependent(&self, uid: &str) -> Option<Effect> {
        let node = self.nodes.get(uid)?;
        Some(Effect::LookDependent(uid.to_owned(), node.gvr.clone(), node.key.clone()))
    }

    fn owner(&mut self, owner: &Owner, there: bool) -> Vec<Effect> {
        self.asked.remove(&owner.uid);
        // Absent in this look, but seen by a cache meanwhile: it is new.
        if there || self.nodes.contains_key(&owner.uid) { Vec::new() } else { self.lost(&owner.uid) }
    }

    fn dependent(&mut self, uid: &str, live: Option<&Object>) -> Vec<Effect> {
        let Some(live) = live.filter(|o| o.uid() == uid) else { return Vec::new() };
        let Some(node) = self.nodes.get(uid) else { return Vec::new() };
        if live.deletion_timestamp().is_some() {
            return Vec::new();
        }
        let (gone, left): (Vec<&Owner>, Vec<&Owner>) = live.owners().iter().partition(|o| self.gone.contains(&o.uid));
        if gone.is_empty() {
            return Vec::new();
        }
        let (gvr, key) = (node.gvr.clone(), node.key.clone());
        if left.is_empty() {
            return vec![Effect::Delete(uid.to_owned(), gvr, key)];
        }
        // An owner whose fate is not known yet keeps it; its own look will decide.
        if left.iter().all(|o| self.nodes.contains_key(&o.uid)) {
            let uids = gone.iter().map(|o| o.uid.clone()).collect();
            return vec![Effect::Release(uid.to_owned(), gvr, key, live.resource_version(), uids)];
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const PODS: Gvr = Gvr::new("", "v1", "pods");
    const SETS: Gvr = Gvr::new("apps", "v1", "replicasets");

    fn object(name: &str, owners: &[&str]) -> Arc<Object> {
        let owners: Vec<String> = owners
            .iter()
            .map(|o| format!(r#"{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"{o}","uid":"uid-{o}"}}"#))
            .collect();
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"d","uid":"uid-{name}","ownerReferences":[{}]}}}}"#,
            owners.join(",")
        );
        Arc::new(Object::parse(Bytes::from(text), 5, &[]).unwrap())
    }

    fn look(name: &str) -> Effect {
        Effect::LookDependent(format!("uid-{name}"), PODS, Key::new("d", name))
    }

    #[test]
    fn dependents_of_a_deleted_owner_go_after_a_live_look() {
        let mut engine = Engine::default();
        assert_eq!(engine.on(Event::Seen(SETS, object("rs", &[]))), []);
        let pod = object("pod", &["rs"]);
        assert_eq!(engine.on(Event::Seen(PODS, pod.clone())), []);
        assert_eq!(engine.on(Event::Gone(object("rs", &[]))), [look("pod")]);
        let delete = Effect::Delete("uid-pod".into(), PODS, Key::new("d", "pod"));
        assert_eq!(engine.on(Event::Dependent("uid-pod".into(), Some(pod))), [delete]);
    }

    #[test]
    fn an_orphan_whose_owner_was_adopted_meanwhile_stays() {
        let mut engine = Engine::default();
        engine.on(Event::Seen(SETS, object("a", &[])));
        engine.on(Event::Seen(PODS, object("pod", &["a"])));
        engine.on(Event::Gone(object("a", &[])));
        // The live object has no owner any more.
        assert_eq!(engine.on(Event::Dependent("uid-pod".into(), Some(object("pod", &[])))), []);
        // Nor is a namesake with another UID touched.
        assert_eq!(engine.on(Event::Dependent("uid-pod".into(), Some(object("other", &["a"])))), []);
    }

    #[test]
    fn an_owner_that_no_cache_knows_is_looked_for_once() {
        let mut engine = Engine::default();
        let effects = engine.on(Event::Seen(PODS, object("p1", &["rs"])));
        let [Effect::LookOwner(owner, namespace)] = effects.as_slice() else { panic!("{effects:?}") };
        assert_eq!((owner.name.as_str(), namespace.as_str()), ("rs", "d"));
        assert_eq!(engine.on(Event::Seen(PODS, object("p2", &["rs"]))), []);
        assert_eq!(engine.on(Event::Owner(owner.clone(), false)), [look("p1"), look("p2")]);
    }

    #[test]
    fn one_of_two_owners_left_only_releases() {
        let mut engine = Engine::default();
        engine.on(Event::Seen(SETS, object("a", &[])));
        engine.on(Event::Seen(SETS, object("b", &[])));
        let pod = object("pod", &["a", "b"]);
        engine.on(Event::Seen(PODS, pod.clone()));
        engine.on(Event::Gone(object("a", &[])));
        let release = Effect::Release("uid-pod".into(), PODS, Key::new("d", "pod"), 5, vec!["uid-a".into()]);
        assert_eq!(engine.on(Event::Dependent("uid-pod".into(), Some(pod))), [release]);
    }
}
