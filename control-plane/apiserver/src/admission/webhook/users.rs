//! As whom webhooks are asked: `WebhookAdmissionConfiguration`, whose kubeconfig has a user for each host (upstream
//! `apiserver/pkg/util/webhook/authentication.go`).

use client::kubeconfig;
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path};

/// `apiserver.config.k8s.io/v1 WebhookAdmissionConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Configuration {
    /// The users, named after the hosts that they are for.
    pub kube_config_file: String,
}

impl Configuration {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let path = &self.kube_config_file;
        if !path.starts_with('/') {
            return Err(format!(
                "kubeConfigFile: Invalid value: {path:?}: must be an absolute file path"
            ));
        }
        kubeconfig::users(Path::new(path))
            .map(drop)
            .map_err(|error| error.to_string())
    }
}

/// Users by the hosts that they are for.
#[derive(Debug, Default)]
pub struct Users(BTreeMap<String, client::Endpoint>);

impl Users {
    /// Those of a configuration, which was checked before; none without one.
    pub fn new(configuration: &Configuration) -> Self {
        let path = &configuration.kube_config_file;
        if path.is_empty() {
            return Self::default();
        }
        let users = kubeconfig::users(Path::new(path));
        Self(users.unwrap_or_else(|error| {
            tracing::error!(%error, "webhooks are asked as nobody");
            BTreeMap::new()
        }))
    }

    /// Who asks what is at `host:port`: the user of that name, of `*.` and the end of it, the same without the usual
    /// port, or of `*`.
    pub fn of(&self, host: &str, port: u16) -> Option<&client::Endpoint> {
        let target = format!("{host}:{port}");
        let usual = (port == 443).then_some(host);
        let names = std::iter::once(target.as_str()).chain(usual);
        names
            .filter_map(|name| self.named(name))
            .next()
            .or_else(|| self.0.get("*"))
    }

    fn named(&self, name: &str) -> Option<&client::Endpoint> {
        let ends = name.match_indices('.').map(|(at, _)| format!("*{}", &name[at..]));
        let all = std::iter::once(name.to_owned()).chain(ends);
        all.filter_map(|name| self.0.get(&name)).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_asked_by_the_user_of_its_host() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let names = [
            "*",
            "*.svc",
            "*.ns.svc",
            "one.ns.svc",
            "one.ns.svc:8443",
            "*.example.com",
        ];
        let users: String = names
            .iter()
            .map(|name| format!("- {{name: '{name}', user: {{token: '{name}'}}}}\n"))
            .collect();
        std::fs::write(&path, format!("kind: Config\nusers:\n{users}")).unwrap();
        let configuration = Configuration {
            kube_config_file: path.display().to_string(),
        };
        configuration.check().unwrap();
        let users = Users::new(&configuration);
        for (host, port, user) in [
            ("one.ns.svc", 443, "one.ns.svc"),
            ("one.ns.svc", 8443, "one.ns.svc:8443"),
            ("two.ns.svc", 443, "*.ns.svc"),
            ("one.other.svc", 443, "*.svc"),
            ("two.ns.svc", 8443, "*"),
            ("a.b.example.com", 443, "*.example.com"),
            ("10.0.0.1", 443, "*"),
        ] {
            let found = format!("{:?}", users.of(host, port).unwrap().credential);
            assert!(found.contains(&format!("{user:?}")), "{host}:{port}: {found}");
        }
        assert!(
            Users::new(&Configuration::default())
                .of("one.ns.svc", 443)
                .is_none()
        );
    }
}
