//! ServiceAccount: a pod runs as an account, and has its token and its pull secrets (upstream
//! `plugin/pkg/admission/serviceaccount`). What it refuses belongs to the API server.

use super::PODS;
use crate::WriteRequest;
use api::{Gvr, Status};
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath, LocalObjectReference,
    ObjectFieldSelector, Pod, PodSpec, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume,
    VolumeMount, VolumeProjection,
};
use serde::Deserialize;

const ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const MIRROR: &str = "kubernetes.io/config.mirror";
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const TOKEN_VOLUME: &str = "kube-api-access-";
/// A little over an hour marks the token as one that old clients may use for longer.
const TOKEN_SECONDS: i64 = 3607;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Account {
    automount_service_account_token: Option<bool>,
    image_pull_secrets: Vec<LocalObjectReference>,
}

/// Admits a new pod.
pub(crate) fn admit(pod: &mut Pod, request: &WriteRequest<'_>) -> Result<(), Status> {
    let annotations = pod.metadata.annotations.as_ref();
    // A mirror pod is the kubelet's report of a static pod: it is taken as it is.
    let mirror = annotations.is_some_and(|annotations| annotations.contains_key(MIRROR));
    if mirror || !request.cluster.admits("ServiceAccount") {
        return Ok(());
    }
    let spec = pod.spec.get_or_insert_default();
    let name = spec
        .service_account_name
        .get_or_insert_with(|| "default".to_owned())
        .clone();
    spec.service_account = Some(name.clone());
    let namespace = request.namespace;
    let Some(object) = request.cluster.get(&ACCOUNTS, namespace, &name) else {
        let why =
            format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        return Err(Status::forbidden(&PODS, request.name, &why));
    };
    let account: Account = object.view().map_err(Status::internal)?;
    if spec
        .automount_service_account_token
        .or(account.automount_service_account_token)
        .unwrap_or(true)
    {
        mount_token(spec, request.uid);
    }
    if spec.image_pull_secrets.as_ref().is_none_or(Vec::is_empty) && !account.image_pull_secrets.is_empty() {
        spec.image_pull_secrets = Some(account.image_pull_secrets);
    }
    Ok(())
}

fn mount_token(spec: &mut PodSpec, uid: &str) {
    let existing = spec
        .volumes
        .iter()
        .flatten()
        .find(|volume| volume.name.starts_with(TOKEN_VOLUME));
    let name = existing.map_or_else(
        || format!("{TOKEN_VOLUME}{}", suffix(uid)),
        |volume| volume.name.clone(),
    );
    let had = existing.is_some();
    let mut mounted = false;
    for container in spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut spec.containers)
    {
        let mounts = container.volume_mounts.get_or_insert_default();
        if mounts.iter().all(|mount| mount.mount_path != TOKEN_PATH) {
            mounts.push(VolumeMount {
                name: name.clone(),
                mount_path: TOKEN_PATH.to_owned(),
                read_only: Some(true),
                ..VolumeMount::default()
            });
            mounted = true;
        }
    }
    if mounted && !had {
        spec.volumes.get_or_insert_default().push(token_volume(name));
    }
}

/// Five characters of a generated name, from the UID: admission is pure.
fn suffix(uid: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let digits: Vec<usize> = uid
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as usize)
        .collect();
    let character = |i: usize| {
        let number = digits
            .iter()
            .skip(i * 4)
            .take(4)
            .fold(0, |sum, digit| sum * 16 + digit);
        char::from(ALPHABET[number % ALPHABET.len()])
    };
    (0..5).map(character).collect()
}

fn token_volume(name: String) -> Volume {
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            expiration_seconds: Some(TOKEN_SECONDS),
            path: "token".to_owned(),
            ..ServiceAccountTokenProjection::default()
        }),
        ..VolumeProjection::default()
    };
    let item = KeyToPath {
        key: "ca.crt".to_owned(),
        path: "ca.crt".to_owned(),
        ..KeyToPath::default()
    };
    let root = ConfigMapProjection {
        name: "kube-root-ca.crt".to_owned(),
        items: Some(vec![item]),
        optional: None,
    };
    let root = VolumeProjection {
        config_map: Some(root),
        ..VolumeProjection::default()
    };
    let file = DownwardAPIVolumeFile {
        path: "namespace".to_owned(),
        field_ref: Some(ObjectFieldSelector {
            api_version: Some("v1".to_owned()),
            field_path: "metadata.namespace".to_owned(),
        }),
        ..DownwardAPIVolumeFile::default()
    };
    let namespace = VolumeProjection {
        downward_api: Some(DownwardAPIProjection {
            items: Some(vec![file]),
        }),
        ..VolumeProjection::default()
    };
    let projected = ProjectedVolumeSource {
        default_mode: Some(0o644),
        sources: Some(vec![token, root, namespace]),
        ..ProjectedVolumeSource::default()
    };
    Volume {
        name,
        projected: Some(projected),
        ..Volume::default()
    }
}
