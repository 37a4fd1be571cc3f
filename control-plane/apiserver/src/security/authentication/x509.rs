//! Client certificates (upstream `apiserver/pkg/authentication/request/x509`).

use super::{
    Authorities,
    cache::{Cache, Digested, digest_of},
    subject::Subject,
};
use crate::security::User;
use component::Clock;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use x509_parser::certificate::X509Certificate;

/// A certificate that was good is looked at again after so long.
const GOOD: Duration = Duration::from_secs(10);

/// Takes certificates of clients. The listener has seen that they hold the keys; by whom they are is found out here, for each
/// request, because authorities may change under a connection.
pub struct ClientCertificates {
    authorities: Authorities,
    known: Cache<Digested, (u64, Option<User>)>,
    clock: Clock,
}

impl ClientCertificates {
    /// Certificates of `authorities`.
    pub fn new(authorities: Authorities, clock: Clock) -> Self {
        Self {
            known: Cache::new(clock.clone()),
            authorities,
            clock,
        }
    }

    /// The user that the chain names, the leaf first. None: it names nobody, or there is none.
    ///
    /// # Errors
    /// It is not good.
    pub fn user(&self, chain: &[CertificateDer<'static>]) -> Result<Option<User>, String> {
        let [leaf, ..] = chain else { return Ok(None) };
        if self.authorities.is_empty() {
            return Ok(None);
        }
        let (key, generation) = (digest_of(leaf), self.authorities.generation());
        if let Some((of, user)) = self.known.get(&key)
            && of == generation
        {
            return Ok(user);
        }
        let (_, certificate) =
            x509_parser::parse_x509_certificate(leaf).map_err(|error| format!("x509: {error}"))?;
        self.authorities.verify(chain, &self.clock).map_err(|why| {
            let serial = certificate.raw_serial_as_string();
            format!("verifying certificate SN={serial} failed: {why}")
        })?;
        let user = named(&certificate, leaf)?;
        self.known.put(key, (generation, user.clone()), GOOD);
        Ok(user)
    }
}

/// Common name is the user, organizations are the groups. A certificate without a common name names nobody.
fn named(certificate: &X509Certificate<'_>, der: &CertificateDer<'_>) -> Result<Option<User>, String> {
    let Subject { name, groups, uids } = Subject::read(certificate.subject())?;
    if name.is_empty() {
        return Ok(None);
    }
    let uids: Vec<&str> = uids.iter().map(String::as_str).collect();
    let uid = match uids.as_slice() {
        [] => "",
        [""] => return Err("UID cannot be an empty string".to_owned()),
        [uid] => uid,
        many => return Err(format!("expected 1 UID, but found multiple: {many:?}")),
    };
    let fingerprint = format!("X509SHA256={}", component::hex::encode(Sha256::digest(der)));
    let id = (
        "authentication.kubernetes.io/credential-id".to_owned(),
        vec![fingerprint],
    );
    Ok(Some(User {
        name,
        uid: uid.to_owned(),
        groups,
        extra: [id].into(),
        ..User::default()
    }))
}

/// The common name of a certificate.
pub(super) fn common_name(leaf: &CertificateDer<'_>) -> Option<Arc<str>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let subject = Subject::read(certificate.subject()).ok()?;
    Some(subject.name.into())
}
