//! Image names.

use std::fmt;

/// A full image name: registry, repository, and tag or digest or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Such as `docker.io`.
    pub registry: String,
    /// Such as `library/nginx`.
    pub repository: String,
    /// Such as `1.14.2`; `latest` when neither tag nor digest was given.
    pub tag: Option<String>,
    /// Such as `sha256:…`.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads a name as people write it: `nginx` is `docker.io/library/nginx:latest`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid = |why: &str| format!("failed to parse image name {text:?}: {why}");
        let (name, digest) = match text.split_once('@') {
            Some((_, digest)) if !is_digest(digest) => return Err(invalid("invalid digest format")),
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (text, None),
        };
        let (registry, rest) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
            _ => ("docker.io", name),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
            None => (rest, None),
        };
        let registry = if registry == "index.docker.io" {
            "docker.io"
        } else {
            registry
        };
        let repository = if registry == "docker.io" && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        if !is_host(registry) || !repository.split('/').all(is_component) {
            return Err(invalid("invalid reference format"));
        }
        if !tag.as_deref().is_none_or(is_tag) {
            return Err(invalid("invalid tag format"));
        }
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        })
    }

    /// Registry and repository.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The name in the registry's paths: the digest if there is one, else the tag.
    pub(crate) fn target(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or_default()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest
            .as_ref()
            .map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

/// Whether `text` is a digest that we can check.
pub(crate) fn is_digest(text: &str) -> bool {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.strip_prefix("sha256:")
        .is_some_and(|rest| rest.len() == 64 && rest.chars().all(hex))
}

fn is_host(host: &str) -> bool {
    host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c))
}

fn is_component(part: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    edge(part.chars().next())
        && edge(part.chars().last())
        && part
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=128).contains(&tag.len())
        && tag.starts_with(word)
        && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let full = |text: &str| Reference::parse(text).map(|r| r.to_string());
        assert_eq!(full("nginx:1.14.2").unwrap(), "docker.io/library/nginx:1.14.2");
        assert_eq!(full("busybox").unwrap(), "docker.io/library/busybox:latest");
        assert_eq!(full("a/b").unwrap(), "docker.io/a/b:latest");
        assert_eq!(full("localhost:5000/x").unwrap(), "localhost:5000/x:latest");
        assert_eq!(
            full("registry.k8s.io/pause:3.10").unwrap(),
            "registry.k8s.io/pause:3.10"
        );
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(
            full(&format!("x@{digest}")).unwrap(),
            format!("docker.io/library/x@{digest}")
        );
        for bad in ["", "UPPER", "a b", "x:", "x@sha256:12", "../etc", "a//b", "x:-t"] {
            assert!(full(bad).is_err(), "{bad}");
        }
    }
}
