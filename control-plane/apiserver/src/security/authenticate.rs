//! Authentication: client certificates, then bearer tokens; nobody with neither is anonymous.

use super::{Authenticator, User, service_account::ServiceAccounts};
use api::Status;
use http::{header::AUTHORIZATION, request::Parts};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;

/// The authenticators of the server, in order.
pub struct Authenticators {
    /// Service account tokens.
    pub service_accounts: Arc<ServiceAccounts>,
}

impl Authenticator for Authenticators {
    fn authenticate(
        &self,
        parts: &Parts,
        client_cert: &[CertificateDer<'static>],
    ) -> Result<Option<User>, Status> {
        // The TLS layer has checked the chain against the client CA, and the dates.
        if let Some(user) = client_cert.first().and_then(|leaf| certificate_user(leaf)) {
            return Ok(Some(user));
        }
        let Some(header) = parts.headers.get(AUTHORIZATION) else {
            return Ok(None);
        };
        let token = header
            .to_str()
            .ok()
            .and_then(|h| h.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        // An empty token is none, as upstream.
        let Some((_, token)) = token.filter(|(_, token)| !token.trim().is_empty()) else {
            return Ok(None);
        };
        match self.token(token.trim(), &[]) {
            Ok(Some((user, _))) => Ok(Some(user)),
            Ok(None) => Err(Status::unauthorized()),
            Err(why) => {
                tracing::info!(why, "unable to authenticate the request");
                Err(Status::unauthorized())
            }
        }
    }

    fn token(&self, token: &str, audiences: &[String]) -> Result<Option<(User, Vec<String>)>, String> {
        self.service_accounts.authenticate(token, audiences)
    }
}

/// Common name is the user, organizations are the groups. A certificate without a common name names nobody.
fn certificate_user(leaf: &CertificateDer<'_>) -> Option<User> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    if name.is_empty() {
        return None;
    }
    let groups = certificate
        .subject()
        .iter_organization()
        .filter_map(|o| o.as_str().ok())
        .map(str::to_owned);
    let mut groups: Vec<String> = groups.collect();
    groups.push("system:authenticated".to_owned());
    Some(User {
        name: name.to_owned(),
        groups,
        ..User::default()
    })
}
