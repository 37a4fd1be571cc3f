//! Users named in headers by a proxy that shows a certificate of the front-proxy CA.
//! Upstream: `apiserver/pkg/authentication/request/headerrequest`.

use super::User;
use component::{Clock, pki};
use http::HeaderMap;
use rustls::{
    pki_types::{CertificateDer, UnixTime},
    server::danger::ClientCertVerifier,
};
use std::{collections::BTreeMap, sync::Arc};

/// Whose word about users is taken, and in which headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The CA of the proxies, PEM.
    pub ca: String,
    /// Common names of the proxies; empty: any.
    pub allowed_names: Vec<String>,
    /// Headers with the user's name: the first that is there.
    pub username_headers: Vec<String>,
    /// Headers with groups.
    pub group_headers: Vec<String>,
    /// Headers with the user's UID: the first that is there.
    pub uid_headers: Vec<String>,
    /// What headers with everything else begin with.
    pub extra_prefixes: Vec<String>,
}

impl RequestHeader {
    /// With upstream's usual headers, for proxies with certificates of `ca` (PEM) and the name `allowed`.
    pub fn usual(ca: &str, allowed: &str) -> Self {
        let one = |text: &str| vec![text.to_owned()];
        Self {
            ca: ca.to_owned(),
            allowed_names: one(allowed),
            username_headers: one("X-Remote-User"),
            group_headers: one("X-Remote-Group"),
            uid_headers: one("X-Remote-Uid"),
            extra_prefixes: one("X-Remote-Extra-"),
        }
    }
}

/// Which certificates are taken for what; also what extension servers are told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The CA of clients, PEM; empty for none.
    pub client_ca: String,
    /// Front proxies; none: their word is not taken.
    pub request_header: Option<RequestHeader>,
}

impl Trust {
    /// All authorities whose certificates a listener asks for, PEM.
    pub fn authorities(&self) -> String {
        let proxies = self.request_header.as_ref().map(|header| header.ca.as_str());
        [self.client_ca.as_str(), proxies.unwrap_or_default()].join("\n")
    }
}

/// Takes the word of front proxies.
pub struct FrontProxy {
    header: RequestHeader,
    proxies: Arc<dyn ClientCertVerifier>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    /// The subjects of the proxies' authorities, as certificates name their issuer.
    subjects: Vec<Vec<u8>>,
    clock: Clock,
}

/// What a certificate is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It speaks for itself.
    Client,
    /// It speaks for this user.
    Proxy(User),
    /// Nothing: it is a proxy's that names nobody, or may not.
    Nobody,
}

impl FrontProxy {
    /// As `trust` says; none when it names no front proxies.
    pub fn new(trust: &Trust, clock: Clock) -> Result<Option<Self>, String> {
        let Some(header) = &trust.request_header else {
            return Ok(None);
        };
        let verifier = |ca: &str| pki::client_verifier(ca).map_err(|error| error.to_string());
        let proxies = verifier(&header.ca)?;
        let subjects = proxies
            .root_hint_subjects()
            .iter()
            .map(|name| name.as_ref().to_vec());
        Ok(Some(Self {
            header: header.clone(),
            subjects: subjects.collect(),
            clients: match trust.client_ca.as_str() {
                "" => None,
                ca => Some(verifier(ca)?),
            },
            proxies,
            clock,
        }))
    }

    /// For whom a request with `headers` from a client with `chain` speaks.
    pub fn standing(&self, headers: &HeaderMap, chain: &[CertificateDer<'static>]) -> Standing {
        if !self.is_proxy(chain) {
            return Standing::Client;
        }
        if let Some(user) = self.user(headers, chain) {
            return Standing::Proxy(user);
        }
        let client = self.clients.as_ref();
        if client.is_some_and(|clients| self.verified(clients.as_ref(), chain)) {
            return Standing::Client;
        }
        Standing::Nobody
    }

    /// Whether the chain leads to an authority of proxies. The listener has checked that it leads to one it asked for.
    fn is_proxy(&self, chain: &[CertificateDer<'static>]) -> bool {
        let [leaf, rest @ ..] = chain else { return false };
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(leaf) else {
            return false;
        };
        // Without others between, the authority is the one that the certificate names.
        let issuer = certificate.issuer().as_raw();
        let named = self.subjects.iter().any(|subject| subject.as_slice() == issuer);
        (named || !rest.is_empty()) && self.verified(self.proxies.as_ref(), chain)
    }

    fn verified(&self, by: &dyn ClientCertVerifier, chain: &[CertificateDer<'static>]) -> bool {
        let [leaf, rest @ ..] = chain else { return false };
        let since = self.clock.wall().as_duration().unsigned_abs();
        by.verify_client_cert(leaf, rest, UnixTime::since_unix_epoch(since))
            .is_ok()
    }

    fn user(&self, headers: &HeaderMap, chain: &[CertificateDer<'static>]) -> Option<User> {
        let leaf = chain.first()?;
        let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
        let name = certificate
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok());
        let allowed = &self.header.allowed_names;
        let name = name.unwrap_or_default();
        if !allowed.is_empty() && !allowed.iter().any(|allowed| allowed == name) {
            tracing::info!(name, "a front proxy that is not in the allowed list");
            return None;
        }
        let all = |names: &[String]| -> Vec<String> {
            let values = names.iter().flat_map(|name| headers.get_all(name.as_str()));
            let texts = values.filter_map(|value| value.to_str().ok());
            texts.filter(|text| !text.is_empty()).map(str::to_owned).collect()
        };
        let first = |names: &[String]| all(names).into_iter().next();
        let mut groups = all(&self.header.group_headers);
        let name = first(&self.header.username_headers)?;
        let everybody = "system:authenticated".to_owned();
        if name != "system:anonymous" && !groups.contains(&everybody) {
            groups.push(everybody);
        }
        Some(User {
            name,
            uid: first(&self.header.uid_headers).unwrap_or_default(),
            groups,
            extra: self.extra(headers),
        })
    }

    fn extra(&self, headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for prefix in &self.header.extra_prefixes {
            let prefix = prefix.to_ascii_lowercase();
            for (name, value) in headers {
                let Some(key) = name.as_str().strip_prefix(&prefix) else {
                    continue;
                };
                let key = crate::http::percent_decode(key);
                if let Ok(value) = value.to_str() {
                    extra.entry(key).or_default().push(value.to_owned());
                }
            }
        }
        extra
    }
}
