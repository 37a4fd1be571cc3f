//! The server of an issuer: where its keys are, and the keys.

use super::metrics::Numbers;
use crate::security::Asking;
use component::{
    Env,
    jwt::{Jwk, PublicKey},
};
use serde::Deserialize;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long to wait after a failure, and between two looks for a key that is not known.
const PAUSE: Duration = Duration::from_secs(10);
const PATH: &str = "/.well-known/openid-configuration";

/// A provider. It is found in the background; until then nothing is verified.
pub(super) struct Provider {
    issuer: String,
    discovery: Asking,
    ca: String,
    state: Mutex<State>,
    /// One looks for keys at a time.
    looking: tokio::sync::Mutex<()>,
    numbers: Arc<Numbers>,
    env: Env,
}

#[derive(Default)]
struct State {
    /// Where the keys are.
    place: Option<Arc<Asking>>,
    keys: Arc<Vec<PublicKey>>,
    /// When they were looked for the last time.
    tried: Option<Instant>,
    /// How often they were got.
    generation: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Keys {
    keys: Vec<Jwk>,
}

impl Provider {
    /// The provider of `issuer`, whose server is known by `ca` (PEM; empty: by the authorities of the host).
    pub fn new(
        issuer: &str,
        discovery: Option<&str>,
        ca: &str,
        numbers: Arc<Numbers>,
        env: &Env,
    ) -> Result<Self, String> {
        let usual = format!("{}{PATH}", issuer.trim_end_matches('/'));
        Ok(Self {
            issuer: issuer.to_owned(),
            discovery: Asking::url(discovery.unwrap_or(&usual), ca, env)?,
            ca: ca.to_owned(),
            state: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            numbers,
            env: env.clone(),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was found.
    pub fn is_found(&self) -> bool {
        self.state().place.is_some()
    }

    /// Looks for it until it is found, or nobody wants it any more.
    pub fn find(provider: &Arc<Self>) {
        let (weak, env) = (Arc::downgrade(provider), provider.env.clone());
        env.tasks.clone().spawn("oidc-provider", async move {
            while let Some(provider) = weak.upgrade() {
                match provider.discover().await {
                    Ok(()) => return,
                    Err(why) => {
                        let issuer = &provider.issuer;
                        tracing::error!(issuer, why, "oidc authenticator: initializing plugin");
                    }
                }
                drop(provider);
                env.clock.sleep(PAUSE).await;
            }
        });
    }

    async fn discover(&self) -> Result<(), String> {
        let text = self
            .discovery
            .get()
            .await
            .map_err(|failure| failure.to_string())?;
        let told: Configuration = serde_json::from_slice(&text)
            .map_err(|error| format!("oidc: failed to decode provider discovery object: {error}"))?;
        if told.issuer != self.issuer {
            return Err(format!(
                "oidc: issuer did not match the issuer returned by provider, expected {:?} got {:?}",
                self.issuer, told.issuer
            ));
        }
        if !told.jwks_uri.starts_with("https://") {
            return Err(format!(
                "oidc: the keys are not at an https URL but at {:?}",
                told.jwks_uri
            ));
        }
        let place = Asking::url(&told.jwks_uri, &self.ca, &self.env)?;
        self.state().place = Some(Arc::new(place));
        tracing::info!(issuer = self.issuer, "oidc authenticator: the provider was found");
        Ok(())
    }

    /// The keys that are known, and how often they were got.
    pub fn keys(&self) -> (Arc<Vec<PublicKey>>, u64) {
        let state = self.state();
        (state.keys.clone(), state.generation)
    }

    /// Gets the keys, if nobody did since they were got `seen` times, and not so soon after the last time.
    pub async fn look(&self, seen: u64) -> Result<(), String> {
        let _one = self.looking.lock().await;
        let place = {
            let mut state = self.state();
            if state.generation != seen {
                return Ok(());
            }
            let now = self.env.clock.now();
            if state.tried.is_some_and(|tried| now - tried < PAUSE) {
                return Ok(());
            }
            state.tried = Some(now);
            state.place.clone().ok_or("oidc: authenticator not initialized")?
        };
        let fetched = fetch(&place).await;
        self.numbers.fetched(fetched.is_ok());
        let mut state = self.state();
        state.tried = Some(self.env.clock.now());
        state.keys = Arc::new(fetched?);
        state.generation += 1;
        Ok(())
    }
}

/// The keys that are there.
async fn fetch(place: &Asking) -> Result<Vec<PublicKey>, String> {
    let got = place.get().await;
    let text = got.map_err(|failure| format!("fetching keys oidc: get keys failed: {failure}"))?;
    let told: Keys = serde_json::from_slice(&text)
        .map_err(|error| format!("fetching keys oidc: failed to decode keys: {error}"))?;
    let keys = told
        .keys
        .iter()
        .filter(|key| key.r#use.is_empty() || key.r#use == "sig");
    Ok(keys.filter_map(PublicKey::from_jwk).collect())
}
