//! `registries.yaml`: mirrors and credentials of registries, in the form that k3s uses.

use crate::edge::{Auth, Error, Result};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, io, path::Path, path::PathBuf};

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Registries {
    /// By registry name, `*` for all that are not named.
    mirrors: BTreeMap<String, Mirror>,
    /// By host (and port) of an endpoint.
    configs: BTreeMap<String, HostConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Mirror {
    endpoint: Vec<String>,
}

/// How to speak with one host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HostConfig {
    auth: Option<HostAuth>,
    /// TLS.
    pub tls: Tls,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HostAuth {
    username: String,
    password: String,
}

/// TLS of a host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// Certificates of authorities, PEM, instead of the machine's.
    pub ca_file: Option<PathBuf>,
    /// Take any certificate.
    pub insecure_skip_verify: bool,
}

/// A place where a registry's content can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// With TLS.
    pub secure: bool,
    /// Host, and port if given.
    pub authority: String,
    /// Path before the repository, `/v2`.
    pub prefix: String,
}

impl Registries {
    /// Reads the file; none is an empty one.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let said = |error: &dyn std::fmt::Display| Error::Invalid(format!("{}: {error}", path.display()));
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other.map_err(|error| said(&error))?,
        };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let read: Self = serde_saphyr::from_str(&text).map_err(|error| said(&error))?;
        for endpoint in read.mirrors.values().flat_map(|mirror| &mirror.endpoint) {
            Endpoint::parse(endpoint).map_err(|error| said(&error))?;
        }
        Ok(read)
    }

    /// Where to look for `registry`'s content, in order.
    pub(crate) fn endpoints(&self, registry: &str) -> Vec<Endpoint> {
        let mirror = self.mirrors.get(registry).or_else(|| self.mirrors.get("*"));
        let mut all: Vec<Endpoint> = mirror
            .iter()
            .flat_map(|m| &m.endpoint)
            .filter_map(|text| Endpoint::parse(text).ok())
            .collect();
        let host = if registry == "docker.io" {
            "registry-1.docker.io"
        } else {
            registry
        };
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let secure =
            name != "localhost" && !name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let own = Endpoint {
            secure,
            authority: host.to_owned(),
            prefix: "/v2".to_owned(),
        };
        if !all.contains(&own) {
            all.push(own);
        }
        all
    }

    /// How to speak with the host of `authority`.
    pub(crate) fn config(&self, authority: &str) -> HostConfig {
        let bare = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
        let hub = if authority == "registry-1.docker.io" {
            "docker.io"
        } else {
            authority
        };
        [authority, hub, bare]
            .iter()
            .find_map(|name| self.configs.get(*name))
            .cloned()
            .unwrap_or_default()
    }
}

impl HostConfig {
    /// Credentials for the host.
    pub(crate) fn auth(&self) -> Option<Auth> {
        self.auth.as_ref().map(|auth| Auth {
            username: auth.username.clone(),
            password: auth.password.clone(),
        })
    }
}

impl Endpoint {
    /// Reads a URL without a query.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let secure = match scheme {
            "https" => true,
            "http" => false,
            other => {
                return Err(format!(
                    "mirror endpoint {url:?}: scheme {other:?} is not http or https"
                ));
            }
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() {
            return Err(format!("mirror endpoint {url:?} has no host"));
        }
        let path = path.trim_matches('/');
        let prefix = match path {
            "" => "/v2".to_owned(),
            path if path == "v2" || path.ends_with("/v2") => format!("/{path}"),
            path => format!("/{path}/v2"),
        };
        Ok(Self {
            secure,
            authority: authority.to_owned(),
            prefix,
        })
    }

    /// The URL of `path` under the repository.
    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}/{path}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_come_before_the_registry_itself() {
        let text = "mirrors:\n  docker.io:\n    endpoint: [\"http://127.0.0.1:5000\"]\n\
            configs:\n  \"127.0.0.1:5000\":\n    auth: {username: u, password: p}\n    tls: {insecure_skip_verify: true}\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registries.yaml");
        fs::write(&path, text).unwrap();
        let registries = Registries::read(&path).unwrap();
        let urls: Vec<_> = registries
            .endpoints("docker.io")
            .iter()
            .map(|e| e.url("library/x/manifests/1"))
            .collect();
        let own = "https://registry-1.docker.io/v2/library/x/manifests/1";
        assert_eq!(urls, ["http://127.0.0.1:5000/v2/library/x/manifests/1", own]);
        assert_eq!(registries.config("127.0.0.1:5000").auth().unwrap().username, "u");
        assert!(!registries.endpoints("localhost:5000")[0].secure);
        fs::write(&path, "mirors: {}\n").unwrap();
        assert!(matches!(Registries::read(&path), Err(Error::Invalid(_))));
    }
}
