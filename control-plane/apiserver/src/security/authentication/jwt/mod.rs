//! Tokens of other issuers: OpenID Connect (upstream `apiserver/plugin/pkg/authenticator/token/oidc`, KEP-3331).

mod authenticator;
mod claims;
mod config;
mod expression;
mod issuers;
mod metrics;
mod provider;
mod validate;

pub use config::{
    AuthenticationConfiguration, ClaimMappings, ClaimValidationRule, Issuer, JwtAuthenticator, Mapping,
};
pub use issuers::Issuers;
pub(in crate::security) use validate::not_prefixed;

use component::jwt::Algorithm;

/// The algorithms that the file of issuers lets them sign with: all.
pub const OIDC_ALGORITHMS: [Algorithm; 9] = Algorithm::ALL;
