//! Roles and bindings as they are asked about: what each subject holds where. A change of one is taken in alone.

use super::{
    CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Rule,
    held::{Grant, Held, Subjects},
};
use crate::{security::User, server::Reader};
use api::{Gvr, Key, Object};
use serde::Deserialize;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// What this is made of; roles come before the bindings to them.
static COLLECTIONS: [&Gvr; 4] = [&CLUSTER_ROLES, &ROLES, &CLUSTER_ROLE_BINDINGS, &ROLE_BINDINGS];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Role {
    rules: Option<Vec<Rule>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Binding {
    role_ref: RoleRef,
    subjects: Option<Vec<Subject>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

/// The rules of a role.
pub(super) fn rules(role: &Object) -> Vec<Rule> {
    role.view::<Role>().ok().and_then(|r| r.rules).unwrap_or_default()
}

/// Roles, bindings, and what subjects hold by them. What is of the whole cluster has the empty namespace.
#[derive(Default)]
pub(super) struct Compiled {
    /// The newest change of each of the collections that this was made of.
    of: [u64; 4],
    roles: HashMap<Key, Arc<Vec<Rule>>>,
    bindings: HashMap<Key, Binding>,
    /// Bindings by their role, be it there or not.
    bound: HashMap<Key, BTreeSet<Key>>,
    /// By namespace.
    subjects: HashMap<String, Subjects>,
}

impl Compiled {
    /// Whether nothing has changed since.
    pub fn is_current(&self, reader: &Reader) -> bool {
        COLLECTIONS.map(|gvr| reader.changed(gvr)) == self.of
    }

    /// Takes in what has changed. How many objects were read for it.
    pub fn follow(&mut self, reader: &Reader) -> usize {
        let changes: Option<Vec<_>> = (COLLECTIONS.iter().zip(self.of))
            .map(|(gvr, of)| reader.since(gvr, of))
            .collect();
        let Some(changes) = changes else {
            return self.read_all(reader);
        };
        let mut read = 0;
        for (at, (events, last)) in changes.into_iter().enumerate() {
            for event in &events {
                let (namespace, name) = event.key.split_once('/').unwrap_or(("", &event.key));
                let new = event.new.as_ref().map(|held| held.hub().as_ref());
                self.set(at, &Key::new(namespace, name), new);
                read += 1;
            }
            self.of[at] = last;
        }
        read
    }

    fn read_all(&mut self, reader: &Reader) -> usize {
        *self = Self {
            of: COLLECTIONS.map(|gvr| reader.changed(gvr)),
            ..Self::default()
        };
        let mut read = 0;
        for (at, gvr) in COLLECTIONS.iter().enumerate() {
            for object in reader.list(gvr, "") {
                self.set(at, &object.key(), Some(&object));
                read += 1;
            }
        }
        read
    }

    /// Takes an object of the collection number `at` as it is now.
    fn set(&mut self, at: usize, key: &Key, new: Option<&Object>) {
        if at < 2 {
            self.set_role(key, new.map(rules));
            return;
        }
        self.unbind(key);
        if let Some(binding) = new.and_then(|object| object.view().ok()) {
            self.bind(key, binding);
        }
    }

    fn set_role(&mut self, key: &Key, rules: Option<Vec<Rule>>) {
        if self.roles.get(key).map(|rules| rules.as_ref()) == rules.as_ref() {
            return;
        }
        match rules {
            Some(rules) => self.roles.insert(key.clone(), Arc::new(rules)),
            None => self.roles.remove(key),
        };
        for binding in self.bound.get(key).cloned().unwrap_or_default() {
            if let Some(again) = self.unbind(&binding) {
                self.bind(&binding, again);
            }
        }
    }

    /// Notes what a binding gives to its subjects, or that its role is not there.
    fn bind(&mut self, key: &Key, binding: Binding) {
        let role = binding.role(key);
        let rules = self.roles.get(&role);
        let subjects = self.subjects.entry(key.namespace.clone()).or_default();
        for subject in binding.subjects.iter().flatten() {
            let Some((names, name)) = subject.place(subjects, key) else {
                continue;
            };
            let told = match rules {
                Some(_) => binding.told(key, subject),
                None => binding.missed(),
            };
            names.entry(name).or_default().add(Grant {
                binding: key.name.as_str().into(),
                rules: rules.cloned(),
                told: told.into(),
            });
        }
        self.bound.entry(role).or_default().insert(key.clone());
        self.bindings.insert(key.clone(), binding);
    }

    /// Takes back what [`Self::bind`] gave.
    fn unbind(&mut self, key: &Key) -> Option<Binding> {
        let binding = self.bindings.remove(key)?;
        let role = binding.role(key);
        if let Some(bound) = self.bound.get_mut(&role) {
            bound.remove(key);
            if bound.is_empty() {
                self.bound.remove(&role);
            }
        }
        let subjects = self.subjects.get_mut(&key.namespace)?;
        for subject in binding.subjects.iter().flatten() {
            let Some((names, name)) = subject.place(subjects, key) else {
                continue;
            };
            if let Some(held) = names.get_mut(&name)
                && held.remove(&key.name)
            {
                names.remove(&name);
            }
        }
        if subjects.is_empty() {
            self.subjects.remove(&key.namespace);
        }
        Some(binding)
    }

    /// What a user has: cluster-wide, then in a namespace.
    pub fn held<'a>(
        &'a self,
        user: &'a User,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Held> + use<'a> {
        let own = Some(namespace).filter(|namespace| !namespace.is_empty());
        let places = std::iter::once("").chain(own);
        places
            .filter_map(|place| self.subjects.get(place))
            .flat_map(|place| {
                let groups = user.groups.iter().filter_map(|group| place.groups.get(group));
                place.users.get(&user.name).into_iter().chain(groups)
            })
    }
}

impl Binding {
    /// Which role a binding with that key refers to.
    fn role(&self, key: &Key) -> Key {
        let namespace = match self.role_ref.kind.as_str() {
            "ClusterRole" => "",
            _ => &key.namespace,
        };
        Key::new(namespace, &self.role_ref.name)
    }

    /// As it is named when it allows something to a subject.
    fn told(&self, key: &Key, subject: &Subject) -> String {
        let scope = if key.namespace.is_empty() {
            format!("ClusterRoleBinding {:?}", key.name)
        } else {
            format!("RoleBinding {:?}", format!("{}/{}", key.name, key.namespace))
        };
        let RoleRef { kind, name } = &self.role_ref;
        let Subject {
            kind: who,
            name: whom,
            ..
        } = subject;
        format!("RBAC: allowed by {scope} of {kind} {name:?} to {who} {whom:?}")
    }

    /// That its role is not there.
    fn missed(&self) -> String {
        let RoleRef { kind, name } = &self.role_ref;
        format!(
            "{}.rbac.authorization.k8s.io {name:?} not found",
            kind.to_lowercase()
        )
    }
}

impl Subject {
    /// Among whom it is, and its name there. A service account is a user.
    fn place<'a>(
        &self,
        subjects: &'a mut Subjects,
        binding: &Key,
    ) -> Option<(&'a mut HashMap<String, Held>, String)> {
        let name = &self.name;
        match self.kind.as_str() {
            "User" => Some((&mut subjects.users, name.clone())),
            "Group" => Some((&mut subjects.groups, name.clone())),
            "ServiceAccount" => {
                let own = Some(&self.namespace).filter(|namespace| !namespace.is_empty());
                let namespace = own.unwrap_or(&binding.namespace);
                Some((
                    &mut subjects.users,
                    format!("system:serviceaccount:{namespace}:{name}"),
                ))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Server,
        security::{
            Authorizer, Rbac,
            stories::{Guarded, attributes, binding, guarded, merge, role},
        },
    };
    use client::DeleteOptions;
    use component::Random;

    const PODS: &str = r#"[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]"#;
    const MAPS: &str = r#"[{"verbs":["get"],"apiGroups":[""],"resources":["configmaps"]}]"#;

    #[tokio::test(start_paused = true)]
    async fn a_change_of_one_binding_among_many_reads_that_one() {
        let guarded = guarded().await;
        let reader = Server::reader(&guarded.server);
        guarded
            .create(&CLUSTER_ROLES, "", &role("ClusterRole", "reader", PODS))
            .await;
        for number in 0..500 {
            let subject = format!("User:user-{number}");
            let body = binding(
                "RoleBinding",
                &format!("b-{number}"),
                "ClusterRole/reader",
                &subject,
            );
            guarded.create(&ROLE_BINDINGS, "default", &body).await;
        }
        let mut compiled = Compiled::default();
        assert!(compiled.follow(&reader) > 500, "all are read once");
        assert!(compiled.is_current(&reader));
        assert_eq!(compiled.follow(&reader), 0);
        let key = Key::new("default", "b-7");
        let other = r#"{"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"ann"}]}"#;
        merge(&guarded.admin(), &ROLE_BINDINGS, &key, "", other)
            .await
            .unwrap();
        assert!(!compiled.is_current(&reader));
        assert_eq!(compiled.follow(&reader), 1);
        let holds = |compiled: &Compiled, name: &str| {
            let user = User::new(name, &[]);
            compiled.held(&user, "default").flat_map(Held::rules).count()
        };
        let held = ["ann", "user-7", "user-8"].map(|name| holds(&compiled, name));
        assert_eq!(held, [1, 0, 1]);
        guarded
            .admin()
            .delete(&CLUSTER_ROLES, &Key::cluster("reader"), DeleteOptions::default())
            .await
            .unwrap();
        assert_eq!(compiled.follow(&reader), 1, "a role is read alone, too");
        assert_eq!(holds(&compiled, "user-8"), 0);
    }

    /// One that takes in changes as they come says what one says that reads everything.
    #[tokio::test(start_paused = true)]
    async fn what_is_followed_is_what_is_read_at_once() {
        let guarded = guarded().await;
        let reader = Server::reader(&guarded.server);
        let followed = Rbac::new(reader.clone());
        let random = Random::seeded(5);
        let mut allowed = 0;
        for _ in 0..300 {
            change(&guarded, &random).await;
            if random.below(3) > 0 {
                continue;
            }
            let fresh = Rbac::new(reader.clone());
            for user in [
                User::new("ann", &["makers"]),
                User::new("bob", &[]),
                User::new("system:serviceaccount:default:robot", &[]),
            ] {
                for what in [
                    "get core/pods default/a",
                    "get core/configmaps default/a",
                    "get core/pods kube-public/a",
                    "get core/configmaps",
                ] {
                    let asked = attributes(&user, what);
                    let [one, other] = [&followed, &fresh].map(|rbac| rbac.authorize(&asked).now().unwrap());
                    assert_eq!(
                        (one.allowed(), &one.reason),
                        (other.allowed(), &other.reason),
                        "{user:?} {what}"
                    );
                    allowed += usize::from(one.allowed());
                }
            }
        }
        assert!(allowed > 100, "{allowed}");
    }

    /// Makes, changes or deletes a role or a binding.
    async fn change(guarded: &Guarded, random: &Random) {
        let one = |of: &[&'static str]| of[usize::try_from(random.below(of.len() as u64)).unwrap()];
        let namespace = one(&["default", "kube-public"]);
        let (gvr, kind, namespace) = match random.below(4) {
            0 => (&CLUSTER_ROLES, "ClusterRole", ""),
            1 => (&ROLES, "Role", namespace),
            2 => (&CLUSTER_ROLE_BINDINGS, "ClusterRoleBinding", ""),
            _ => (&ROLE_BINDINGS, "RoleBinding", namespace),
        };
        let (admin, name) = (guarded.admin(), one(&["a", "b", "c"]));
        let key = Key::new(namespace, name);
        let to = match kind {
            "RoleBinding" => one(&["Role/a", "Role/b", "ClusterRole/a", "ClusterRole/c"]),
            _ => one(&["ClusterRole/a", "ClusterRole/b"]),
        };
        let subject = one(&[
            "User:ann",
            "User:bob",
            "Group:makers",
            "ServiceAccount:default/robot",
        ]);
        let rules = one(&[PODS, MAPS]);
        let body = match kind {
            "Role" | "ClusterRole" => role(kind, name, rules),
            _ => binding(kind, name, to, subject),
        };
        // It may be there already or not: that is told and nothing changes.
        let _ = match random.below(3) {
            0 => admin.delete(gvr, &key, DeleteOptions::default()).await.map(drop),
            1 if kind.ends_with("Role") => {
                let patch = format!(r#"{{"rules":{rules}}}"#);
                merge(&admin, gvr, &key, "", &patch).await.map(drop)
            }
            _ => crate::security::stories::create(&admin, gvr, namespace, &body)
                .await
                .map(drop),
        };
    }
}
