//! The kubeconfig that leads to the cluster.

use crate::settings::Settings;
use anyhow::{Context, Result};
use component::pki::{Authority, Purpose};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file that is written.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where.
    pub path: PathBuf,
    /// It is this cluster's alone; else the context `ferrokube` is merged into it.
    pub own: bool,
}

impl Target {
    /// The file that was given, else the user's own.
    pub fn choose(given: Option<&Path>) -> Result<Self> {
        if let Some(path) = given {
            return Ok(Self { path: std::path::absolute(path)?, own: true });
        }
        let path = PathBuf::from("/root/.kube/config");
        Ok(Self { path, own: false })
    }

    /// What kubectl needs to be told on its command line.
    pub fn flag(&self) -> String {
        if self.own { format!(" --kubeconfig {}", self.path.display()) } else { String::new() }
    }
}

/// Writes it, with a certificate of the cluster's administrator.
pub fn write(target: &Target, settings: &Settings, authority: &Authority, now: jiff::Timestamp) -> Result<()> {
    let purpose = Purpose::client("kubernetes-admin", &["kubeadm:cluster-admins"]);
    let leaf = authority.leaf("admin", &purpose, now)?;
    let server = settings.server_url();
    use base64::Engine;
    let b = |t: &str| base64::engine::general_purpose::STANDARD.encode(t);
    fs::write(&target.path, format!("apiVersion: v1\nkind: Config\ncurrent-context: ferrokube\nclusters:\n- name: ferrokube\n  cluster: {{server: '{}', certificate-authority-data: {}}}\nusers:\n- name: ferrokube\n  user: {{client-certificate-data: {}, client-key-data: {}}}\ncontexts:\n- name: ferrokube\n  context: {{cluster: ferrokube, user: ferrokube}}\n", server, b(authority.certificate()), b(&leaf.certificate), b(&leaf.key)))?;
    Ok(())
}

/// Takes it away again.
pub fn forget(path: &Path, _own: bool) -> Result<()> {
    let _ = fs::remove_file(path);
    Ok(())
}
