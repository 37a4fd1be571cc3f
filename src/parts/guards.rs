//! The API server's guards as its flags say.

use anyhow::{Result, bail};
use api::Status;
use apiserver::{
    Reader,
    security::{
        Answer, Attributes, Authenticator, Authorizer, Chain, Decision, Known, NodeAuthorizer, Rbac,
        Security, User,
    },
};
use component::flags::Settings;
use http::request::Parts;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;

/// Who decides about requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What kubelets need.
    Node,
    /// Roles and bindings.
    Rbac,
    /// Everybody may do everything.
    AlwaysAllow,
}

/// Reads `--authorization-mode`.
pub fn modes(settings: &Settings) -> Result<Vec<Mode>> {
    let mut modes = Vec::new();
    for name in settings.list("authorization-mode") {
        let mode = match name.as_str() {
            "Node" => Mode::Node,
            "RBAC" => Mode::Rbac,
            "AlwaysAllow" => Mode::AlwaysAllow,
            other => bail!("--authorization-mode={other} is not supported: it is Node, RBAC or AlwaysAllow"),
        };
        if modes.contains(&mode) {
            bail!("--authorization-mode has mode {name:?} specified more than once");
        }
        modes.push(mode);
    }
    if modes.is_empty() {
        bail!("--authorization-mode: at least one authorization mode must be passed");
    }
    Ok(modes)
}

/// The standard guards, changed to what `modes` and `anonymous` say.
pub fn fit(mut security: Security, reader: &Reader, modes: &[Mode], anonymous: bool) -> Security {
    if modes != [Mode::Node, Mode::Rbac] {
        let authorizer = |mode: &Mode| -> Arc<dyn Authorizer> {
            match mode {
                Mode::Node => Arc::new(NodeAuthorizer::new(reader.clone())),
                Mode::Rbac => Arc::new(Rbac::new(reader.clone())),
                Mode::AlwaysAllow => Arc::new(AlwaysAllow),
            }
        };
        security.authz = Arc::new(Chain(modes.iter().map(authorizer).collect()));
    }
    if !modes.contains(&Mode::Rbac) {
        // Nobody gains anything by a role that nobody asks.
        security.admission = Vec::new();
    }
    if !anonymous {
        security.authn = Arc::new(NoAnonymous(security.authn));
    }
    security
}

struct AlwaysAllow;

impl Authorizer for AlwaysAllow {
    fn authorize(&self, _: &Attributes) -> Answer<Decision> {
        Decision::allow("").into()
    }
}

/// Who has no credentials is refused.
struct NoAnonymous(Arc<dyn Authenticator>);

impl Authenticator for NoAnonymous {
    fn authenticate(
        &self,
        parts: &Parts,
        chain: &[CertificateDer<'static>],
    ) -> Answer<Result<Option<User>, Status>> {
        self.0.authenticate(parts, chain).map(|known| match known? {
            None => Err(Status::unauthorized()),
            user => Ok(user),
        })
    }

    fn token(&self, token: &str, audiences: &[String]) -> Answer<Known> {
        self.0.token(token, audiences)
    }
}
