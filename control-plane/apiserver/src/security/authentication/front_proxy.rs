//! Users named in headers by a proxy that shows a certificate of the front-proxy CA.
//! Upstream: `apiserver/pkg/authentication/request/headerrequest`.

use super::{Authorities, RequestHeader, cache::Cache, x509};
use crate::security::User;
use component::Clock;
use http::HeaderMap;
use rustls::pki_types::CertificateDer;
use std::{collections::BTreeMap, time::Duration};

/// What was found out of a certificate is looked at again after so long.
const KNOWN: Duration = Duration::from_secs(10);

/// Takes the word of front proxies.
pub struct FrontProxy {
    header: RequestHeader,
    proxies: Authorities,
    known: Cache<Vec<u8>, (u64, Result<(), String>)>,
    clock: Clock,
}

impl FrontProxy {
    /// Proxies with certificates of `proxies`, in the place of the CA of `header`.
    pub fn new(header: RequestHeader, proxies: Authorities, clock: Clock) -> Self {
        Self {
            header,
            proxies,
            known: Cache::new(clock.clone()),
            clock,
        }
    }

    /// Whether the chain is a proxy's.
    fn verify(
        &self,
        leaf: &CertificateDer<'static>,
        chain: &[CertificateDer<'static>],
    ) -> Result<(), String> {
        let generation = self.proxies.generation();
        if let Some((of, known)) = self.known.get(leaf.as_ref())
            && of == generation
        {
            return known;
        }
        let known = self.proxies.verify(chain, &self.clock);
        self.known.put(leaf.to_vec(), (generation, known.clone()), KNOWN);
        known
    }

    /// The user that a request with `headers` from a client with `chain` is for; none if it names nobody.
    ///
    /// # Errors
    /// The client is no proxy, and shows a certificate.
    pub fn user(
        &self,
        headers: &HeaderMap,
        chain: &[CertificateDer<'static>],
    ) -> Result<Option<User>, String> {
        let [leaf, ..] = chain else { return Ok(None) };
        self.verify(leaf, chain)?;
        let allowed = &self.header.allowed_names;
        let name = x509::common_name(leaf).unwrap_or_default();
        if !allowed.is_empty() && !allowed.iter().any(|allowed| **allowed == *name) {
            return Err(format!("x509: subject with cn={name} is not in the allowed list"));
        }
        let all = |names: &[String]| -> Vec<String> {
            let values = names.iter().flat_map(|name| headers.get_all(name.as_str()));
            let texts = values.filter_map(|value| value.to_str().ok());
            texts.filter(|text| !text.is_empty()).map(str::to_owned).collect()
        };
        let first = |names: &[String]| all(names).into_iter().next();
        let Some(name) = first(&self.header.username_headers) else {
            return Ok(None);
        };
        Ok(Some(User {
            name,
            uid: first(&self.header.uid_headers).unwrap_or_default(),
            groups: all(&self.header.group_headers),
            extra: self.extra(headers),
        }))
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
