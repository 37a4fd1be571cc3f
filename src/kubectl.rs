//! The kubeconfig that leads to the cluster.

use crate::settings::Settings;
use anyhow::{Context, Result};
use client::{Credential, Endpoint, kubeconfig};
use component::pki::{Authority, Purpose};
use std::path::{Path, PathBuf};

/// The name of our context, cluster and user.
const NAME: &str = "ferrokube";

/// The file that is written.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where.
    pub path: PathBuf,
    /// It was given on the command line, so kubectl must be told of it too.
    pub given: bool,
}

impl Target {
    /// The file that was given, else the user's own.
    pub fn choose(given: Option<&Path>) -> Result<Self> {
        if let Some(path) = given {
            return Ok(Self {
                path: std::path::absolute(path)?,
                given: true,
            });
        }
        let listed = std::env::var_os("KUBECONFIG")
            .and_then(|list| std::env::split_paths(&list).find(|p| !p.as_os_str().is_empty()));
        let home = || std::env::home_dir().map(|home| home.join(".kube/config"));
        let path = listed
            .or_else(home)
            .context("neither $KUBECONFIG nor $HOME is set; give --kubeconfig FILE")?;
        Ok(Self { path, given: false })
    }

    /// What kubectl needs to be told on its command line.
    pub fn flag(&self) -> String {
        if self.given {
            format!(" --kubeconfig {}", self.path.display())
        } else {
            String::new()
        }
    }
}

/// Puts the context into the file, with a certificate of the cluster's administrator.
pub fn write(
    target: &Target,
    settings: &Settings,
    authority: &Authority,
    now: jiff::Timestamp,
) -> Result<()> {
    let purpose = Purpose::client("kubernetes-admin", &["kubeadm:cluster-admins"]);
    let endpoint = Endpoint {
        server: settings.server_url(),
        ca: authority.trusted().to_owned(),
        server_name: None,
        leaf: Some(authority.leaf("admin", &purpose, now)?),
        credential: Credential::None,
    };
    Ok(kubeconfig::merge(&target.path, NAME, &endpoint)?)
}

/// Takes the context out of the file.
pub fn forget(path: &Path) -> Result<()> {
    if path.exists() {
        Ok(kubeconfig::withdraw(path, NAME)?)
    } else {
        Ok(())
    }
}
