//! All ways together.

use super::{Anonymous, ClientCertificates, FrontProxy, PasswordFile, Tokens, websocket};
use crate::security::{Answer, Authenticator, Known, Refusal, User};
use futures::FutureExt;
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;

/// What is said of a token that nobody knows.
const UNKNOWN: &str = "invalid bearer token";

/// The authenticators of the server, in order.
pub struct Authenticators {
    /// Front proxies, whose word about users is taken.
    pub front_proxy: Option<FrontProxy>,
    /// Certificates of clients.
    pub certificates: ClientCertificates,
    /// Names and passwords.
    pub passwords: Option<Arc<PasswordFile>>,
    /// Tokens of all kinds.
    pub tokens: Vec<Arc<dyn Tokens>>,
    /// The API server's own audiences.
    pub audiences: Vec<String>,
    /// Who has no credentials.
    pub anonymous: Anonymous,
}

impl Authenticator for Authenticators {
    fn authenticate(
        &self,
        parts: &Parts,
        client_cert: &[CertificateDer<'static>],
    ) -> Answer<Result<Option<User>, Refusal>> {
        let mut errors = Vec::new();
        for way in [
            self.proxied(parts, client_cert),
            self.certificates.user(client_cert),
        ] {
            match way {
                Ok(Some(user)) => return Ok(Some(authenticated(user))).into(),
                Ok(None) => {}
                Err(why) => errors.push(why.into()),
            }
        }
        let end = End {
            anonymous: self.anonymous.user(parts.uri.path()),
            errors,
        };
        let (scheme, credentials) = credentials(&parts.headers);
        if let Some(passwords) = self.passwords.as_ref().filter(|_| scheme == "basic") {
            return passwords
                .user(&credentials)
                .map(|known| end.of(known.map_err(Refusal::from)));
        }
        let bearer = (scheme == "bearer" && !credentials.is_empty()).then_some(credentials);
        let offered = websocket::token(&parts.headers);
        let token = match (bearer, offered) {
            (Some(token), _) | (None, Ok(Some(token))) => token,
            (None, Ok(None)) => return end.of(Ok(None)).into(),
            (None, Err(why)) => return end.of(Err(why.into())).into(),
        };
        self.token(&token, &[]).map(|known| {
            let user = known.and_then(|known| known.ok_or_else(|| UNKNOWN.into()));
            end.of(user.map(|(user, _)| Some(user)))
        })
    }

    fn forget(&self, headers: &mut HeaderMap) {
        headers.remove(AUTHORIZATION);
        websocket::forget(headers);
        FrontProxy::forget(self.front_proxy.as_ref(), headers);
    }

    fn token(&self, token: &str, audiences: &[String]) -> Answer<Known> {
        let wanted: Vec<String> = if audiences.is_empty() {
            &self.audiences
        } else {
            audiences
        }
        .to_vec();
        let own: Vec<String> = wanted
            .iter()
            .filter(|audience| self.audiences.contains(audience))
            .cloned()
            .collect();
        let asked = Asked {
            own,
            errors: Vec::new(),
        };
        next(
            self.tokens.iter().cloned().collect(),
            token.to_owned(),
            wanted,
            asked,
        )
    }
}

impl Authenticators {
    fn proxied(&self, parts: &Parts, chain: &[CertificateDer<'static>]) -> Result<Option<User>, String> {
        let proxy = self.front_proxy.as_ref();
        proxy.map_or(Ok(None), |proxy| proxy.user(&parts.headers, chain))
    }
}

/// What becomes of a request when the last way was tried.
struct End {
    anonymous: Option<User>,
    errors: Vec<Refusal>,
}

impl End {
    fn of(mut self, known: Result<Option<User>, Refusal>) -> Result<Option<User>, Refusal> {
        match known {
            Ok(Some(user)) => return Ok(Some(authenticated(user))),
            Ok(None) => {}
            Err(why) => self.errors.push(why),
        }
        if self.errors.is_empty() && self.anonymous.is_some() {
            return Ok(None);
        }
        let refusal = aggregate(self.errors);
        if !refusal.why.is_empty() {
            tracing::info!(error = refusal.why, "unable to authenticate the request");
        }
        Err(refusal)
    }
}

/// What is known so far of a token.
struct Asked {
    /// The API server's own audiences that are asked about.
    own: Vec<String>,
    errors: Vec<Refusal>,
}

/// Asks one kind after the other: at once as long as each knows at once.
fn next(
    mut kinds: std::collections::VecDeque<Arc<dyn Tokens>>,
    token: String,
    audiences: Vec<String>,
    mut asked: Asked,
) -> Answer<Known> {
    while let Some(kind) = kinds.pop_front() {
        let knows = kind.knows_audiences();
        if !knows && asked.own.is_empty() {
            continue;
        }
        match kind.token(&token, &audiences) {
            Answer::Now(known) => {
                if let Some(known) = asked.take(known, knows) {
                    return known.into();
                }
            }
            Answer::Later(later) => {
                let rest = async move {
                    match asked.take(later.await, knows) {
                        Some(known) => known,
                        None => next(kinds, token, audiences, asked).get().await,
                    }
                };
                return Answer::Later(rest.boxed());
            }
        }
    }
    asked.end().into()
}

impl Asked {
    /// Whether that is the answer.
    fn take(&mut self, known: Known, knows: bool) -> Option<Known> {
        match known {
            Ok(Some((user, _))) if user.name.is_empty() => {
                self.errors.push("the user of the token has no name".into());
                None
            }
            Ok(Some((user, audiences))) => {
                let audiences = if knows { audiences } else { self.own.clone() };
                Some(Ok(Some((authenticated(user), audiences))))
            }
            Ok(None) => None,
            Err(why) => {
                self.errors.push(why);
                None
            }
        }
    }

    fn end(self) -> Known {
        let unknown = std::iter::once(UNKNOWN.into());
        Err(aggregate(unknown.chain(self.errors).collect()))
    }
}

/// Errors as upstream tells several: each once.
fn aggregate(errors: Vec<Refusal>) -> Refusal {
    let (mut once, mut remarks) = (Vec::new(), Vec::new());
    for error in errors {
        if !once.contains(&error.why) {
            once.push(error.why);
        }
        remarks.extend(error.remarks);
    }
    let why = match once.as_mut_slice() {
        [] => String::new(),
        [only] => std::mem::take(only),
        many => format!("[{}]", many.join(", ")),
    };
    Refusal { why, remarks }
}

/// Whoever is somebody is in the group of all who are.
fn authenticated(mut user: User) -> User {
    let of_all = |group: &String| group == "system:authenticated" || group == "system:unauthenticated";
    if user.name != "system:anonymous" && !user.groups.iter().any(of_all) {
        user.groups.push("system:authenticated".to_owned());
    }
    user
}

/// The scheme, in lower case, and the credentials of the `Authorization` header.
fn credentials(headers: &HeaderMap) -> (String, String) {
    let header = headers
        .get(AUTHORIZATION)
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let header = header.unwrap_or_default();
    let parts = header.trim().split_once(' ');
    parts.map_or_else(Default::default, |(scheme, credentials)| {
        (scheme.to_ascii_lowercase(), credentials.trim().to_owned())
    })
}
