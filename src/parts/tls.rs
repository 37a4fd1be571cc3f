//! Certificates of files.

use anyhow::{Context, Result, bail};
use component::{
    Env,
    flags::Settings,
    pki::{Authority, Leaf, Purpose, asking_server_config, server_config},
};
use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    server::ResolvesServerCert,
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{fs, path::Path, sync::Arc};

/// The text of the file that a flag names.
pub fn file(settings: &Settings, flag: &str) -> Result<String> {
    let path = settings.text(flag);
    if path.is_empty() {
        bail!("--{flag} is needed");
    }
    fs::read_to_string(path).with_context(|| format!("--{flag}: cannot read {path}"))
}

/// The same; `None` when the flag is empty.
pub fn optional_file(settings: &Settings, flag: &str) -> Result<Option<String>> {
    if settings.text(flag).is_empty() {
        Ok(None)
    } else {
        file(settings, flag).map(Some)
    }
}

/// The certificate and key that two flags name; `None` when both are empty.
pub fn pair(settings: &Settings, certificate: &str, key: &str) -> Result<Option<Leaf>> {
    match (settings.text(certificate), settings.text(key)) {
        ("", "") => Ok(None),
        ("", _) | (_, "") => bail!("--{certificate} and --{key} are given together or not at all"),
        _ => Ok(Some(Leaf {
            certificate: file(settings, certificate)?,
            key: file(settings, key)?,
        })),
    }
}

/// The certificate to show: of the files, else one made in `dir` for `names`.
pub fn serving(settings: &Settings, dir: &Path, names: Vec<String>, env: &Env) -> Result<Leaf> {
    if let Some(leaf) = pair(settings, "tls-cert-file", "tls-private-key-file")? {
        return Ok(leaf);
    }
    let now = env.clock.wall();
    let authority = Authority::open(dir, now)?;
    let common_name = names.first().cloned().unwrap_or_default();
    Ok(authority.leaf("serving", &Purpose::server(&common_name, names), now)?)
}

fn shown(leaf: &Leaf) -> Result<Arc<dyn ResolvesServerCert>> {
    let (chain, key) = leaf.der()?;
    let certified =
        CertifiedKey::from_der(chain, key, &default_provider()).context("the certificate to show")?;
    Ok(Arc::new(SingleCertAndKey::from(certified)))
}

/// A server that shows `leaf` and asks clients for a certificate, by whomever it is.
pub fn asking(leaf: &Leaf) -> Result<Arc<ServerConfig>> {
    Ok(Arc::new(asking_server_config(shown(leaf)?)?))
}

/// A server that shows `leaf` and takes certificates of `client_ca`; none: it asks for none.
pub fn server(leaf: &Leaf, client_ca: Option<&str>) -> Result<Arc<ServerConfig>> {
    let certificate = shown(leaf)?;
    if let Some(ca) = client_ca {
        return Ok(Arc::new(server_config(certificate, ca)?));
    }
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
