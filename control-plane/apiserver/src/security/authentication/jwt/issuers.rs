//! All issuers, which may change while the server runs.

use super::{authenticator::Authenticator, config::AuthenticationConfiguration, validate::validate};
use crate::security::{
    Answer, Known,
    authentication::{ReadFile, Tokens, follow},
};
use component::{Env, jwt::Algorithm};
use futures::FutureExt;
use std::sync::{Arc, PoisonError, RwLock};

/// Takes the tokens of the issuers of a configuration.
pub struct Issuers {
    current: RwLock<Arc<Vec<Authenticator>>>,
    configuration: AuthenticationConfiguration,
    /// Issuers that are this server.
    own: Vec<String>,
    algorithms: Vec<Algorithm>,
    env: Env,
}

impl Issuers {
    /// Those of `configuration`, whose tokens are signed by `algorithms`. `own` are the issuers that are this server.
    ///
    /// # Errors
    /// The configuration makes no sense; all that is wrong.
    pub fn new(
        configuration: AuthenticationConfiguration,
        algorithms: &[Algorithm],
        own: &[String],
        env: &Env,
    ) -> Result<Arc<Self>, String> {
        let made = make(&configuration, own, algorithms, env)?;
        Ok(Arc::new(Self {
            current: RwLock::new(Arc::new(made)),
            configuration,
            own: own.to_vec(),
            algorithms: algorithms.to_vec(),
            env: env.clone(),
        }))
    }

    fn current(&self) -> Arc<Vec<Authenticator>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The issuers whose servers were not found yet.
    pub fn missing(&self) -> Vec<String> {
        let current = self.current();
        let missing = current.iter().filter(|of| !of.is_ready());
        missing.map(|of| of.issuer().to_owned()).collect()
    }

    /// Goes by another configuration from now on.
    ///
    /// # Errors
    /// It makes no sense; then it stays as it was.
    pub fn exchange(&self, text: &str) -> Result<(), String> {
        let configuration = AuthenticationConfiguration::parse(text)?;
        if configuration.anonymous != self.configuration.anonymous {
            return Err("anonymous: Forbidden: changed from initial configuration file".to_owned());
        }
        let made = make(&configuration, &self.own, &self.algorithms, &self.env)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(made);
        Ok(())
    }

    /// Goes by what the file says, whenever it changes; `seen` is what it said.
    pub fn keep(self: &Arc<Self>, seen: String, read: ReadFile) {
        let kept = self.clone();
        let take = move |text: &str| kept.exchange(text);
        follow("authentication configuration", seen, read, take, &self.env);
    }
}

fn make(
    configuration: &AuthenticationConfiguration,
    own: &[String],
    algorithms: &[Algorithm],
    env: &Env,
) -> Result<Vec<Authenticator>, String> {
    let compiled = validate(configuration, own).map_err(|errors| {
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        match told.as_slice() {
            [only] => format!("invalid authentication configuration: {only}"),
            many => format!("invalid authentication configuration: [{}]", many.join(", ")),
        }
    })?;
    let all = configuration.jwt.iter().zip(compiled);
    all.map(|(jwt, compiled)| Authenticator::new(jwt, compiled, algorithms, env))
        .collect()
}

impl Tokens for Issuers {
    fn token(&self, token: &str, _: &[String]) -> Answer<Known> {
        // Of each issuer there is one at most, so that one of them knows or none.
        for authenticator in self.current().iter() {
            match authenticator.token(token) {
                Answer::Now(Ok(None)) => {}
                Answer::Now(known) => return known.into(),
                Answer::Later(later) => return Answer::Later(later.boxed()),
            }
        }
        Ok(None).into()
    }
}
