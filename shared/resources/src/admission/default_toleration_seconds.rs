//! DefaultTolerationSeconds: a pod tolerates nodes that are out of reach for a short time (upstream
//! `plugin/pkg/admission/defaulttolerationseconds`).

use crate::WriteRequest;
use k8s_openapi::api::core::v1::{Pod, PodSpec, Toleration};

const UNREACHED_SECONDS: i64 = 300;

/// Admits a new pod.
pub(crate) fn admit(pod: &mut Pod, request: &WriteRequest<'_>) {
    if !request.cluster.admits("DefaultTolerationSeconds") {
        return;
    }
    let spec = pod.spec.get_or_insert_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        tolerate(spec, key);
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
