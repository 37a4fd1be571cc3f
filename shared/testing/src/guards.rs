//! The guards of a cluster in a test: nobody comes over the network; who comes in memory is under the real authorizers.

use api::Status;
use apiserver::{
    Reader,
    admission::Guard,
    security::{
        Answer, Authenticator, Authorizer, Chain, Escalation, Known, NodeAuthorizer, Rbac, Refusal, Security,
        Token, TokenAsk, TokenIssuer, User,
    },
};
use component::Clock;
use http::request::Parts;
use jiff::SignedDuration;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;

/// Node and RBAC authorization, and tokens that nobody can use.
pub(crate) fn guards(reader: &Reader, clock: Clock) -> Security {
    let rbac = Arc::new(Rbac::new(reader.clone()));
    let node = Arc::new(NodeAuthorizer::new(reader.clone()));
    let chain = Arc::new(Chain([node as Arc<dyn Authorizer>, rbac.clone()].into()));
    Security {
        authn: Arc::new(Nobody),
        authz: chain.clone(),
        issuer: Some(Arc::new(Paper(clock))),
        admission: vec![Guard::Elsewhere(Escalation::new(rbac, chain))],
        audit: None,
    }
}

struct Nobody;

impl Authenticator for Nobody {
    fn authenticate(
        &self,
        _: &Parts,
        _: &[CertificateDer<'static>],
    ) -> Answer<Result<Option<User>, Refusal>> {
        Ok(None).into()
    }

    fn token(&self, _: &str, _: &[String]) -> Answer<Known> {
        Err("there are no tokens here".into()).into()
    }
}

/// Tokens without a signature: a real one is random.
struct Paper(Clock);

impl TokenIssuer for Paper {
    fn issue(&self, ask: &TokenAsk) -> Result<Token, Status> {
        let expires = self
            .0
            .wall()
            .saturating_add(SignedDuration::from_secs(ask.seconds))
            .map_err(Status::internal)?;
        let token = format!("token of {}/{}", ask.namespace, ask.service_account);
        Ok(Token {
            id: token.clone(),
            token,
            expires,
            audiences: ask.audiences.clone(),
        })
    }
}
