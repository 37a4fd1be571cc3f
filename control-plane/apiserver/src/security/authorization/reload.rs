//! The authorizers of an `AuthorizationConfiguration`, which is followed while the server runs.

use super::{Configuration, Maker};
use crate::security::{Answer, Attributes, Authorizer, Chain, Decision, Rules, User};
use component::metrics::{Counter, Description, Family, Gauge, Registry};
use std::{
    io,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(10);

const RELOADS: Description = Description::new(
    "apiserver_authorization_config_controller_automatic_reloads_total",
    "[BETA] Total number of automatic reloads of authorization configuration split by status and apiserver identity.",
    &["status", "apiserver_id_hash"],
);
const LAST: Description = Description::new(
    "apiserver_authorization_config_controller_automatic_reload_last_timestamp_seconds",
    "[BETA] Timestamp of the last automatic reload of authorization configuration split by status and apiserver identity.",
    &["status", "apiserver_id_hash"],
);
/// Reads the file.
pub type ReadFile = Box<dyn Fn() -> io::Result<Vec<u8>> + Send + Sync>;

/// Authorizers that may be exchanged.
pub struct Reloading {
    current: RwLock<Arc<Chain>>,
    maker: Maker,
    started: Configuration,
}

struct Numbers {
    reloads: Arc<Family<Counter>>,
    last: Arc<Family<Gauge>>,
}

impl Numbers {
    fn new(registry: &Registry) -> Self {
        Self {
            reloads: registry.family(RELOADS),
            last: registry.family(LAST),
        }
    }

    fn record(&self, status: &str, second: i64) {
        self.reloads.of(&[status, ""]).add(1);
        self.last.of(&[status, ""]).set(second);
    }
}

impl Reloading {
    /// By what a server starts with.
    ///
    /// # Errors
    /// As [`Maker::chain`].
    pub fn new(maker: Maker, started: Configuration) -> Result<Arc<Self>, String> {
        let current = RwLock::new(Arc::new(maker.chain(&started)?));
        Ok(Arc::new(Self {
            current,
            maker,
            started,
        }))
    }

    fn chain(&self) -> Arc<Chain> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Goes by another file from now on.
    ///
    /// # Errors
    /// It cannot be gone by; all stays as it was.
    pub fn exchange(&self, text: &[u8]) -> Result<(), String> {
        let configuration = Configuration::parse(text)?;
        configuration.follows(&self.started)?;
        let chain = Arc::new(self.maker.chain(&configuration)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = chain;
        Ok(())
    }

    /// Looks from time to time, in the background, whether `read`, which has said `seen`, has something else to say.
    pub fn follow(self: &Arc<Self>, read: ReadFile, seen: Vec<u8>) {
        let (own, env) = (self.clone(), self.maker.env.clone());
        let numbers = Numbers::new(&env.metrics);
        let clock = env.clock.clone();
        env.tasks.spawn("authorization-config", async move {
            let mut seen = seen;
            loop {
                clock.sleep(LOOK).await;
                let text = match read() {
                    Ok(text) if text == seen => continue,
                    Ok(text) => text,
                    Err(error) => {
                        tracing::error!(%error, "reloading authorization config");
                        numbers.record("failure", clock.wall().as_second());
                        continue;
                    }
                };
                let done = own.exchange(&text);
                seen = text;
                match done {
                    Ok(()) => {
                        tracing::info!("reloaded authz config");
                        numbers.record("success", clock.wall().as_second());
                    }
                    Err(error) => {
                        tracing::error!(error, "reloading authorization config");
                        numbers.record("failure", clock.wall().as_second());
                    }
                }
            }
        });
    }
}

impl Authorizer for Reloading {
    fn authorize(&self, attributes: &Attributes) -> Answer<Decision> {
        self.chain().authorize(attributes)
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        self.chain().rules(user, namespace)
    }
}
