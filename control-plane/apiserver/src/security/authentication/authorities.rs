//! Certificate authorities that may change while the server runs.

use component::{Clock, pki};
use rustls::{
    pki_types::{CertificateDer, UnixTime},
    server::danger::ClientCertVerifier,
};
use std::sync::Arc;
use tokio::sync::watch;

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
    /// All authorities whose certificates are taken, PEM.
    pub fn authorities(&self) -> String {
        let proxies = self.request_header.as_ref().map(|header| header.ca.as_str());
        [self.client_ca.as_str(), proxies.unwrap_or_default()].join("\n")
    }
}

/// Authorities. Clones are the same and change together.
#[derive(Clone)]
pub struct Authorities(Arc<watch::Sender<Current>>);

#[derive(Clone)]
struct Current {
    pem: Arc<str>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Which one of those that there were.
    generation: u64,
}

impl Authorities {
    /// The certificates of a PEM file; empty: none is trusted.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn new(pem: &str) -> Result<Self, String> {
        let current = Current {
            pem: pem.into(),
            verifier: verifier(pem)?,
            generation: 0,
        };
        Ok(Self(Arc::new(watch::Sender::new(current))))
    }

    /// Trusts others from now on.
    ///
    /// # Errors
    /// They cannot be read; then it stays as it was.
    pub fn exchange(&self, pem: &str) -> Result<(), String> {
        let verifier = verifier(pem)?;
        if verifier.is_none() {
            return Err("there is no certificate in it".to_owned());
        }
        self.0.send_modify(|current| {
            *current = Current {
                pem: pem.into(),
                verifier,
                generation: current.generation + 1,
            };
        });
        Ok(())
    }

    /// The certificates, PEM.
    pub fn pem(&self) -> Arc<str> {
        self.0.borrow().pem.clone()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().verifier.is_none()
    }

    /// Another number for each change.
    pub fn generation(&self) -> u64 {
        self.0.borrow().generation
    }

    /// Whether the chain, the leaf first, leads to one of them and is for clients, now.
    ///
    /// # Errors
    /// It does not; why.
    pub fn verify(&self, chain: &[CertificateDer<'static>], clock: &Clock) -> Result<(), String> {
        let verifier = self.0.borrow().verifier.clone();
        let (Some(verifier), [leaf, rest @ ..]) = (verifier, chain) else {
            return Err("x509: certificate signed by unknown authority".to_owned());
        };
        let now = UnixTime::since_unix_epoch(clock.wall().as_duration().unsigned_abs());
        match verifier.verify_client_cert(leaf, rest, now) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(why)) => Err(words(&why)),
            Err(error) => Err(format!("x509: {error}")),
        }
    }
}

fn verifier(pem: &str) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return if pem.trim().is_empty() {
            Ok(None)
        } else {
            Err("data does not contain any valid certificates".to_owned())
        };
    }
    let made = pki::client_verifier(pem).map_err(|error| error.to_string())?;
    Ok(Some(made))
}

/// What Go says of a certificate that it does not take.
fn words(why: &rustls::CertificateError) -> String {
    use rustls::CertificateError as E;
    match why {
        E::UnknownIssuer | E::BadSignature => "x509: certificate signed by unknown authority".to_owned(),
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            format!("x509: certificate has expired or is not yet valid: {why}")
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "x509: certificate specifies an incompatible key usage".to_owned()
        }
        other => format!("x509: {other}"),
    }
}
