//! The policies and bindings that there are, compiled: made anew when one changes.

use super::{
    GROUP,
    compiled::Policy,
    view::{BindingSpec, BindingView, ParamRef, PolicyView},
};
use crate::{
    Reader,
    admission::{Attributes, matching::Matching},
};
use api::{Gvr, Object};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

/// A binding.
#[derive(Debug)]
pub(super) struct Binding {
    pub name: String,
    pub matching: Matching,
    pub param: Option<ParamRef>,
    pub actions: Vec<String>,
}

/// A policy and its bindings.
#[derive(Debug)]
pub(super) struct Hook {
    pub policy: Arc<Policy>,
    pub bindings: Vec<Binding>,
}

/// Where policies of one sort come from.
pub(super) struct Source {
    pub reader: Reader,
    policies: Gvr,
    bindings: Gvr,
    held: RwLock<Compiled>,
}

#[derive(Clone, Default)]
struct Compiled {
    /// Revisions of the newest change of policies and of bindings.
    at: (u64, u64),
    hooks: Arc<Vec<Hook>>,
    /// By name, with its revision.
    policies: Arc<BTreeMap<String, (u64, Arc<Policy>)>>,
}

impl Source {
    /// Of the sort `validating` or `mutating`.
    pub fn new(reader: Reader, sort: &str) -> Self {
        let resource = |what: &str| Gvr {
            group: GROUP.into(),
            version: "v1".into(),
            resource: format!("{sort}admission{what}").into(),
        };
        Self {
            reader,
            policies: resource("policies"),
            bindings: resource("policybindings"),
            held: RwLock::default(),
        }
    }

    /// The policies that are bound, as they are now.
    pub fn hooks(&self) -> Arc<Vec<Hook>> {
        let changed = |of| self.reader.changed(of);
        let at = (changed(&self.policies), changed(&self.bindings));
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner).clone();
        if held.at == at {
            return held.hooks;
        }
        let made = self.compile(at, &held);
        let hooks = made.hooks.clone();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.at != at {
            *held = made;
        }
        hooks
    }

    /// Whether any policy is about such a request.
    pub fn concerns(&self, request: &Attributes<'_>) -> bool {
        self.hooks()
            .iter()
            .any(|hook| hook.policy.matching.concerns(request))
    }

    fn compile(&self, at: (u64, u64), before: &Compiled) -> Compiled {
        let mut bindings: BTreeMap<String, Vec<Binding>> = BTreeMap::new();
        for object in self.reader.list(&self.bindings, "") {
            if let Some((policy, binding)) = binding(&object) {
                bindings.entry(policy).or_default().push(binding);
            }
        }
        let (mut hooks, mut policies) = (Vec::new(), BTreeMap::new());
        for object in self.reader.list(&self.policies, "") {
            let (name, revision) = (object.name(), object.resource_version());
            let known = before.policies.get(name).filter(|(known, _)| *known == revision);
            let policy = match known {
                Some((_, policy)) => Some(policy.clone()),
                None => policy(&object).map(Arc::new),
            };
            let Some(policy) = policy else { continue };
            policies.insert(name.to_owned(), (revision, policy.clone()));
            if let Some(bindings) = bindings.remove(name) {
                hooks.push(Hook { policy, bindings });
            }
        }
        Compiled {
            at,
            hooks: Arc::new(hooks),
            policies: Arc::new(policies),
        }
    }
}

fn policy(object: &Object) -> Option<Policy> {
    let made = object
        .view::<PolicyView>()
        .map_err(|error| error.to_string())
        .and_then(|view| Policy::compile(object.name(), view.spec));
    made.inspect_err(|error| tracing::error!(policy = object.name(), error, "not a policy"))
        .ok()
}

fn binding(object: &Object) -> Option<(String, Binding)> {
    let view = object.view::<BindingView>().map_err(|error| error.to_string());
    let made = view.and_then(|view| {
        let BindingSpec {
            policy_name,
            param_ref,
            match_resources,
            validation_actions,
        } = view.spec;
        let binding = Binding {
            name: object.name().to_owned(),
            matching: Matching::open(match_resources)?,
            param: param_ref,
            actions: validation_actions,
        };
        Ok((policy_name, binding))
    });
    made.inspect_err(|error| tracing::error!(binding = object.name(), error, "not a binding"))
        .ok()
}
