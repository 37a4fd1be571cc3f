//! Admission: what may still change a write, and what may refuse it, after it is authorized.
//!
//! Two phases, each in the order of [`ORDER`]: the mutating phase gets the object as the client meant it, with its
//! defaults; what it makes of it is defaulted, prepared and validated again; the validating phase gets what will be
//! stored. A delete and a connection go through both phases too.
//!
//! A plugin is a row of [`ORDER`] and a file: a [`Plugin`] answers at once from what the caches have, a [`Remote`] may
//! wait for another server. Both are first asked whether they have anything to say ([`Plugin::mutates`],
//! [`Plugin::validates`]); if no plugin mutates a request, it is neither decoded nor written once more for admission.

mod always_deny;
mod always_pull_images;
mod anti_affinity;
mod attributes;
mod auto_provision;
mod change;
mod configuration;
mod declared_features;
pub mod event_rate_limit;
mod extended_resource_toleration;
mod external_ips;
mod forms;
pub mod image_policy;
mod limit_ranger;
mod loopback;
mod matching;
mod metrics;
mod namespace_exists;
mod order;
mod owner_references;
pub mod pod_node_selector;
mod pod_resize;
pub mod pod_security;
pub mod pod_toleration_restriction;
mod pod_topology_labels;
pub mod policy;
pub mod resource_quota;
mod runtime_class;
mod service_account;
mod tolerations;
mod trust_bundle;
mod undo;
pub mod webhook;

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod tests;

pub use attributes::{Asked, Attributes, Notes, Operation, Rounds};
pub use configuration::Configuration;
pub use loopback::Loopback;
pub use order::{ORDER, Presence, Row};
pub use undo::Undo;

use crate::{
    Reader,
    custom::Webhooks,
    security::{Authorizer, ClaimStatus},
};
use api::Status;
use client::Dial;
use component::{Env, gates::Gates};
use futures::future::BoxFuture;
use metrics::Measured;
use std::sync::Arc;
use tokio::time::Instant;

/// A plugin that answers at once.
pub trait Plugin: Send + Sync + 'static {
    /// Whether the mutating phase has to ask it about such a request. Quick; the object is not looked at.
    fn mutates(&self, _: &Attributes<'_>) -> bool {
        false
    }

    /// The mutating phase: may refuse, or set another object.
    fn admit(&self, _: &mut Attributes<'_>) -> Result<(), Status> {
        Ok(())
    }

    /// Whether the validating phase has to ask it about such a request. Quick; the object is not looked at.
    fn validates(&self, _: &Attributes<'_>) -> bool {
        false
    }

    /// The validating phase: may refuse.
    fn validate(&self, _: &Attributes<'_>) -> Result<(), Status> {
        Ok(())
    }
}

/// A plugin that may wait for an answer from elsewhere.
pub trait Remote: Send + Sync + 'static {
    /// Makes the namespace of a request that is to create something where none is.
    fn provide<'a>(&'a self, _: &'a Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// As [`Plugin::mutates`].
    fn mutates(&self, _: &Attributes<'_>) -> bool {
        false
    }

    /// As [`Plugin::admit`].
    fn admit<'a>(&'a self, _: &'a mut Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// As [`Plugin::validates`].
    fn validates(&self, _: &Attributes<'_>) -> bool {
        false
    }

    /// As [`Plugin::validate`].
    fn validate<'a>(&'a self, _: &'a Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A plugin of either sort.
#[derive(Clone)]
pub enum Guard {
    /// Answers at once.
    Here(Arc<dyn Plugin>),
    /// May wait.
    Elsewhere(Arc<dyn Remote>),
}

impl Guard {
    /// One that answers at once.
    pub fn here(plugin: impl Plugin) -> Self {
        Self::Here(Arc::new(plugin))
    }

    /// One that may wait.
    pub fn elsewhere(plugin: impl Remote) -> Self {
        Self::Elsewhere(Arc::new(plugin))
    }

    fn mutates(&self, attributes: &Attributes<'_>) -> bool {
        match self {
            Self::Here(plugin) => plugin.mutates(attributes),
            Self::Elsewhere(plugin) => plugin.mutates(attributes),
        }
    }

    fn validates(&self, attributes: &Attributes<'_>) -> bool {
        match self {
            Self::Here(plugin) => plugin.validates(attributes),
            Self::Elsewhere(plugin) => plugin.validates(attributes),
        }
    }
}

/// What plugins are made of.
#[derive(Clone)]
pub struct Parts {
    /// Reads what is stored.
    pub reader: Reader,
    /// May somebody do something.
    pub authorizer: Arc<dyn Authorizer>,
    /// The way to services.
    pub dial: Arc<dyn Dial>,
    /// Time, randomness, tasks.
    pub env: Env,
    /// What is counted.
    pub metrics: Arc<crate::metrics::Metrics>,
    /// What converts custom resources.
    pub conversions: Arc<Webhooks>,
    /// The server itself.
    pub own: Loopback,
    /// What the plugins are told.
    pub configuration: Arc<Configuration>,
    /// Which features are on.
    pub gates: Gates,
}

/// Which plugins are on beside, or not among, those that are by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `--enable-admission-plugins`.
    pub enable: Vec<String>,
    /// `--disable-admission-plugins`.
    pub disable: Vec<String>,
    /// `--admission-control-config-file`.
    pub configuration: Configuration,
}

impl Settings {
    /// Refuses names of plugins that are not there.
    pub fn check(&self) -> Result<(), String> {
        let known = |name: &String| ORDER.iter().any(|row| row.name == name);
        for (flag, names) in [("enable", &self.enable), ("disable", &self.disable)] {
            if let Some(name) = names.iter().find(|name| !known(name)) {
                return Err(format!("{flag}-admission-plugins plugin {name:?} is unknown"));
            }
        }
        if let Some(name) = self.enable.iter().find(|name| self.disable.contains(name)) {
            return Err(format!(
                "{name} in enable-admission-plugins and disable-admission-plugins overlapped"
            ));
        }
        if self.enable.iter().any(|name| name == "ImagePolicyWebhook") {
            let checked = self.configuration.image_policy.check();
            checked.map_err(|why| format!("couldn't init admission plugin \"ImagePolicyWebhook\": {why}"))?;
        }
        Ok(())
    }

    fn has(&self, row: &Row) -> bool {
        let named = |list: &[String]| list.iter().any(|name| name == row.name);
        !named(&self.disable) && (row.on || named(&self.enable))
    }
}

/// The plugins that are on, in their order.
#[derive(Clone, Default)]
pub struct Chain {
    plugins: Vec<Named>,
    /// Names of those that are not on.
    off: Vec<&'static str>,
    measured: Option<Measured>,
}

/// A plugin with its name; what is always checked has none.
#[derive(Clone)]
struct Named(Option<&'static str>, Guard);

impl Chain {
    /// Those that `settings` has on. What the authorizer wants checked (`first`), and what the parts of an object want, is
    /// asked before all others.
    pub fn new(settings: &Settings, first: Vec<Guard>, parts: &Parts) -> Self {
        let rows = ORDER.iter().filter(|row| settings.has(row));
        rows.clone().for_each(|row| row.tell(settings, &parts.gates));
        let made = rows.filter_map(|row| match row.presence {
            Presence::Plugin(make) | Presence::Checked(make) => Some(Named(Some(row.name), make(parts))),
            Presence::Inherent | Presence::OfPodGroups => None,
        });
        let claims = ClaimStatus::new(parts).map(Guard::elsewhere);
        let first = first.into_iter().chain(claims).map(|guard| Named(None, guard));
        Self {
            plugins: first.chain(made).collect(),
            off: ORDER
                .iter()
                .filter(|row| !settings.has(row))
                .map(|row| row.name)
                .collect(),
            measured: Some(Measured::new(&parts.metrics.registry, parts.env.clock.clone())),
        }
    }

    /// Whether a plugin is on.
    pub fn has(&self, name: &str) -> bool {
        !self.off.contains(&name)
    }

    /// Whether any plugin may change such a request.
    pub fn mutates(&self, attributes: &Attributes<'_>) -> bool {
        self.plugins
            .iter()
            .any(|Named(_, guard)| guard.mutates(attributes))
    }

    /// Whether any plugin may refuse such a request in the end.
    pub fn validates(&self, attributes: &Attributes<'_>) -> bool {
        self.plugins
            .iter()
            .any(|Named(_, guard)| guard.validates(attributes))
    }

    /// Makes what is missing before something is created: its namespace, if a plugin is there for it.
    pub async fn provide(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        for Named(_, guard) in &self.plugins {
            if let Guard::Elsewhere(plugin) = guard {
                plugin.provide(attributes).await?;
            }
        }
        Ok(())
    }

    /// The mutating phase, with its second round if one is wanted.
    pub async fn admit(&self, attributes: &mut Attributes<'_>) -> Result<(), Status> {
        let (begun, operation) = (self.begin(), attributes.operation);
        let mut done = self.round(attributes).await;
        if done.is_ok() && attributes.rounds.wanted {
            attributes.rounds.second = true;
            done = self.round(attributes).await;
        }
        self.step(begun, "admit", operation, &done);
        done
    }

    async fn round(&self, attributes: &mut Attributes<'_>) -> Result<(), Status> {
        for Named(name, guard) in &self.plugins {
            if guard.mutates(attributes) {
                let begun = self.begin();
                let done = match guard {
                    Guard::Here(plugin) => plugin.admit(attributes),
                    Guard::Elsewhere(plugin) => plugin.admit(attributes).await,
                };
                self.asked(begun, *name, "admit", attributes.operation, &done);
                done?;
            }
        }
        Ok(())
    }

    /// The validating phase.
    pub async fn validate(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let begun = self.begin();
        let done = self.validated(attributes).await;
        self.step(begun, "validate", attributes.operation, &done);
        done
    }

    async fn validated(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        for Named(name, guard) in &self.plugins {
            if guard.validates(attributes) {
                let begun = self.begin();
                let done = match guard {
                    Guard::Here(plugin) => plugin.validate(attributes),
                    Guard::Elsewhere(plugin) => plugin.validate(attributes).await,
                };
                self.asked(begun, *name, "validate", attributes.operation, &done);
                done?;
            }
        }
        Ok(())
    }

    fn begin(&self) -> Option<Instant> {
        self.measured.as_ref().map(Measured::begin)
    }

    fn step(&self, begun: Option<Instant>, phase: &str, operation: Operation, done: &Result<(), Status>) {
        if let (Some(measured), Some(begun)) = (&self.measured, begun) {
            measured.step(begun, phase, operation, done.is_err());
        }
    }

    fn asked(
        &self,
        begun: Option<Instant>,
        name: Option<&str>,
        phase: &str,
        operation: Operation,
        done: &Result<(), Status>,
    ) {
        if let (Some(measured), Some(begun), Some(name)) = (&self.measured, begun, name) {
            measured.plugin(begun, name, phase, operation, done.is_err());
        }
    }
}
