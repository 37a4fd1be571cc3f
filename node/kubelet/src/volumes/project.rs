//! Objects and fields as files.

use crate::{
    machine::{File, Files},
    pod::{Objects, PodFacts, field_value, resource_value},
    view::{DownwardVolume, Item, NamedSource, Pod, SecretVolume},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::collections::BTreeMap;

const DEFAULT_MODE: u32 = 0o644;

impl From<&SecretVolume> for NamedSource {
    fn from(volume: &SecretVolume) -> Self {
        Self {
            name: volume.secret_name.clone(),
            items: volume.items.clone(),
            default_mode: volume.default_mode,
            optional: volume.optional,
        }
    }
}

pub(super) fn put(files: &mut Files, path: &str, bytes: Vec<u8>, mode: u32) {
    let file = File {
        bytes,
        mode,
        user: None,
    };
    files.insert(path.to_owned(), file);
}

/// A credential of the pod: readable for the pod's group, or for the one user of all its containers, or for everyone.
pub(super) fn credential(files: &mut Files, path: &str, mode: Option<u32>, pod: &Pod, text: String) {
    let user = only_user(pod);
    let private = user.is_some() || pod.spec.security_context.fs_group.is_some();
    let file = File {
        bytes: text.into_bytes(),
        mode: if private {
            0o600
        } else {
            mode.unwrap_or(DEFAULT_MODE)
        },
        user,
    };
    files.insert(path.to_owned(), file);
}

/// The user that all containers run as.
fn only_user(pod: &Pod) -> Option<u32> {
    let shared = pod.spec.security_context.run_as_user;
    let mut users = pod
        .all_containers()
        .map(|c| c.security_context.run_as_user.or(shared));
    let first = users.next().flatten()?;
    let same = users.all(|user| user == Some(first));
    u32::try_from(first).ok().filter(|_| same)
}

pub(super) fn config_map(
    files: &mut Files,
    source: &NamedSource,
    mode: Option<u32>,
    objects: &Objects,
) -> Result<(), String> {
    let Some(map) = objects.config_maps.get(&source.name) else {
        return missing(source.optional, format!("configmap {:?} not found", source.name));
    };
    let mut payload: BTreeMap<&str, Vec<u8>> = map
        .data
        .iter()
        .map(|(k, v)| (k.as_str(), v.clone().into_bytes()))
        .collect();
    for (key, value) in &map.binary_data {
        payload.insert(key, BASE64_STANDARD.decode(value).map_err(|e| e.to_string())?);
    }
    let absent = |key: &str| format!("configmap references non-existent config key: {key}");
    select(files, payload, &source.items, mode, source.optional, absent)
}

pub(super) fn secret(
    files: &mut Files,
    source: &NamedSource,
    mode: Option<u32>,
    objects: &Objects,
) -> Result<(), String> {
    let Some(secret) = objects.secrets.get(&source.name) else {
        return missing(source.optional, format!("secret {:?} not found", source.name));
    };
    let mut payload = BTreeMap::new();
    for (key, value) in &secret.data {
        payload.insert(
            key.as_str(),
            BASE64_STANDARD.decode(value).map_err(|e| e.to_string())?,
        );
    }
    let absent = |key: &str| format!("references non-existent secret key: {key}");
    select(files, payload, &source.items, mode, source.optional, absent)
}

fn missing(optional: bool, why: String) -> Result<(), String> {
    if optional { Ok(()) } else { Err(why) }
}

fn select(
    files: &mut Files,
    mut payload: BTreeMap<&str, Vec<u8>>,
    items: &[Item],
    mode: Option<u32>,
    optional: bool,
    absent: impl Fn(&str) -> String,
) -> Result<(), String> {
    let mode = mode.unwrap_or(DEFAULT_MODE);
    if items.is_empty() {
        payload
            .into_iter()
            .for_each(|(key, bytes)| put(files, key, bytes, mode));
        return Ok(());
    }
    for item in items {
        match payload.remove(item.key.as_str()) {
            Some(bytes) => put(files, &item.path, bytes, item.mode.unwrap_or(mode)),
            None if optional => {}
            None => return Err(absent(&item.key)),
        }
    }
    Ok(())
}

pub(super) fn downward(
    files: &mut Files,
    source: &DownwardVolume,
    mode: Option<u32>,
    pod: &Pod,
    facts: &PodFacts,
) -> Result<(), String> {
    for item in &source.items {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => field_value(pod, facts, &field.field_path)?,
            (None, Some(field)) => resource_value(pod, facts, "", field)?,
            (None, None) => continue,
        };
        put(
            files,
            &item.path,
            text.into_bytes(),
            item.mode.or(mode).unwrap_or(DEFAULT_MODE),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> Objects {
        let map = serde_saphyr::from_str("{data: {a: one, b: two}, binaryData: {c: AAE=}}").unwrap();
        Objects {
            config_maps: [("m".to_owned(), map)].into(),
            ..Objects::default()
        }
    }

    fn files(source: &str) -> Result<String, String> {
        let source: NamedSource = serde_saphyr::from_str(source).unwrap();
        let mut files = Files::new();
        config_map(&mut files, &source, source.default_mode, &objects())?;
        Ok(files
            .iter()
            .map(|(p, f)| format!("{p}:{}:{:o}", f.bytes.len(), f.mode))
            .collect::<Vec<_>>()
            .join(" "))
    }

    #[test]
    fn keys_become_files() {
        assert_eq!(files("{name: m}").unwrap(), "a:3:644 b:3:644 c:2:644");
        assert_eq!(
            files(
                "{name: m, defaultMode: 0o400, items: [{key: a, path: x/y, mode: 0o600}, {key: b, path: z}]}"
            )
            .unwrap(),
            "x/y:3:600 z:3:400"
        );
        assert_eq!(files("{name: n, optional: true}").unwrap(), "");
        assert_eq!(files("{name: n}").unwrap_err(), "configmap \"n\" not found");
        assert_eq!(
            files("{name: m, items: [{key: q, path: q}]}").unwrap_err(),
            "configmap references non-existent config key: q"
        );
    }

    #[test]
    fn a_token_belongs_to_the_only_user() {
        let file = |spec: &str| {
            let pod: Pod = serde_saphyr::from_str(&format!("{{spec: {spec}}}")).unwrap();
            let mut files = Files::new();
            credential(&mut files, "token", Some(0o640), &pod, "t".to_owned());
            (files["token"].mode, files["token"].user)
        };
        assert_eq!(file("{containers: [{name: a}]}"), (0o640, None));
        assert_eq!(
            file("{securityContext: {fsGroup: 5}, containers: [{name: a}]}"),
            (0o600, None)
        );
        let one = "{securityContext: {runAsUser: 7}, containers: [{name: a}, {name: b}]}";
        assert_eq!(file(one), (0o600, Some(7)));
        let two = "{securityContext: {runAsUser: 7}, containers: [{name: a}, {name: b, securityContext: {runAsUser: 8}}]}";
        assert_eq!(file(two), (0o640, None));
    }

    #[test]
    fn labels_become_lines() {
        let pod: Pod = serde_saphyr::from_str("{metadata: {labels: {app: web, tier: 'a\"b'}}}").unwrap();
        let volume: DownwardVolume =
            serde_saphyr::from_str("{items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}")
                .unwrap();
        let mut files = Files::new();
        downward(&mut files, &volume, None, &pod, &PodFacts::default()).unwrap();
        assert_eq!(files["labels"].bytes, b"app=\"web\"\ntier=\"a\\\"b\"");
    }
}
