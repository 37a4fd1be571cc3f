//! The way to the API server that a kubeconfig says.

use anyhow::{Context, Result, bail};
use client::{Client, Endpoint, HttpsTransport, kubeconfig};
use component::{Env, flags::Settings};
use std::path::Path;

/// Reads `--kubeconfig`.
pub fn endpoint(settings: &Settings) -> Result<Endpoint> {
    let path = settings.text("kubeconfig");
    if path.is_empty() {
        bail!("--kubeconfig is needed: it says where the API server is and who this part is");
    }
    kubeconfig::read(Path::new(path), None).with_context(|| format!("--kubeconfig {path}"))
}

/// A client over TLS. Nothing is connected yet.
pub fn client(endpoint: Endpoint, manager: &str, env: &Env) -> Result<Client> {
    Ok(Client::new(HttpsTransport::new(endpoint, env.clone())?, manager))
}
