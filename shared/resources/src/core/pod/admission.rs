//! What admission adds to a new pod: the service account's token and pull secrets, the priority, and tolerations of
//! nodes that are out of reach for a short time.

use crate::{
    WriteRequest,
    scheduling::{self, View as Class},
};
use api::{Gvr, Status};
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath, LocalObjectReference,
    ObjectFieldSelector, Pod, PodSpec, ProjectedVolumeSource, ServiceAccountTokenProjection, Toleration,
    Volume, VolumeMount, VolumeProjection,
};
use serde::Deserialize;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const TOKEN_VOLUME: &str = "kube-api-access-";
/// A little over an hour marks the token as one that old clients may use for longer.
const TOKEN_SECONDS: i64 = 3607;
const UNREACHED_SECONDS: i64 = 300;

/// Admits a new pod.
pub(super) fn admit(pod: &mut Pod, request: &WriteRequest<'_>) -> Result<(), Status> {
    let mirror = pod
        .metadata
        .annotations
        .as_ref()
        .is_some_and(|a| a.contains_key("kubernetes.io/config.mirror"));
    let spec = pod.spec.get_or_insert_default();
    // A mirror pod is the kubelet's report of a static pod: it is taken as it is.
    if !mirror && request.cluster.admits("ServiceAccount") {
        service_account(spec, request)?;
    }
    if request.cluster.admits("Priority") {
        priority(spec, request)?;
    }
    if request.cluster.admits("DefaultTolerationSeconds") {
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            tolerate(spec, key);
        }
    }
    Ok(())
}

fn refuse(request: &WriteRequest<'_>, why: &str) -> Status {
    Status::forbidden(&PODS, request.name, why)
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Account {
    automount_service_account_token: Option<bool>,
    image_pull_secrets: Vec<LocalObjectReference>,
}

fn service_account(spec: &mut PodSpec, request: &WriteRequest<'_>) -> Result<(), Status> {
    let name = spec
        .service_account_name
        .get_or_insert_with(|| "default".to_owned())
        .clone();
    spec.service_account = Some(name.clone());
    let namespace = request.namespace;
    let Some(object) = request.cluster.get(&ACCOUNTS, namespace, &name) else {
        let why =
            format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        return Err(refuse(request, &why));
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

fn priority(spec: &mut PodSpec, request: &WriteRequest<'_>) -> Result<(), Status> {
    let name = spec.priority_class_name.clone().unwrap_or_default();
    let (value, policy) = if name.is_empty() {
        let (class, value, policy) = default_class(request);
        spec.priority_class_name = class;
        (value, policy)
    } else {
        named_class(&name, request)?
    };
    if let Some(given) = spec.priority
        && i64::from(given) != value
    {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        );
        return Err(refuse(request, &why));
    }
    if let Some(given) = &spec.preemption_policy
        && *given != policy
    {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        );
        return Err(refuse(request, &why));
    }
    spec.priority = i32::try_from(value).ok();
    spec.preemption_policy = Some(policy);
    Ok(())
}

fn named_class(name: &str, request: &WriteRequest<'_>) -> Result<(i64, String), Status> {
    if let Some(object) = request.cluster.get(&scheduling::RESOURCE, "", name) {
        let class: Class = object.view().map_err(Status::internal)?;
        return Ok((class.value, class.preemption_policy));
    }
    let system = scheduling::SYSTEM.iter().find(|(known, _)| *known == name);
    match system {
        Some((_, value)) => Ok((i64::from(*value), "PreemptLowerPriority".to_owned())),
        None => Err(refuse(
            request,
            &format!("no PriorityClass with name {name} was found"),
        )),
    }
}

/// The class that is marked as default (the lowest, should there be several), or none at 0.
fn default_class(request: &WriteRequest<'_>) -> (Option<String>, i64, String) {
    let classes = request.cluster.list(&scheduling::RESOURCE, "");
    let views = classes
        .iter()
        .filter_map(|object| Some((object.name(), object.view::<Class>().ok()?)));
    match views
        .filter(|(_, class)| class.global_default)
        .min_by_key(|(_, class)| class.value)
    {
        Some((name, class)) => (Some(name.to_owned()), class.value, class.preemption_policy),
        None => (None, 0, "PreemptLowerPriority".to_owned()),
    }
}

fn tolerate(spec: &mut PodSpec, key: &str) {
    let tolerations = spec.tolerations.get_or_insert_default();
    let tolerated = tolerations.iter().any(|toleration| {
        let of = |field: &Option<String>, wanted: &str| {
            let value = field.as_deref().unwrap_or_default();
            value.is_empty() || value == wanted
        };
        of(&toleration.key, key) && of(&toleration.effect, "NoExecute")
    });
    if !tolerated {
        tolerations.push(Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some("NoExecute".to_owned()),
            toleration_seconds: Some(UNREACHED_SECONDS),
            value: None,
        });
    }
}
