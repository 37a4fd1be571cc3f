//! DenyServiceExternalIPs: a Service gets no new external addresses (upstream
//! `plugin/pkg/admission/network/denyserviceexternalips`).

use super::{Attributes, Operation, Plugin};
use api::{Object, Status};
use serde::Deserialize;

/// The plugin.
pub struct ExternalIps;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Service {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(rename = "externalIPs")]
    external_ips: Vec<String>,
}

impl Plugin for ExternalIps {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        request.is("", "services") && writes
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let addresses = |object: Option<&Object>| {
            let service: Service = object.and_then(|object| object.view().ok()).unwrap_or_default();
            service.spec.external_ips
        };
        let old = addresses(request.old.as_deref());
        match addresses(request.object.as_deref())
            .iter()
            .all(|address| old.contains(address))
        {
            true => Ok(()),
            false => Err(request.forbidden("Use of external IPs is denied by admission control")),
        }
    }
}
