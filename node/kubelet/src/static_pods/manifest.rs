//! A manifest as a static pod.

use crate::{pod::references, view::Pod};
use api::{Key, Owner};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, sync::Arc};

/// Annotations of static pods and their mirrors.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
const HASH: &str = "kubernetes.io/config.hash";
const SEEN: &str = "kubernetes.io/config.seen";
const SOURCE: &str = "kubernetes.io/config.source";

/// An object whose fields are kept as they were written.
type Fields = BTreeMap<String, Box<RawValue>>;

/// A pod of a manifest.
#[derive(Clone, Debug)]
pub(crate) struct StaticPod {
    /// Which stands for the manifest's content too.
    pub uid: String,
    /// The pod.
    pub pod: Arc<Pod>,
    metadata: Fields,
    annotations: BTreeMap<String, String>,
    spec: Fields,
}

#[derive(Serialize)]
struct Toleration {
    operator: &'static str,
    effect: &'static str,
}

/// The object for the API.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MirrorPod {
    api_version: &'static str,
    kind: &'static str,
    metadata: Fields,
    spec: Fields,
}

fn fields(raw: Option<&RawValue>) -> Result<Fields, String> {
    raw.map_or_else(
        || Ok(Fields::new()),
        |raw| serde_json::from_str(raw.get()).map_err(|e| e.to_string()),
    )
}

fn raw<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, String> {
    to_raw_value(value).map_err(|e| e.to_string())
}

fn text(fields: &Fields, name: &str) -> String {
    let value = fields
        .get(name)
        .and_then(|raw| serde_json::from_str(raw.get()).ok());
    value.unwrap_or_default()
}

impl StaticPod {
    /// Reads a manifest, in YAML or JSON.
    pub fn parse(manifest: &[u8], node: &str, seen: Timestamp) -> Result<Self, String> {
        let json = schema::yaml_to_json(manifest)?;
        let top: Fields = serde_json::from_slice(&json).map_err(|e| e.to_string())?;
        let (version, kind) = (text(&top, "apiVersion"), text(&top, "kind"));
        if (version.as_str(), kind.as_str()) != ("v1", "Pod") {
            return Err(format!("invalid pod: {version:?} {kind:?} is not a v1 Pod"));
        }
        let mut metadata = fields(top.get("metadata").map(AsRef::as_ref))?;
        let mut spec = fields(top.get("spec").map(AsRef::as_ref))?;
        let name = text(&metadata, "name");
        if name.is_empty() {
            return Err("invalid pod: metadata.name: Required value".to_owned());
        }
        let uid = match text(&metadata, "uid") {
            given if given.is_empty() => hash(node, &json),
            given => given,
        };
        let mut annotations: BTreeMap<String, String> = match metadata.get("annotations") {
            Some(raw) => serde_json::from_str(raw.get()).map_err(|e| e.to_string())?,
            None => BTreeMap::new(),
        };
        annotations.insert(HASH.to_owned(), uid.clone());
        annotations.insert(SEEN.to_owned(), seen.to_string());
        annotations.insert(SOURCE.to_owned(), "file".to_owned());
        if text(&metadata, "namespace").is_empty() {
            metadata.insert("namespace".to_owned(), raw("default")?);
        }
        metadata.insert(
            "name".to_owned(),
            raw(&format!("{name}-{}", node.to_lowercase()))?,
        );
        metadata.insert("uid".to_owned(), raw(&uid)?);
        metadata.insert("annotations".to_owned(), raw(&annotations)?);
        spec.insert("nodeName".to_owned(), raw(node)?);
        spec.insert(
            "tolerations".to_owned(),
            tolerations(spec.get("tolerations").map(AsRef::as_ref))?,
        );
        let whole = raw(&BTreeMap::from([("metadata", &metadata), ("spec", &spec)]))?;
        let pod: Pod = serde_json::from_str(whole.get()).map_err(|e| format!("invalid pod: {e}"))?;
        check(&pod)?;
        metadata.remove("uid");
        Ok(Self {
            uid,
            pod: Arc::new(pod),
            metadata,
            annotations,
            spec,
        })
    }

    /// Namespace and name.
    pub fn key(&self) -> Key {
        Key::new(&self.pod.metadata.namespace, &self.pod.metadata.name)
    }

    /// What shows it in the API; it goes with its Node.
    pub(super) fn mirror(&self, node: &str, node_uid: &str) -> Result<MirrorPod, String> {
        let mut metadata = self.metadata.clone();
        let mut annotations = self.annotations.clone();
        annotations.insert(MIRROR.to_owned(), self.uid.clone());
        metadata.insert("annotations".to_owned(), raw(&annotations)?);
        let owner = Owner {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: node.to_owned(),
            uid: node_uid.to_owned(),
            controller: true,
            ..Owner::default()
        };
        metadata.insert("ownerReferences".to_owned(), raw(&[owner])?);
        Ok(MirrorPod {
            api_version: "v1",
            kind: "Pod",
            metadata,
            spec: self.spec.clone(),
        })
    }
}

/// A static pod is not put off the node by taints.
fn tolerations(given: Option<&RawValue>) -> Result<Box<RawValue>, String> {
    let mut all: Vec<Box<RawValue>> = match given {
        Some(raw) => serde_json::from_str(raw.get()).map_err(|e| e.to_string())?,
        None => Vec::new(),
    };
    all.push(raw(&Toleration {
        operator: "Exists",
        effect: "NoExecute",
    })?);
    raw(&all)
}

/// What would never run, or needs the API.
fn check(pod: &Pod) -> Result<(), String> {
    if pod.spec.containers.is_empty() {
        return Err("invalid pod: spec.containers: Required value".to_owned());
    }
    if let Some(unnamed) = pod
        .all_containers()
        .find(|c| c.name.is_empty() || c.image.is_empty())
    {
        return Err(format!(
            "invalid pod: container {:?} needs a name and an image",
            unnamed.name
        ));
    }
    if !pod.spec.service_account_name.is_empty() {
        return Err("static pods may not reference serviceaccounts".to_owned());
    }
    if !references(pod).is_empty() {
        return Err("static pods may not reference secrets or configmaps".to_owned());
    }
    Ok(())
}

/// 32 digits that stand for a manifest on a node.
fn hash(node: &str, json: &[u8]) -> String {
    let digest = Sha256::new()
        .chain_update(node)
        .chain_update([0])
        .chain_update(json)
        .finalize();
    component::hex::encode(&digest[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {a: b}}, spec: {hostNetwork: true, containers: [{name: c, image: i, unknown: 7}]}}";

    fn parse(text: &str) -> Result<StaticPod, String> {
        StaticPod::parse(text.as_bytes(), "Node-1", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_manifest_becomes_a_pod_and_its_mirror() {
        let pod = parse(WEB).unwrap();
        assert_eq!(pod.key(), Key::new("default", "web-node-1"));
        assert_eq!((pod.uid.len(), &pod.pod.metadata.uid), (32, &pod.uid));
        let mirror = serde_json::to_string(&pod.mirror("Node-1", "u").unwrap()).unwrap();
        let uid = &pod.uid;
        let wanted = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"annotations":{{"kubernetes.io/config.hash":"{uid}","kubernetes.io/config.mirror":"{uid}","kubernetes.io/config.seen":"1970-01-01T00:00:00Z","kubernetes.io/config.source":"file"}},"labels":{{"a":"b"}},"name":"web-node-1","namespace":"default","ownerReferences":[{{"apiVersion":"v1","kind":"Node","name":"Node-1","uid":"u","controller":true}}]}},"spec":{{"containers":[{{"name":"c","image":"i","unknown":7}}],"hostNetwork":true,"nodeName":"Node-1","tolerations":[{{"operator":"Exists","effect":"NoExecute"}}]}}}}"#
        );
        assert_eq!(mirror, wanted);
    }

    #[test]
    fn another_content_is_another_pod_and_a_bad_one_is_none() {
        let (one, other) = (
            parse(WEB).unwrap(),
            parse(&WEB.replace("image: i", "image: j")).unwrap(),
        );
        assert_ne!(one.uid, other.uid);
        for (text, why) in [
            ("{kind: Pod}", "is not a v1 Pod"),
            ("{apiVersion: v1, kind: Pod, spec: {}}", "metadata.name"),
            (
                "{apiVersion: v1, kind: Pod, metadata: {name: x}}",
                "spec.containers",
            ),
            ("a: [", "yaml"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let secret = WEB.replace("unknown: 7", "envFrom: [{secretRef: {name: s}}]");
        assert_eq!(
            parse(&secret).unwrap_err(),
            "static pods may not reference secrets or configmaps"
        );
    }
}
