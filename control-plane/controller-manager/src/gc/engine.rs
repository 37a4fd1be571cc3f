//! The engine: a graph of owners and dependents, events in, effects out. It deletes only after a live look.

use api::{Gvr, Key, Object, Owner};
use client::About;
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
    Owner(Owner, String, bool),
    /// Other kinds than before may be looked for.
    Served,
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
    /// Leave the object only these owners, if it is still at this version.
    Release(String, Gvr, Key, u64, Vec<Owner>),
    /// Record that an object names an owner of another namespace.
    Warn(About, String),
    /// Take this finalizer, the last thing that holds the object, off it.
    Finish(String, Gvr, Key, &'static str),
}

#[derive(Debug)]
struct Node {
    about: About,
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
    gone: Memory<String>,
    /// Owners (by UID) that were not found where the objects of a namespace look for them.
    absent: Memory<(String, String)>,
    asked: BTreeSet<(String, String)>,
}

/// The newest of what was put in.
#[derive(Debug)]
struct Memory<T>(BTreeSet<T>, VecDeque<T>);

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self(BTreeSet::new(), VecDeque::new())
    }
}

impl<T: Clone + Ord> Memory<T> {
    fn insert(&mut self, item: T) {
        if self.0.insert(item.clone()) {
            self.1.push_back(item);
            if self.1.len() > REMEMBERED
                && let Some(oldest) = self.1.pop_front()
            {
                self.0.remove(&oldest);
            }
        }
    }
}

impl Engine {
    /// Takes an event in.
    pub fn on(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Seen(gvr, object) => self.seen(gvr, &object),
            Event::Gone(object) => self.gone(&object),
            Event::Owner(owner, namespace, there) => self.owner(&owner, &namespace, there),
            Event::Served => self.served(),
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
            about: About::object(object),
            gvr,
            key: object.key(),
            owners: owners.clone(),
            leaving: leaving(object),
        };
        self.nodes.insert(uid.clone(), node);
        let mut effects = self.left(former);
        effects.extend(self.leave(&uid));
        for owner in owners {
            effects.extend(self.look(&uid, owner));
        }
        effects
    }

    /// What is to be found out about an owner that an object names.
    fn look(&mut self, uid: &str, owner: Owner) -> Vec<Effect> {
        let Some(node) = self.nodes.get(uid) else {
            return Vec::new();
        };
        let namespace = node.key.namespace.clone();
        let known = self.nodes.contains_key(&owner.uid);
        if self.is_gone(&owner, &namespace) || self.leaves(&owner, &namespace).is_some() {
            return self.look_dependent(uid).into_iter().collect();
        }
        if self.resolves(&owner, &namespace) || !self.asked.insert((owner.uid.clone(), namespace.clone())) {
            return Vec::new();
        }
        let mut effects = Vec::new();
        if known {
            let message = format!(
                "ownerRef [{}/{}, namespace: {namespace}, name: {}, uid: {}] does not exist in namespace {namespace:?}",
                owner.api_version, owner.kind, owner.name, owner.uid
            );
            effects.push(Effect::Warn(node.about.clone(), message));
        }
        effects.push(Effect::LookOwner(owner, namespace));
        effects
    }

    /// Whether an owner reference of an object in `namespace` means the object that has the UID.
    fn resolves(&self, owner: &Owner, namespace: &str) -> bool {
        self.nodes.get(&owner.uid).is_some_and(|node| {
            let within = node.key.namespace.is_empty() || node.key.namespace == namespace;
            within && node.key.name == owner.name
        })
    }

    fn is_gone(&self, owner: &Owner, namespace: &str) -> bool {
        let absent = || self.absent.0.contains(&(owner.uid.clone(), namespace.to_owned()));
        self.gone.0.contains(&owner.uid) || (!self.resolves(owner, namespace) && absent())
    }

    /// How the owner leaves, if it does.
    fn leaves(&self, owner: &Owner, namespace: &str) -> Option<&'static str> {
        let node = self.nodes.get(&owner.uid)?;
        node.leaving.filter(|_| self.resolves(owner, namespace))
    }

    /// Owners whose kind was not served may be found now, or found to be gone.
    fn served(&mut self) -> Vec<Effect> {
        self.asked.clear();
        let unknown = |node: &Node| {
            let of = |owner: &&Owner| !self.resolves(owner, &node.key.namespace);
            node.owners.iter().filter(of).cloned().collect::<Vec<_>>()
        };
        let unknown: Vec<(String, Vec<Owner>)> = self
            .nodes
            .iter()
            .map(|(uid, node)| (uid.clone(), unknown(node)))
            .collect();
        let mut effects = Vec::new();
        for (uid, owners) in unknown {
            for owner in owners {
                effects.extend(self.look(&uid, owner));
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
            let holds = |node: &Node, o: &Owner| {
                let blocks = finalizer == ORPHAN || o.block_owner_deletion;
                o.uid == uid && blocks && self.resolves(o, &node.key.namespace)
            };
            self.nodes
                .get(d)
                .is_some_and(|node| node.owners.iter().any(|o| holds(node, o)))
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
        self.gone.insert(uid.to_owned());
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

    fn owner(&mut self, owner: &Owner, namespace: &str, there: bool) -> Vec<Effect> {
        self.asked.remove(&(owner.uid.clone(), namespace.to_owned()));
        // Absent in this look, but seen by a cache meanwhile: it is new.
        if there || self.resolves(owner, namespace) {
            return Vec::new();
        }
        // Only here: where it is, others may have it as their owner.
        self.absent.insert((owner.uid.clone(), namespace.to_owned()));
        let dependents = self.dependents.get(&owner.uid).into_iter().flatten();
        let here = |d: &&String| {
            self.nodes
                .get(*d)
                .is_some_and(|node| node.key.namespace == namespace)
        };
        dependents
            .filter(here)
            .filter_map(|d| self.look_dependent(d))
            .collect()
    }

    fn dependent(&mut self, uid: &str, live: Option<&Object>) -> Vec<Effect> {
        let Some(live) = live.filter(|o| o.uid() == uid && o.deletion_timestamp().is_none()) else {
            return Vec::new();
        };
        let Some(node) = self.nodes.get(uid) else {
            return Vec::new();
        };
        let namespace = node.key.namespace.as_str();
        let leaves = |o: &Owner, how| self.leaves(o, namespace) == Some(how);
        let release = |goes: &dyn Fn(&Owner) -> bool| {
            let (gvr, key) = (node.gvr.clone(), node.key.clone());
            let stay = live.owners().iter().filter(|o| !goes(o)).cloned().collect();
            vec![Effect::Release(
                uid.to_owned(),
                gvr,
                key,
                live.resource_version(),
                stay,
            )]
        };
        if live.owners().iter().any(|o| leaves(o, ORPHAN)) {
            return release(&|o| leaves(o, ORPHAN));
        }
        let going = |o: &Owner| self.is_gone(o, namespace) || leaves(o, FOREGROUND);
        let (gone, left): (Vec<&Owner>, Vec<&Owner>) = live.owners().iter().partition(|o| going(o));
        if gone.is_empty() {
            return Vec::new();
        }
        if left.is_empty() {
            let awaited = gone.iter().any(|o| leaves(o, FOREGROUND));
            let propagation = self.propagation(uid, live, awaited);
            let (gvr, key) = (node.gvr.clone(), node.key.clone());
            return vec![Effect::Delete(uid.to_owned(), gvr, key, propagation)];
        }
        // An owner whose fate is not known yet keeps it; its own look will decide.
        if left.iter().all(|o| self.resolves(o, namespace)) {
            return release(&going);
        }
        Vec::new()
    }

    /// How an object goes whose owners are gone, or wait for it: as its own finalizers say; who waits for it waits for
    /// what it owns, too, unless that leads back to who waits.
    fn propagation(&self, uid: &str, live: &Object, awaited: bool) -> &'static str {
        let own = live.finalizers().find_map(|f| match f {
            ORPHAN => Some("Orphan"),
            FOREGROUND => Some("Foreground"),
            _ => None,
        });
        let mut dependents = self.dependents.get(uid).into_iter().flatten();
        let circle = |d: &String| self.nodes.get(d).is_some_and(|n| n.leaving == Some(FOREGROUND));
        let waits = awaited && self.dependents.contains_key(uid) && !dependents.any(circle);
        own.unwrap_or(if waits { "Foreground" } else { "Background" })
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

    fn owner(name: &str) -> Owner {
        object("x", &[name]).owners()[0].clone()
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
            engine.on(Event::Owner(owner.clone(), namespace.clone(), false)),
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
        let release = Effect::Release("uid-pod".into(), PODS, Key::new("d", "pod"), 5, Vec::new());
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
        let release = Effect::Release("uid-pod".into(), PODS, Key::new("d", "pod"), 5, vec![owner("b")]);
        assert_eq!(
            engine.on(Event::Dependent("uid-pod".into(), Some(pod))),
            [release]
        );
    }
    #[test]
    fn an_owner_of_another_namespace_is_none_and_keeps_its_own() {
        let mut engine = Engine::default();
        let own = object("own", &["a"]);
        let stranger = String::from_utf8(object("stranger", &["a"]).body().to_vec()).unwrap();
        let stranger = stranger.replace(r#""namespace":"d""#, r#""namespace":"e""#);
        let stranger = Arc::new(Object::parse(Bytes::from(stranger), 5, &[]).unwrap());
        engine.on(Event::Seen(SETS, object("a", &[])));
        engine.on(Event::Seen(PODS, own.clone()));
        let effects = engine.on(Event::Seen(PODS, stranger.clone()));
        let [Effect::Warn(about, message), Effect::LookOwner(owner, namespace)] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        assert_eq!(about.name, "stranger");
        assert_eq!(
            message,
            "ownerRef [apps/v1/ReplicaSet, namespace: e, name: a, uid: uid-a] does not exist in namespace \"e\""
        );
        let key = Key::new("e", "stranger");
        let look = Effect::LookDependent("uid-stranger".into(), PODS, key.clone());
        let answer = Event::Owner(owner.clone(), namespace.clone(), false);
        assert_eq!(engine.on(answer), [look]);
        let delete = Effect::Delete("uid-stranger".into(), PODS, key, "Background");
        assert_eq!(
            engine.on(Event::Dependent("uid-stranger".into(), Some(stranger))),
            [delete]
        );
        assert_eq!(engine.on(Event::Dependent("uid-own".into(), Some(own))), []);
    }

    #[test]
    fn owners_are_looked_for_again_when_other_kinds_are_served() {
        let mut engine = Engine::default();
        let first = engine.on(Event::Seen(PODS, object("p", &["a"])));
        engine.on(Event::Owner(owner("a"), "d".into(), true));
        assert_eq!(engine.on(Event::Served), first);
    }
}
