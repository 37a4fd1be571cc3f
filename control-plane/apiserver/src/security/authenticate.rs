//! Authentication: client certificates, then bearer tokens; nobody with neither is anonymous.

use super::{
    Answer, Authenticator, Known, User,
    front_proxy::{FrontProxy, Standing},
    service_account::ServiceAccounts,
};
use api::Status;
use http::{header::AUTHORIZATION, request::Parts};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;

/// The authenticators of the server, in order.
pub struct Authenticators {
    /// Front proxies, whose word about users is taken.
    pub front_proxy: Option<FrontProxy>,
    /// Service account tokens.
    pub service_accounts: Arc<ServiceAccounts>,
}

impl Authenticator for Authenticators {
    fn authenticate(
        &self,
        parts: &Parts,
        client_cert: &[CertificateDer<'static>],
    ) -> Answer<Result<Option<User>, Status>> {
        // The TLS layer has checked the chain against the CAs of clients and front proxies, and the dates.
        let standing = match &self.front_proxy {
            Some(proxy) if !client_cert.is_empty() => proxy.standing(&parts.headers, client_cert),
            _ => Standing::Client,
        };
        let user = match standing {
            Standing::Proxy(user) => Some(user),
            Standing::Client => client_cert.first().and_then(|leaf| certificate_user(leaf)),
            Standing::Nobody => None,
        };
        if user.is_some() {
            return Ok(user).into();
        }
        let Some(header) = parts.headers.get(AUTHORIZATION) else {
            return Ok(None).into();
        };
        let token = header
            .to_str()
            .ok()
            .and_then(|h| h.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        // An empty token is none, as upstream.
        let Some((_, token)) = token.filter(|(_, token)| !token.trim().is_empty()) else {
            return Ok(None).into();
        };
        self.token(token.trim(), &[]).map(|known| match known {
            Ok(Some((user, _))) => Ok(Some(user)),
            Ok(None) => Err(Status::unauthorized()),
            Err(why) => {
                tracing::info!(why, "unable to authenticate the request");
                Err(Status::unauthorized())
            }
        })
    }

    fn token(&self, token: &str, audiences: &[String]) -> Answer<Known> {
        self.service_accounts.authenticate(token, audiences).into()
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
