//! Images: names, pull policies, credentials.

use super::Objects;
use crate::view::{Container, Pod};
use base64::{Engine, prelude::BASE64_STANDARD};
use runtime::Auth;
use serde::Deserialize;
use std::collections::BTreeMap;

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time.
    Always,
    /// When it is not here.
    IfNotPresent,
    /// Never.
    Never,
}

/// The policy of a container; by its tag when it does not say.
pub fn pull_policy(container: &Container) -> PullPolicy {
    match container.image_pull_policy.as_str() {
        "Always" => PullPolicy::Always,
        "Never" => PullPolicy::Never,
        "IfNotPresent" => PullPolicy::IfNotPresent,
        _ if default_tag(&container.image).ends_with(":latest") => PullPolicy::Always,
        _ => PullPolicy::IfNotPresent,
    }
}

/// With `:latest` when there is neither tag nor digest.
pub fn default_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

/// Whether it is a reference at all (distribution's grammar, thinly); else why not.
pub fn valid_reference(image: &str) -> Result<(), String> {
    let (rest, digest) = image.split_once('@').map_or((image, None), |(r, d)| (r, Some(d)));
    let slash = rest.rfind('/').map_or(0, |i| i + 1);
    let (name, tag) = match rest[slash..].split_once(':') {
        Some((_, tag)) => (&rest[..rest.len() - tag.len() - 1], Some(tag)),
        None => (rest, None),
    };
    let component = |c: &str| {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let edges = c.bytes().next().is_some_and(ok) && c.bytes().next_back().is_some_and(ok);
        edges && c.bytes().all(|b| ok(b) || matches!(b, b'.' | b'_' | b'-'))
    };
    let mut parts = name.split('/').peekable();
    let first = parts.peek().copied().unwrap_or_default();
    if name.contains('/') && (first.contains(['.', ':']) || first == "localhost") {
        parts.next();
    }
    let named = parts.clone().next().is_some() && parts.all(component);
    let tagged = tag.is_none_or(|t| {
        let start = t
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        start
            && t.len() <= 128
            && t.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    });
    let hashed = digest.is_none_or(|d| {
        d.split_once(':')
            .is_some_and(|(_, hex)| hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    if named && tagged && hashed {
        Ok(())
    } else {
        Err("invalid reference format".to_owned())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DockerConfig {
    auths: BTreeMap<String, DockerAuth>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DockerAuth {
    username: String,
    password: String,
    auth: String,
}

/// Credentials for an image from the pod's imagePullSecrets: those of the longest registry that matches.
pub fn registry_auth(pod: &Pod, objects: &Objects, image: &str) -> Option<Auth> {
    let name = qualified(image);
    let mut best: Option<(usize, Auth)> = None;
    for secret in pod
        .spec
        .image_pull_secrets
        .iter()
        .filter_map(|s| objects.secrets.get(&s.name))
    {
        for (registry, auth) in auths(secret) {
            let registry = registry
                .trim_start_matches("https://")
                .trim_start_matches("http://");
            let registry = registry
                .trim_end_matches('/')
                .trim_end_matches("/v1")
                .trim_end_matches("/v2");
            let registry = if registry == "index.docker.io" {
                "docker.io"
            } else {
                registry
            };
            let matches = name
                .strip_prefix(registry)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@']));
            if matches && best.as_ref().is_none_or(|(length, _)| *length < registry.len()) {
                best = Some((registry.len(), auth));
            }
        }
    }
    best.map(|(_, auth)| auth)
}

/// With its registry: `nginx` is `docker.io/library/nginx`.
fn qualified(image: &str) -> String {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => image.to_owned(),
        Some(_) => format!("docker.io/{image}"),
        None => format!("docker.io/library/{image}"),
    }
}

fn auths(secret: &crate::view::Secret) -> Vec<(String, Auth)> {
    let decode = |key: &str| BASE64_STANDARD.decode(secret.data.get(key)?).ok();
    let config: DockerConfig = match decode(".dockerconfigjson") {
        Some(json) => serde_json::from_slice(&json).unwrap_or_default(),
        None => {
            let json = decode(".dockercfg").unwrap_or_default();
            DockerConfig {
                auths: serde_json::from_slice(&json).unwrap_or_default(),
            }
        }
    };
    config
        .auths
        .into_iter()
        .map(|(registry, auth)| (registry, auth.credentials()))
        .collect()
}

impl DockerAuth {
    fn credentials(self) -> Auth {
        let decoded = BASE64_STANDARD
            .decode(&self.auth)
            .ok()
            .and_then(|b| String::from_utf8(b).ok());
        match decoded.as_deref().and_then(|d| d.split_once(':')) {
            Some((user, password)) if self.username.is_empty() => Auth {
                username: user.to_owned(),
                password: password.to_owned(),
            },
            _ => Auth {
                username: self.username,
                password: self.password,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for good in [
            "nginx",
            "nginx:1.14.2",
            "registry.k8s.io/pause:3.10",
            "localhost:5000/a/b:t",
            "a/b_c",
            "nginx@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ] {
            assert!(valid_reference(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Nginx",
            "nginx:",
            "a//b",
            "-a",
            "nginx:1 2",
            "nginx@sha256:xyz",
            "a:b:c",
        ] {
            assert!(valid_reference(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn policies_follow_the_tag() {
        let policy = |image: &str| {
            pull_policy(&Container {
                image: image.to_owned(),
                ..Container::default()
            })
        };
        assert_eq!(policy("nginx"), PullPolicy::Always);
        assert_eq!(policy("nginx:latest"), PullPolicy::Always);
        assert_eq!(policy("localhost:5000/nginx:1"), PullPolicy::IfNotPresent);
    }

    #[test]
    fn the_best_credentials_win() {
        let json =
            r#"{"auths":{"reg.example":{"auth":"dTpw"},"reg.example/team":{"username":"t","password":"s"}}}"#;
        let secret = crate::view::Secret {
            data: [(".dockerconfigjson".to_owned(), BASE64_STANDARD.encode(json))].into(),
            ..crate::view::Secret::default()
        };
        let objects = Objects {
            secrets: [("pull".to_owned(), secret)].into(),
            ..Objects::default()
        };
        let pod: Pod = serde_saphyr::from_str("{spec: {imagePullSecrets: [{name: pull}]}}").unwrap();
        let user = |image: &str| registry_auth(&pod, &objects, image).map(|a| a.username);
        assert_eq!(user("reg.example/team/app:1").as_deref(), Some("t"));
        assert_eq!(user("reg.example/other").as_deref(), Some("u"));
        assert_eq!(user("nginx"), None);
    }
}
