//! Certificates to trust, of ClusterTrustBundles (upstream: `pkg/kubelet/clustertrustbundle`).

use super::pem;
use crate::view::BundleSource;
use api::{Gvr, Key, LabelSelector, Object};
use client::{Cache, Client, Selector};
use component::Env;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

const BUNDLES: Gvr = Gvr::new("certificates.k8s.io", "v1", "clustertrustbundles");

/// How long to wait for the bundles when they are first asked for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The bundles, followed from when a pod first wants one.
#[derive(Clone, Default)]
pub(super) struct Bundles(Arc<OnceLock<Cache>>);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Bundle {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    signer_name: String,
    trust_bundle: String,
}

impl Bundles {
    /// The certificates that a source names, each once.
    pub async fn text(&self, source: &BundleSource, client: &Client, env: &Env) -> Result<String, String> {
        let start = || Cache::start(client, BUNDLES, Selector::default(), env);
        let cache = self.0.get_or_init(start);
        if env.clock.timeout(PATIENCE, cache.synced()).await.is_none() {
            return Err("ClusterTrustBundle informer has not yet synced".to_owned());
        }
        chosen(source, &cache.all(), |name| cache.get(&Key::cluster(name)))
    }
}

fn chosen(
    source: &BundleSource,
    all: &[Arc<Object>],
    get: impl Fn(&str) -> Option<Arc<Object>>,
) -> Result<String, String> {
    let missing = |why: String| {
        if source.optional {
            Ok(String::new())
        } else {
            Err(why)
        }
    };
    let view = |object: &Arc<Object>| object.view::<Bundle>().map_err(|e| e.to_string());
    if let Some(name) = &source.name {
        return match get(name) {
            Some(object) => Ok(anchors(&[view(&object)?])),
            None => missing(format!(
                "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io {name:?} not found"
            )),
        };
    }
    let selector = match &source.label_selector {
        Some(selector) => selector
            .selector()
            .map_err(|e| format!("while parsing label selector: {e}"))?,
        None => LabelSelector::nothing(),
    };
    let signer = source.signer_name.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    for object in all
        .iter()
        .filter(|object| selector.matches(|key| object.label(key)))
    {
        let bundle = view(object)?;
        if bundle.spec.signer_name == signer {
            found.push(bundle);
        }
    }
    if found.is_empty() {
        return missing(
            "combination of signerName and labelSelector matched zero ClusterTrustBundles".to_owned(),
        );
    }
    Ok(anchors(&found))
}

/// All certificates of the bundles, each once, without what stands between them.
fn anchors(bundles: &[Bundle]) -> String {
    let texts = bundles
        .iter()
        .flat_map(|bundle| pem::certificates(&bundle.spec.trust_bundle));
    let all: BTreeSet<String> = texts.collect();
    all.iter().map(|text| pem::block("CERTIFICATE", text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(name: &str, signer: &str, text: &str) -> Arc<Object> {
        let certificates: String = text
            .split(' ')
            .map(|text| {
                format!("words\\n-----BEGIN CERTIFICATE-----\\n{text}\\n-----END CERTIFICATE-----\\n")
            })
            .collect();
        let text = format!(
            r#"{{"kind":"ClusterTrustBundle","metadata":{{"name":"{name}","labels":{{"l":"{name}"}}}},"spec":{{"signerName":"{signer}","trustBundle":"{certificates}"}}}}"#
        );
        Arc::new(Object::parse(text.into(), 1, &[]).unwrap())
    }

    #[test]
    fn certificates_to_trust_become_a_file() {
        let all = [
            bundle("a", "s/s", "AAAA BBBB"),
            bundle("b", "s/s", "BBBB CCCC"),
            bundle("c", "", "DDDD"),
        ];
        let text = |source: &str| {
            let source: BundleSource = serde_saphyr::from_str(source).unwrap();
            let get = |name: &str| all.iter().find(|object| object.name() == name).cloned();
            let text = chosen(&source, &all, get)?;
            let lines = text.lines().filter(|line| !line.starts_with('-'));
            Ok::<_, String>(lines.collect::<Vec<_>>().join(" "))
        };
        assert_eq!(text("{name: c}").unwrap(), "DDDD");
        assert_eq!(
            text("{signerName: s/s, labelSelector: {}}").unwrap(),
            "AAAA BBBB CCCC"
        );
        assert_eq!(
            text("{signerName: s/s, labelSelector: {matchLabels: {l: b}}}").unwrap(),
            "BBBB CCCC"
        );
        assert!(
            text("{signerName: s/s}").unwrap_err().contains("matched zero"),
            "no selector, no bundle"
        );
        assert!(
            text("{name: z}")
                .unwrap_err()
                .contains(r#"clustertrustbundle.certificates.k8s.io "z" not found"#)
        );
        assert_eq!(text("{name: z, optional: true}").unwrap(), "");
    }
}
