//! TLS settings from the PKI.

use super::{
    authority::{Authority, PkiError},
    leaf::{Leaf, Purpose},
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SignatureScheme,
    client::ResolvesClientCert,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::sync::{Arc, PoisonError, RwLock};

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(super) fn broken(what: &str, error: impl ToString) -> PkiError {
    PkiError::Broken(what.to_owned(), error.to_string())
}

fn certified(leaf: &Leaf) -> Result<Arc<CertifiedKey>, PkiError> {
    let (chain, key) = leaf.der()?;
    CertifiedKey::from_der(chain, key, &provider())
        .map(Arc::new)
        .map_err(|e| broken("certificate", e))
}

/// A certificate that can be renewed under the listener or the clients that show it.
#[derive(Debug)]
pub struct Rotating {
    name: String,
    purpose: Purpose,
    current: RwLock<(String, Arc<CertifiedKey>)>,
}

impl Rotating {
    /// The leaf `name` of `authority`.
    pub fn open(
        authority: &Authority,
        name: &str,
        purpose: Purpose,
        now: jiff::Timestamp,
    ) -> Result<Arc<Self>, PkiError> {
        let leaf = authority.leaf(name, &purpose, now)?;
        let current = RwLock::new((leaf.certificate.clone(), certified(&leaf)?));
        Ok(Arc::new(Self {
            name: name.to_owned(),
            purpose,
            current,
        }))
    }

    /// Renews it if it is due. True if it was.
    pub fn renew(&self, authority: &Authority, now: jiff::Timestamp) -> Result<bool, PkiError> {
        let leaf = authority.leaf(&self.name, &self.purpose, now)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.0 == leaf.certificate {
            return Ok(false);
        }
        *current = (leaf.certificate.clone(), certified(&leaf)?);
        Ok(true)
    }
}

impl ResolvesServerCert for Rotating {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(
            self.current
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .1
                .clone(),
        )
    }
}

impl ResolvesClientCert for Rotating {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(current.1.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The certificate of `leaf`, for clients to show; it stays as it is.
pub fn client_certificate(leaf: &Leaf) -> Result<Arc<dyn ResolvesClientCert>, PkiError> {
    Ok(Arc::new(SingleCertAndKey::from(certified(leaf)?)))
}

fn roots(ca_pem: &str) -> Result<RootCertStore, PkiError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots
            .add(certificate.map_err(|e| broken("CA", e))?)
            .map_err(|e| broken("CA", e))?;
    }
    Ok(roots)
}

/// Verifies certificates of clients against `client_ca` (PEM); that there is none is no error.
pub fn client_verifier(client_ca: &str) -> Result<Arc<dyn ClientCertVerifier>, PkiError> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_ca)?), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|e| broken("client CA", e))
}

/// A server that shows `certificate` and asks clients for certificates of `client_ca` (PEM), which they need not show.
pub fn server_config(
    certificate: Arc<dyn ResolvesServerCert>,
    client_ca: &str,
) -> Result<ServerConfig, PkiError> {
    let verifier = client_verifier(client_ca)?;
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|e| broken("TLS", e))?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A client that trusts `server_ca` (PEM) and shows `leaf`, if there is one.
pub fn client_config(server_ca: &str, leaf: Option<&Leaf>) -> Result<ClientConfig, PkiError> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|e| broken("TLS", e))?;
    let builder = builder.with_root_certificates(roots(server_ca)?);
    match leaf {
        Some(leaf) => {
            let (chain, key) = leaf.der()?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| broken("client certificate", e))
        }
        None => Ok(builder.with_no_client_auth()),
    }
}
