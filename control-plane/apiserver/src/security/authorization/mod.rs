//! The authorizers beside Node and RBAC, and how they are put together: by `--authorization-mode` and its flags, or by an
//! `AuthorizationConfiguration`, which is followed while the server runs.

mod abac;
mod always;
mod conditions;
mod config;
mod metrics;
mod reload;
mod review;
#[cfg(test)]
mod stories;
mod webhook;

pub use abac::Abac;
pub use always::{AlwaysAllow, AlwaysDeny};
pub use config::{Configuration, Configured, Connection, Mode, WebhookSettings};
pub use reload::Reloading;
pub use webhook::Webhook;

use super::{Answer, Attributes, Authorizer, Chain, Decision, NodeAuthorizer, Rbac, Verdict};
use crate::Reader;
use component::Env;
use metrics::Metrics;
use std::sync::Arc;

/// What authorizers are made of.
#[derive(Clone)]
pub struct Maker {
    /// Reads what is stored.
    pub reader: Reader,
    /// RBAC, which also says what may be granted.
    pub rbac: Arc<Rbac>,
    /// The file of ABAC, if there is one.
    pub abac: Option<Arc<Abac>>,
    /// Time, randomness, tasks, metrics.
    pub env: Env,
}

impl Maker {
    /// The authorizers of a configuration, in its order.
    ///
    /// # Errors
    /// The kubeconfig of a webhook cannot be used, or ABAC has no file.
    pub fn chain(&self, configuration: &Configuration) -> Result<Chain, String> {
        let metrics = Metrics::new(&self.env.metrics);
        let made = configuration.authorizers.iter().map(|of| {
            let authorizer = self.one(of, &metrics)?;
            Ok(Arc::new(Counted::new(of, authorizer, &metrics)) as Arc<dyn Authorizer>)
        });
        Ok(Chain(made.collect::<Result<_, String>>()?))
    }

    fn one(&self, of: &Configured, metrics: &Arc<Metrics>) -> Result<Arc<dyn Authorizer>, String> {
        Ok(match of.mode {
            Mode::Node => Arc::new(NodeAuthorizer::new(self.reader.clone())),
            Mode::Rbac => self.rbac.clone(),
            Mode::AlwaysAllow => Arc::new(AlwaysAllow),
            Mode::AlwaysDeny => Arc::new(AlwaysDeny),
            Mode::Abac => {
                let none =
                    "authorizer type ABAC is not allowed if it was not enabled at initial server startup";
                self.abac.clone().ok_or(none)?
            }
            Mode::Webhook => {
                let settings = of.webhook.as_ref().ok_or("a webhook without its settings")?;
                Arc::new(Webhook::new(&of.name, settings, &self.env, metrics.clone())?)
            }
        })
    }
}

/// Counts what an authorizer decides.
struct Counted {
    inner: Arc<dyn Authorizer>,
    allowed: Arc<component::metrics::Counter>,
    denied: Arc<component::metrics::Counter>,
}

impl Counted {
    fn new(of: &Configured, inner: Arc<dyn Authorizer>, metrics: &Metrics) -> Self {
        let counter = |decision| {
            metrics
                .decisions
                .of(&[of.mode.name(), &of.name, decision])
                .clone()
        };
        Self {
            inner,
            allowed: counter("allowed"),
            denied: counter("denied"),
        }
    }
}

fn count(decision: &Decision, allowed: &component::metrics::Counter, denied: &component::metrics::Counter) {
    match decision.verdict {
        Verdict::Allow => allowed.add(1),
        Verdict::Deny => denied.add(1),
        Verdict::NoOpinion => {}
    }
}

impl Authorizer for Counted {
    fn authorize(&self, attributes: &Attributes) -> Answer<Decision> {
        match self.inner.authorize(attributes) {
            Answer::Now(decision) => {
                count(&decision, &self.allowed, &self.denied);
                decision.into()
            }
            Answer::Later(decision) => {
                let (allowed, denied) = (self.allowed.clone(), self.denied.clone());
                Answer::Later(Box::pin(async move {
                    let decision = decision.await;
                    count(&decision, &allowed, &denied);
                    decision
                }))
            }
        }
    }

    fn rules(&self, user: &super::User, namespace: &str) -> super::Rules {
        self.inner.rules(user, namespace)
    }
}
