//! The guards as a server has them: certificates and service account tokens, Node and RBAC, and what refuses writes.

use super::{
    Escalation, Rbac, Security,
    authentication::{
        self, Authenticators, Authorities, BootstrapTokens, ClientCertificates, FrontProxy, ServiceAccounts,
        TokenRules, Tokens, Trust, follow_authorities,
    },
    authorization::{Configuration, Configured, Maker, Mode},
    oidc,
};
use crate::{admission::Guard, server::Reader};
use component::{Env, jwt::PublicKey};
use std::sync::Arc;

/// What the guards are made of.
#[derive(Clone)]
pub struct Settings {
    /// The key that signs service account tokens, PEM.
    pub signing_key: String,
    /// The issuers of tokens, such as `https://kubernetes.default.svc.cluster.local`; the first one signs.
    pub issuers: Vec<String>,
    /// The API server's own audiences; empty: the issuers.
    pub audiences: Vec<String>,
    /// Which certificates are taken.
    pub trust: Trust,
    /// Which other ways there are to say who one is.
    pub authentication: authentication::Settings,
    /// Time, tasks and randomness.
    pub env: Env,
}

impl Settings {
    /// The keys that verify tokens of service accounts.
    fn keys(&self) -> Result<Vec<PublicKey>, String> {
        let mut keys = vec![component::jwt::Key::from_pem(&self.signing_key)?.public().clone()];
        for key in &self.authentication.keys {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        Ok(keys)
    }

    /// The documents by which others verify the tokens; see [`oidc::documents`].
    ///
    /// # Errors
    /// The signing key is none.
    pub fn documents(&self, server: &str) -> Result<oidc::Documents, String> {
        let issuer = self.issuers.first().map_or("", String::as_str);
        let uri = match self.authentication.jwks_uri.as_str() {
            "" => format!("{server}{}", oidc::KEYS_PATH),
            uri => uri.to_owned(),
        };
        oidc::documents(issuer, &uri, &self.keys()?)
    }
}

/// Who finds out who asks, and who signs tokens.
fn authenticators(
    reader: &Reader,
    settings: Settings,
) -> Result<(Authenticators, Arc<ServiceAccounts>), String> {
    let (env, more) = (settings.env, settings.authentication);
    let clock = &env.clock;
    let audiences = if settings.audiences.is_empty() {
        settings.issuers.clone()
    } else {
        settings.audiences
    };
    let clients = Authorities::new(&settings.trust.client_ca)?;
    follow_authorities("client CA", more.files.client_ca, &clients, &env);
    let front_proxy = match settings.trust.request_header {
        Some(header) => {
            let proxies = Authorities::new(&header.ca)?;
            follow_authorities("front proxy CA", more.files.request_header_ca, &proxies, &env);
            Some(FrontProxy::new(header, proxies, clock.clone()))
        }
        None => None,
    };
    let rules = TokenRules {
        issuers: settings.issuers,
        audiences: audiences.clone(),
        longest: more.longest,
        extend: more.extend,
    };
    let service_accounts = ServiceAccounts::new(
        &settings.signing_key,
        &more.keys,
        rules,
        reader.clone(),
        env.clone(),
    )?;
    let bootstrap_tokens = more
        .bootstrap_tokens
        .then(|| Arc::new(BootstrapTokens::new(reader.clone(), clock.clone())));
    // In upstream's order.
    let tokens: [Option<Arc<dyn Tokens>>; 5] = [
        more.token_file.map(|file| file as Arc<dyn Tokens>),
        Some(service_accounts.clone()),
        bootstrap_tokens.map(|tokens| tokens as Arc<dyn Tokens>),
        more.issuers.map(|issuers| issuers as Arc<dyn Tokens>),
        more.webhook.map(|webhook| webhook as Arc<dyn Tokens>),
    ];
    let authenticators = Authenticators {
        front_proxy,
        certificates: ClientCertificates::new(clients, clock.clone()),
        passwords: more.passwords,
        tokens: tokens.into_iter().flatten().collect(),
        audiences,
        anonymous: more.anonymous,
    };
    Ok((authenticators, service_accounts))
}

/// All guards over what `reader` reads. Anonymous requests are `system:anonymous`, allowed what the bindings of
/// `system:unauthenticated` allow.
pub fn standard(reader: &Reader, settings: Settings) -> Result<Security, String> {
    let env = settings.env.clone();
    let (authn, service_accounts) = authenticators(reader, settings)?;
    let rbac = Arc::new(Rbac::new(reader.clone()));
    let maker = Maker {
        reader: reader.clone(),
        rbac: rbac.clone(),
        abac: None,
        env,
    };
    let authorizers = [Mode::Node, Mode::Rbac].map(Configured::plain).into();
    let chain = Arc::new(maker.chain(&Configuration { authorizers })?);
    Ok(Security {
        authn: Arc::new(authn),
        authz: chain.clone(),
        issuer: Some(service_accounts),
        admission: vec![Guard::Elsewhere(Escalation::new(rbac, chain))],
        audit: None,
    })
}
