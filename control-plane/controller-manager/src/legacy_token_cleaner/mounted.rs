//! The Secrets that a pod refers to.

use serde::Deserialize;

/// A pod, as far as it names Secrets.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Mounts {
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    ephemeral_containers: Vec<Container>,
    image_pull_secrets: Vec<Named>,
    volumes: Vec<Volume>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    env: Vec<Variable>,
    env_from: Vec<Source>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Variable {
    value_from: Source,
}

/// What refers to a Secret under one name or another.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    secret_ref: Option<Named>,
    secret_key_ref: Option<Named>,
    node_publish_secret_ref: Option<Named>,
    secret: Option<Named>,
    secret_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    secret: Source,
    azure_file: Source,
    #[serde(rename = "cephfs")]
    ceph_fs: Source,
    cinder: Source,
    csi: Source,
    flex_volume: Source,
    iscsi: Source,
    rbd: Source,
    #[serde(rename = "scaleIO")]
    scale_io: Source,
    storageos: Source,
    projected: Projected,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Projected {
    sources: Vec<Source>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

impl Mounts {
    /// Whether the Secret is one of them.
    pub fn refer_to(&self, name: &str) -> bool {
        let Spec {
            containers,
            init_containers,
            ephemeral_containers,
            image_pull_secrets,
            volumes,
        } = &self.spec;
        let mut all = containers
            .iter()
            .chain(init_containers)
            .chain(ephemeral_containers);
        image_pull_secrets.iter().any(|secret| secret.name == name)
            || all.any(|container| container.refers_to(name))
            || volumes.iter().any(|volume| volume.refers_to(name))
    }
}

impl Container {
    fn refers_to(&self, name: &str) -> bool {
        let values = self.env.iter().map(|variable| &variable.value_from);
        values.chain(&self.env_from).any(|source| source.is(name))
    }
}

impl Volume {
    fn refers_to(&self, name: &str) -> bool {
        let sources = [
            &self.secret,
            &self.azure_file,
            &self.ceph_fs,
            &self.cinder,
            &self.csi,
            &self.flex_volume,
            &self.iscsi,
            &self.rbd,
            &self.scale_io,
            &self.storageos,
        ];
        let projected = &self.projected.sources;
        sources.into_iter().chain(projected).any(|source| source.is(name))
    }
}

impl Source {
    fn is(&self, name: &str) -> bool {
        let refs = [
            &self.secret_ref,
            &self.secret_key_ref,
            &self.node_publish_secret_ref,
            &self.secret,
        ];
        let mut named = refs.into_iter().flatten();
        named.any(|secret| secret.name == name) || self.secret_name.as_deref() == Some(name)
    }
}
