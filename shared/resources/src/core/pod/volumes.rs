//! Volumes of a pod: their sources and rules.

use crate::{meta, names};
use api::{field, field::Error};
use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, KeyToPath, PodSpec, ProjectedVolumeSource, Volume, VolumeProjection,
};
use std::collections::BTreeSet;

/// The names of the sources that are set; a volume has one.
pub(super) fn sources(volume: &Volume) -> Vec<&'static str> {
    let v = volume;
    let all = [
        ("hostPath", v.host_path.is_some()),
        ("emptyDir", v.empty_dir.is_some()),
        ("gcePersistentDisk", v.gce_persistent_disk.is_some()),
        ("awsElasticBlockStore", v.aws_elastic_block_store.is_some()),
        ("gitRepo", v.git_repo.is_some()),
        ("secret", v.secret.is_some()),
        ("nfs", v.nfs.is_some()),
        ("iscsi", v.iscsi.is_some()),
        ("glusterfs", v.glusterfs.is_some()),
        ("flocker", v.flocker.is_some()),
        ("persistentVolumeClaim", v.persistent_volume_claim.is_some()),
        ("rbd", v.rbd.is_some()),
        ("cinder", v.cinder.is_some()),
        ("cephFS", v.cephfs.is_some()),
        ("quobyte", v.quobyte.is_some()),
        ("downwardAPI", v.downward_api.is_some()),
        ("fc", v.fc.is_some()),
        ("flexVolume", v.flex_volume.is_some()),
        ("configMap", v.config_map.is_some()),
        ("azureFile", v.azure_file.is_some()),
        ("vsphereVolume", v.vsphere_volume.is_some()),
        ("photonPersistentDisk", v.photon_persistent_disk.is_some()),
        ("portworxVolume", v.portworx_volume.is_some()),
        ("azureDisk", v.azure_disk.is_some()),
        ("storageos", v.storageos.is_some()),
        ("scaleIO", v.scale_io.is_some()),
        ("projected", v.projected.is_some()),
        ("csi", v.csi.is_some()),
        ("ephemeral", v.ephemeral.is_some()),
        ("image", v.image.is_some()),
    ];
    all.into_iter()
        .filter(|(_, set)| *set)
        .map(|(name, _)| name)
        .collect()
}

/// Rules for the volumes of a pod.
pub(super) fn validate(spec: &PodSpec, path: &str, errors: &mut Vec<Error>) {
    let mut seen = BTreeSet::new();
    for (i, volume) in spec.volumes.iter().flatten().enumerate() {
        let path = field::index(path, i);
        let name = field::child(&path, "name");
        if volume.name.is_empty() {
            errors.push(Error::required(name, ""));
        } else {
            meta::invalid(errors, &name, &volume.name, names::dns_label(&volume.name));
            if !seen.insert(&volume.name) {
                errors.push(Error::duplicate(name, &volume.name));
            }
        }
        for extra in sources(volume).iter().skip(1) {
            let why = "may not specify more than 1 volume type";
            errors.push(Error::forbidden(field::child(&path, extra), why));
        }
        source(volume, &path, errors);
    }
}

fn required(path: String, value: &str, errors: &mut Vec<Error>) {
    if value.is_empty() {
        errors.push(Error::required(path, ""));
    }
}

fn source(volume: &Volume, path: &str, errors: &mut Vec<Error>) {
    let at = |source: &str, name: &str| field::child(&field::child(path, source), name);
    if let Some(host) = &volume.host_path {
        host_path(host, &field::child(path, "hostPath"), errors);
    }
    let limit = volume
        .empty_dir
        .as_ref()
        .and_then(|empty| empty.size_limit.as_ref());
    if limit.is_some_and(|limit| {
        limit
            .0
            .parse::<api::Quantity>()
            .is_ok_and(|limit| limit.is_negative())
    }) {
        let why = "SizeLimit field must be a valid resource quantity";
        errors.push(Error::forbidden(at("emptyDir", "sizeLimit"), why));
    }
    if let Some(secret) = &volume.secret {
        required(
            at("secret", "secretName"),
            secret.secret_name.as_deref().unwrap_or_default(),
            errors,
        );
        mode(secret.default_mode, &at("secret", "defaultMode"), errors);
        items(secret.items.as_deref(), &at("secret", "items"), errors);
    }
    if let Some(map) = &volume.config_map {
        required(at("configMap", "name"), &map.name, errors);
        mode(map.default_mode, &at("configMap", "defaultMode"), errors);
        items(map.items.as_deref(), &at("configMap", "items"), errors);
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        required(
            at("persistentVolumeClaim", "claimName"),
            &claim.claim_name,
            errors,
        );
    }
    if let Some(nfs) = &volume.nfs {
        required(at("nfs", "server"), &nfs.server, errors);
        required(at("nfs", "path"), &nfs.path, errors);
    }
    if let Some(csi) = &volume.csi {
        required(at("csi", "driver"), &csi.driver, errors);
    }
    for (i, file) in volume
        .downward_api
        .iter()
        .flat_map(|api| api.items.iter().flatten())
        .enumerate()
    {
        file_path(
            &file.path,
            &field::child(&field::index(&at("downwardAPI", "items"), i), "path"),
            errors,
        );
    }
    if let Some(projected) = &volume.projected {
        self::projected(projected, &field::child(path, "projected"), errors);
    }
}

const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// Rules for a directory or file of the node.
pub(crate) fn host_path(host: &HostPathVolumeSource, path: &str, errors: &mut Vec<Error>) {
    required(field::child(path, "path"), &host.path, errors);
    if host.path.split('/').any(|part| part == "..") {
        errors.push(Error::invalid(
            field::child(path, "path"),
            &host.path,
            "must not contain '..'",
        ));
    }
    let kind = host.type_.as_deref().unwrap_or_default();
    if !HOST_PATH_TYPES.contains(&kind) {
        errors.push(Error::not_supported(
            field::child(path, "type"),
            kind,
            &HOST_PATH_TYPES,
        ));
    }
}

fn mode(mode: Option<i32>, path: &str, errors: &mut Vec<Error>) {
    if let Some(mode) = mode
        && !(0..=0o777).contains(&mode)
    {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(Error::invalid(path, mode, why));
    }
}

fn items(list: Option<&[KeyToPath]>, path: &str, errors: &mut Vec<Error>) {
    for (i, item) in list.unwrap_or_default().iter().enumerate() {
        let path = field::index(path, i);
        if item.key.is_empty() {
            errors.push(Error::required(field::child(&path, "key"), ""));
        }
        file_path(&item.path, &field::child(&path, "path"), errors);
        mode(item.mode, &field::child(&path, "mode"), errors);
    }
}

/// A file inside a volume: relative, and not out of it.
fn file_path(file: &str, path: &str, errors: &mut Vec<Error>) {
    if file.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    if file.starts_with('/') {
        errors.push(Error::invalid(path, file, "must be a relative path"));
    }
    if file.split('/').any(|part| part == "..") {
        errors.push(Error::invalid(path, file, "must not contain '..'"));
    }
    if file.starts_with("..") && !file.starts_with("../") && file != ".." {
        errors.push(Error::invalid(path, file, "must not start with '..'"));
    }
}

fn projected(source: &ProjectedVolumeSource, path: &str, errors: &mut Vec<Error>) {
    mode(source.default_mode, &field::child(path, "defaultMode"), errors);
    for (i, source) in source.sources.iter().flatten().enumerate() {
        projection(source, &field::index(&field::child(path, "sources"), i), errors);
    }
}

fn projection(source: &VolumeProjection, path: &str, errors: &mut Vec<Error>) {
    let at = |source: &str, name: &str| field::child(&field::child(path, source), name);
    let named = [
        (
            "secret",
            source.secret.as_ref().map(|s| (&s.name, s.items.as_deref())),
        ),
        (
            "configMap",
            source.config_map.as_ref().map(|m| (&m.name, m.items.as_deref())),
        ),
    ];
    for (kind, source) in named {
        if let Some((name, list)) = source {
            if name.is_empty() {
                errors.push(Error::required(at(kind, "name"), ""));
            }
            items(list, &at(kind, "items"), errors);
        }
    }
    if let Some(token) = &source.service_account_token {
        let seconds = token.expiration_seconds.unwrap_or_default();
        let seconds_path = at("serviceAccountToken", "expirationSeconds");
        if seconds < 600 {
            errors.push(Error::invalid(
                seconds_path,
                seconds,
                "may not specify a duration less than 10 minutes",
            ));
        } else if seconds > 1 << 32 {
            errors.push(Error::invalid(
                seconds_path,
                seconds,
                "may not specify a duration larger than 2^32 seconds",
            ));
        }
        file_path(&token.path, &at("serviceAccountToken", "path"), errors);
    }
    for (i, file) in source
        .downward_api
        .iter()
        .flat_map(|api| api.items.iter().flatten())
        .enumerate()
    {
        file_path(
            &file.path,
            &field::child(&field::index(&at("downwardAPI", "items"), i), "path"),
            errors,
        );
    }
}
