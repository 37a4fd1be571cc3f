//! For whom a kubelet may ask tokens: for those that the volumes of the pod name (KEP-4412,
//! `ServiceAccountNodeAudienceRestriction`), or that its rights name.

use crate::Reader;
use api::{Gvr, Object, Status, scan};
use serde::Deserialize;

const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");
const VOLUMES: Gvr = Gvr::new("", "v1", "persistentvolumes");
const DRIVERS: Gvr = Gvr::new("storage.k8s.io", "v1", "csidrivers");

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    volumes: Vec<Volume>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    name: String,
    projected: Projected,
    csi: Option<Csi>,
    persistent_volume_claim: Option<Claim>,
    ephemeral: Option<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Projected {
    sources: Vec<Source>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    service_account_token: Option<Token>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Token {
    audience: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Csi {
    driver: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Claim {
    claim_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Driver {
    spec: DriverSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DriverSpec {
    token_requests: Vec<Token>,
}

/// Whether a volume of the pod is given tokens for `audience`.
///
/// # Errors
/// The pod cannot be read.
pub(super) fn is_named(reader: &Reader, pod: &Object, audience: &str) -> Result<bool, Status> {
    let Pod { spec } = pod.view().map_err(Status::internal)?;
    let named = |volume: &Volume| {
        let mut tokens = volume
            .projected
            .sources
            .iter()
            .filter_map(|s| s.service_account_token.as_ref());
        tokens.any(|token| token.audience == audience)
            || driver(reader, pod, volume).is_some_and(|driver| wants(reader, &driver, audience))
    };
    Ok(spec.volumes.iter().any(named))
}

/// The driver of a volume.
fn driver(reader: &Reader, pod: &Object, volume: &Volume) -> Option<String> {
    let claim = match (&volume.csi, &volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(csi), ..) => return Some(csi.driver.clone()),
        (_, Some(claim), _) => claim.claim_name.clone(),
        (.., Some(_)) => format!("{}-{}", pod.name(), volume.name),
        _ => return None,
    };
    let part = |object: &Object, path: &str| {
        scan::scalar(object.body(), path)
            .ok()
            .map(|text| text.into_owned())
    };
    let claim = reader.get(&CLAIMS, pod.namespace(), &claim)?;
    let volume = reader.get(&VOLUMES, "", &part(&claim, "spec.volumeName")?)?;
    part(&volume, "spec.csi.driver")
}

fn wants(reader: &Reader, driver: &str, audience: &str) -> bool {
    let driver = reader.get(&DRIVERS, "", driver);
    let driver = driver.and_then(|driver| driver.view::<Driver>().ok());
    let mut wanted = driver.iter().flat_map(|driver| &driver.spec.token_requests);
    wanted.any(|token| token.audience == audience)
}
