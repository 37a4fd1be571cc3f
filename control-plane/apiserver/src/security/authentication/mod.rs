//! Who asks: each way to find out is a file of its own, tried in upstream's order. The error of one does not stop the
//! others; if none knows the user and one had an error, the request is refused.

mod anonymous;
mod authorities;
mod bootstrap_token;
mod cache;
pub mod discovery;
mod front_proxy;
mod jwt;
mod legacy_token;
mod password;
mod reload;
mod service_account;
#[cfg(test)]
mod stories;
mod subject;
mod token_file;
mod union;
mod webhook;
mod websocket;
mod x509;

pub use anonymous::Anonymous;
pub use authorities::{Authorities, RequestHeader, Trust};
pub use bootstrap_token::BootstrapTokens;
pub use front_proxy::FrontProxy;
pub(crate) use front_proxy::{text, unescaped};
pub(super) use jwt::not_prefixed;
pub use jwt::{
    AuthenticationConfiguration, ClaimMappings, ClaimValidationRule, Issuer, Issuers, JwtAuthenticator,
    Mapping, OIDC_ALGORITHMS,
};
pub use password::{PasswordFile, hash};
pub(super) use reload::follow_authorities;
pub use reload::{Files, ReadFile, follow};
pub use service_account::{Rules as TokenRules, ServiceAccounts};
pub(super) use subject::Subject;
pub use token_file::TokenFile;
pub use union::Authenticators;
pub use webhook::TokenWebhook;
pub use x509::ClientCertificates;

use super::{Answer, Known, User};
use component::jwt::PublicKey;
use std::{sync::Arc, time::Duration};

/// Knows the tokens of one kind.
pub trait Tokens: Send + Sync {
    /// Whose `token` is. `audiences` (empty: the API server's own) are looked at by those that know of audiences.
    fn token(&self, token: &str, audiences: &[String]) -> Answer<Known>;

    /// Whether its tokens have audiences; those of the others are good for the API server.
    fn knows_audiences(&self) -> bool {
        false
    }
}

/// A user of whom no audience is known.
fn known(user: User) -> Known {
    Ok(Some((user, Vec::new())))
}

/// Which ways there are beside certificates and tokens of service accounts, and how those are.
#[derive(Clone, Default)]
pub struct Settings {
    /// Keys beside the signing key that verify tokens of service accounts.
    pub keys: Vec<PublicKey>,
    /// The longest life of a token of a service account; none: as long as it was asked for.
    pub longest: Option<Duration>,
    /// Whether the tokens that admission puts into pods live for a year, and warn when they are old.
    pub extend: bool,
    /// Where clients of the issuer find its keys; empty: at this server.
    pub jwks_uri: String,
    /// Static tokens.
    pub token_file: Option<Arc<TokenFile>>,
    /// Passwords.
    pub passwords: Option<Arc<PasswordFile>>,
    /// Whether bootstrap tokens are taken.
    pub bootstrap_tokens: bool,
    /// Issuers of others.
    pub issuers: Option<Arc<Issuers>>,
    /// A server that is asked about tokens.
    pub webhook: Option<Arc<TokenWebhook>>,
    /// Who has no credentials.
    pub anonymous: Anonymous,
    /// Files that are read again when they change.
    pub files: Files,
}
