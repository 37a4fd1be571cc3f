//! Users named in headers by a proxy that shows a certificate of the front-proxy CA.
//! Upstream: `apiserver/pkg/authentication/request/headerrequest`.

use super::{
    Authorities, RequestHeader,
    cache::{Cache, Digested, digest_of},
    x509,
};
use crate::security::User;
use component::Clock;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use std::{collections::BTreeMap, time::Duration};

/// What extension servers are told who asks by.
const USUAL: [&str; 3] = ["x-remote-user", "x-remote-uid", "x-remote-group"];
const USUAL_EXTRA: &str = "x-remote-extra-";
/// What was found out of a certificate is looked at again after so long.
const KNOWN: Duration = Duration::from_secs(10);

/// Takes the word of front proxies.
pub struct FrontProxy {
    header: RequestHeader,
    proxies: Authorities,
    known: Cache<Digested, (u64, Result<(), String>)>,
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
        let key = digest_of(leaf);
        if let Some((of, known)) = self.known.get(&key)
            && of == generation
        {
            return known;
        }
        let known = self.proxies.verify(chain, &self.clock);
        self.known.put(key, (generation, known.clone()), KNOWN);
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
        let all = |names: &[String]| -> Result<Vec<String>, String> {
            let values = names.iter().flat_map(|name| {
                headers
                    .get_all(name.as_str())
                    .iter()
                    .map(move |value| (name, value))
            });
            let values = values.filter(|(_, value)| !value.is_empty());
            values.map(|(name, value)| text(name, value)).collect()
        };
        let first = |names: &[String]| Ok::<_, String>(all(names)?.into_iter().next());
        let Some(name) = first(&self.header.username_headers)? else {
            return Ok(None);
        };
        Ok(Some(User {
            name,
            uid: first(&self.header.uid_headers)?.unwrap_or_default(),
            groups: all(&self.header.group_headers)?,
            extra: self.extra(headers)?,
            ..User::default()
        }))
    }

    /// Takes off a request what a proxy says, in the usual headers and in those of `proxy`: whoever is behind this server
    /// is told by this server.
    pub fn forget(proxy: Option<&Self>, headers: &mut HeaderMap) {
        let said = |name: &HeaderName| {
            let name = name.as_str();
            let own = proxy.is_some_and(|proxy| {
                let of = &proxy.header;
                let lists = [&of.username_headers, &of.uid_headers, &of.group_headers];
                let prefixed = |prefix: &String| name.starts_with(&prefix.to_ascii_lowercase());
                lists
                    .into_iter()
                    .flatten()
                    .any(|own| own.eq_ignore_ascii_case(name))
                    || of.extra_prefixes.iter().any(prefixed)
            });
            own || USUAL.contains(&name) || name.starts_with(USUAL_EXTRA)
        };
        let names: Vec<HeaderName> = headers.keys().filter(|name| said(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }

    fn extra(&self, headers: &HeaderMap) -> Result<BTreeMap<String, Vec<String>>, String> {
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for prefix in &self.header.extra_prefixes {
            let prefix = prefix.to_ascii_lowercase();
            for (name, value) in headers {
                let Some(key) = name.as_str().strip_prefix(&prefix) else {
                    continue;
                };
                let values = extra.entry(unescaped(key)).or_default();
                values.push(text(name.as_str(), value)?);
            }
        }
        Ok(extra)
    }
}

/// What is no text names nobody, and must not be left out: the request would be somebody else's.
pub(crate) fn text(name: &str, value: &HeaderValue) -> Result<String, String> {
    let text = std::str::from_utf8(value.as_bytes());
    text.map(str::to_owned)
        .map_err(|_| format!("header {name:?} is not valid UTF-8"))
}

/// A key in a header's name without its escapes; one with broken escapes as it is.
pub(crate) fn unescaped(key: &str) -> String {
    let hex = |at: usize| {
        let digits = key.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if key.match_indices('%').all(|(at, _)| hex(at)) {
        crate::http::percent_decode(key)
    } else {
        key.to_owned()
    }
}
