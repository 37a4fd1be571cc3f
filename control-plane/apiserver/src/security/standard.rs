//! The guards as a server has them: certificates and service account tokens, Node and RBAC, and what refuses writes.

use super::{
    Authenticators, Authorizer, Chain, Escalation, FrontProxy, NodeAuthorizer, Rbac, Security,
    ServiceAccounts, Trust, oidc,
};
use crate::{admission::Guard, server::Reader};
use component::{Clock, Random};
use std::sync::Arc;

/// What the guards are made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The key that signs service account tokens: PKCS#8, PEM, P-256.
    pub signing_key: String,
    /// The issuer of tokens, such as `https://kubernetes.default.svc.cluster.local`.
    pub issuer: String,
    /// The API server's own audiences; empty: the issuer.
    pub audiences: Vec<String>,
    /// Which certificates are taken.
    pub trust: Trust,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
}

impl Settings {
    /// The documents by which others verify the tokens; see [`oidc::documents`].
    pub fn documents(&self, server: &str) -> Result<oidc::Documents, String> {
        let key = component::jwt::Key::from_pem(&self.signing_key)?;
        let keys = format!("{server}{}", oidc::KEYS_PATH);
        oidc::documents(&self.issuer, &keys, &[key.public().clone()])
    }
}

/// All guards over what `reader` reads. Anonymous requests are `system:anonymous`, allowed what the bindings of
/// `system:unauthenticated` allow.
pub fn standard(reader: &Reader, settings: Settings) -> Result<Security, String> {
    let Settings {
        signing_key,
        issuer,
        mut audiences,
        trust,
        clock,
        random,
    } = settings;
    if audiences.is_empty() {
        audiences.push(issuer.clone());
    }
    let front_proxy = FrontProxy::new(&trust, clock.clone())?;
    let service_accounts =
        ServiceAccounts::new(&signing_key, &issuer, audiences, reader.clone(), clock, random)?;
    let rbac = Arc::new(Rbac::new(reader.clone()));
    let node = Arc::new(NodeAuthorizer::new(reader.clone()));
    let chain = Arc::new(Chain([node as Arc<dyn Authorizer>, rbac.clone()].into()));
    Ok(Security {
        authn: Arc::new(Authenticators {
            front_proxy,
            service_accounts: service_accounts.clone(),
        }),
        authz: chain.clone(),
        issuer: Some(service_accounts),
        admission: vec![Guard::Elsewhere(Escalation::new(rbac, chain))],
    })
}
