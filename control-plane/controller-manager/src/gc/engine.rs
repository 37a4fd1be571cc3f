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
    /// Delete exactly this object, with this propagation.
    Delete(String, Gvr, Key, &'static str),
    /// Take these owners (by UID) off the object, if it is still at this version.
    Release(String, Gvr, Key, u64, Vec<String>),
    /// Take this finalizer, the last thing that holds the object, off it.
    Finish(String, Gvr, Key, &'static str),
}

#[derive(Debug)]
struct Node {
    gvr: Gvr,
    key: Key,
    owners: Vec<Owner>,
    /// It is being deleted, and waits for what becomes of its dependents.
    leaving: Option<&'static str>,
}

/// The dependents are to be left without this owner.
const ORPHAN: &str = "orphan";
/// The dependents are to go first.
const FOREGROUND: &str = "foregroundDeletion";

/// Which of the two finalizers a leaving object has.
fn leaving(object: &Object) -> Option<&'static str> {
    object.deletion_timestamp()?;
    [ORPHAN, FOREGROUND]
        .into_iter()
        .find(|f| object.finalizers().any(|has| has == *f))
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
        let former: Vec<String> = self.unlink(&uid).into_iter().map(|owner| owner.uid).collect();
        for owner in &owners {
            self.dependents
                .entry(owner.uid.clone())
                .or_default()
                .insert(uid.clone());
        }
        let node = Node {
            gvr,
            key: object.key(),
            owners: owners.clone(),
            leaving: leaving(object),
        };
        self.nodes.insert(uid.clone(), node);
        self.asked.remove(&uid);
        let mut effects = self.left(former);
        effects.extend(self.leave(&uid));
        for owner in owners {
            if self.gone.contains(&owner.uid)
                || self.nodes.get(&owner.uid).is_some_and(|n| n.leaving.is_some())
            {
                effects.extend(self.look_dependent(&uid));
            } else if !self.nodes.contains_key(&owner.uid) && self.asked.insert(owner.uid.clone()) {
                effects.push(Effect::LookOwner(owner, object.namespace().to_owned()));
            }
        }
        effects
    }

    /// Takes a node out; says whose dependent it was.
    fn unlink(&mut self, uid: &str) -> Vec<Owner> {
        let Some(node) = self.nodes.remove(uid) else {
            return Vec::new();
        };
        for owner in &node.owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
        node.owners
    }

    /// What a leaving owner waits for: a look at each dependent, and its own end when there is none.
    fn leave(&self, uid: &str) -> Vec<Effect> {
        let Some(node) = self.nodes.get(uid) else {
            return Vec::new();
        };
        let Some(finalizer) = node.leaving else {
            return Vec::new();
        };
        let mut effects: Vec<Effect> = self
            .dependents
            .get(uid)
            .into_iter()
            .flatten()
            .filter_map(|d| self.look_dependent(d))
            .collect();
        if !self.is_blocked(uid, finalizer) {
            effects.push(Effect::Finish(
                uid.to_owned(),
                node.gvr.clone(),
                node.key.clone(),
                finalizer,
            ));
        }
        effects
    }

    /// Whether a leaving owner must wait: for any dependent to be orphaned, for one that blocks to be deleted.
    fn is_blocked(&self, uid: &str, finalizer: &str) -> bool {
        let blocks = |d: &String| {
            let owners = self
                .nodes
                .get(d)
                .map(|node| node.owners.as_slice())
                .unwrap_or_default();
            owners
                .iter()
                .any(|o| o.uid == uid && (finalizer == ORPHAN || o.block_owner_deletion))
        };
        self.dependents.get(uid).into_iter().flatten().any(blocks)
    }

    /// Of the owners that an object had, those that wait for their last dependent.
    fn left(&self, owners: impl IntoIterator<Item = String>) -> Vec<Effect> {
        let last = |uid: &String| {
            let leaving = self.nodes.get(uid).and_then(|node| node.leaving);
            leaving.is_some_and(|finalizer| !self.is_blocked(uid, finalizer))
        };
        owners
            .into_iter()
            .filter(last)
            .flat_map(|uid| self.leave(&uid))
            .collect()
    }

    fn gone(&mut self, object: &Object) -> Vec<Effect> {
        let owners = self.unlink(object.uid());
        let mut effects = self.lost(object.uid());
        effects.extend(self.left(owners.into_iter().map(|owner| owner.uid)));
        effects
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
        Some(Effect::LookDependent(
            uid.to_owned(),
            node.gvr.clone(),
            node.key.clone(),
        ))
    }

    fn owner(&mut self, owner: &Owner, there: bool) -> Vec<Effect> {
        self.asked.remove(&owner.uid);
        // Absent in this look, but seen by a cache meanwhile: it is new.
        if there || self.nodes.contains_key(&owner.uid) {
            Vec::new()
        } else {
            self.lost(&owner.uid)
        }
    }

    fn dependent(&mut self, uid: &str, live: Option<&Object>) -> Vec<Effect> {
        let Some(live) = live.filter(|o| o.uid() == uid) else {
            return Vec::new();
        };
        let Some(node) = self.nodes.get(uid) else {
            return Vec::new();
        };
        if live.deletion_timestamp().is_some() {
            return Vec::new();
        }
        let leaves = |o: &&Owner, how| self.nodes.get(&o.uid).is_some_and(|n| n.leaving == Some(how));
        let orphaned = live.owners().iter().filter(|o| leaves(o, ORPHAN));
        let orphaned: Vec<String> = orphaned.map(|o| o.uid.clone()).collect();
        if !orphaned.is_empty() {
            let (gvr, key) = (node.gvr.clone(), node.key.clone());
            return vec![Effect::Release(
                uid.to_owned(),
                gvr,
                key,
                live.resource_version(),
                orphaned,
            )];
        }
        let going = |o: &&Owner| self.gone.contains(&o.uid) || leaves(o, FOREGROUND);
        let (gone, left): (Vec<&Owner>, Vec<&Owner>) = live.owners().iter().partition(going);
        if gone.is_empty() {
            return Vec::new();
        }
        let (gvr, key) = (node.gvr.clone(), node.key.clone());
        if left.is_empty() {
            // Who waits for this object waits for what it owns, too.
            let awaited = gone.iter().any(|o| leaves(o, FOREGROUND)) && self.dependents.contains_key(uid);
            let propagation = if awaited { "Foreground" } else { "Background" };
            return vec![Effect::Delete(uid.to_owned(), gvr, key, propagation)];
        }
        // An owner whose fate is not known yet keeps it; its own look will decide.
        if left.iter().all(|o| self.nodes.contains_key(&o.uid)) {
            let uids = gone.iter().map(|o| o.uid.clone()).collect();
            return vec![Effect::Release(
                uid.to_owned(),
                gvr,
                key,
                live.resource_version(),
                uids,
            )];
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
            .map(|o| {
                format!(r#"{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"{o}","uid":"uid-{o}"}}"#)
            })
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
        let delete = Effect::Delete("uid-pod".into(), PODS, Key::new("d", "pod"), "Background");
        assert_eq!(engine.on(Event::Dependent("uid-pod".into(), Some(pod))), [delete]);
    }

    #[test]
    fn an_orphan_whose_owner_was_adopted_meanwhile_stays() {
        let mut engine = Engine::default();
        engine.on(Event::Seen(SETS, object("a", &[])));
        engine.on(Event::Seen(PODS, object("pod", &["a"])));
        engine.on(Event::Gone(object("a", &[])));
        // The live object has no owner any more.
        assert_eq!(
            engine.on(Event::Dependent("uid-pod".into(), Some(object("pod", &[])))),
            []
        );
        // Nor is a namesake with another UID touched.
        assert_eq!(
            engine.on(Event::Dependent("uid-pod".into(), Some(object("other", &["a"])))),
            []
        );
    }

    #[test]
    fn an_owner_that_no_cache_knows_is_looked_for_once() {
        let mut engine = Engine::default();
        let effects = engine.on(Event::Seen(PODS, object("p1", &["rs"])));
        let [Effect::LookOwner(owner, namespace)] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        assert_eq!((owner.name.as_str(), namespace.as_str()), ("rs", "d"));
        assert_eq!(engine.on(Event::Seen(PODS, object("p2", &["rs"]))), []);
        assert_eq!(
            engine.on(Event::Owner(owner.clone(), false)),
            [look("p1"), look("p2")]
        );
    }

    fn leaving(name: &str, finalizer: &str) -> Arc<Object> {
        let text = format!(
            r#"{{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{{"name":"{name}","namespace":"d","uid":"uid-{name}","deletionTimestamp":"2030-01-01T00:00:00Z","finalizers":["{finalizer}"]}}}}"#
        );
        Arc::new(Object::parse(Bytes::from(text), 6, &[]).unwrap())
    }

    fn finish(name: &str, finalizer: &'static str) -> Effect {
        Effect::Finish(format!("uid-{name}"), SETS, Key::new("d", name), finalizer)
    }

    #[test]
    fn an_owner_that_orphans_goes_once_its_dependents_are_released() {
        let mut engine = Engine::default();
        engine.on(Event::Seen(SETS, object("a", &[])));
        let pod = object("pod", &["a"]);
        engine.on(Event::Seen(PODS, pod.clone()));
        let looks = engine.on(Event::Seen(SETS, leaving("a", ORPHAN)));
        assert_eq!(looks, [look("pod")]);
        let release = Effect::Release(
            "uid-pod".into(),
            PODS,
            Key::new("d", "pod"),
            5,
            vec!["uid-a".into()],
        );
        assert_eq!(
            engine.on(Event::Dependent("uid-pod".into(), Some(pod))),
            [release]
        );
        assert_eq!(
            engine.on(Event::Seen(PODS, object("pod", &[]))),
            [finish("a", ORPHAN)]
        );
    }

    #[test]
    fn an_owner_in_the_foreground_goes_after_its_dependents() {
        let mut engine = Engine::default();
        engine.on(Event::Seen(SETS, object("a", &[])));
        let mut text = String::from_utf8(object("pod", &["a"]).body().to_vec()).unwrap();
        text = text.replace(
            r#""kind":"ReplicaSet""#,
            r#""blockOwnerDeletion":true,"kind":"ReplicaSet""#,
        );
        let pod = Arc::new(Object::parse(Bytes::from(text), 5, &[]).unwrap());
        engine.on(Event::Seen(PODS, pod.clone()));
        assert_eq!(
            engine.on(Event::Seen(SETS, leaving("a", FOREGROUND))),
            [look("pod")]
        );
        let delete = Effect::Delete("uid-pod".into(), PODS, Key::new("d", "pod"), "Background");
        assert_eq!(
            engine.on(Event::Dependent("uid-pod".into(), Some(pod.clone()))),
            [delete]
        );
        assert_eq!(engine.on(Event::Gone(pod)), [finish("a", FOREGROUND)]);
    }

    #[test]
    fn one_of_two_owners_left_only_releases() {
        let mut engine = Engine::default();
        engine.on(Event::Seen(SETS, object("a", &[])));
        engine.on(Event::Seen(SETS, object("b", &[])));
        let pod = object("pod", &["a", "b"]);
        engine.on(Event::Seen(PODS, pod.clone()));
        engine.on(Event::Gone(object("a", &[])));
        let release = Effect::Release(
            "uid-pod".into(),
            PODS,
            Key::new("d", "pod"),
            5,
            vec!["uid-a".into()],
        );
        assert_eq!(
            engine.on(Event::Dependent("uid-pod".into(), Some(pod))),
            [release]
        );
    }
}
