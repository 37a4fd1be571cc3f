//! PodCertificateRequests: written once, and read until they are answered.

use super::{Asker, REQUESTS, key};
use crate::{
    resources::{NODES, SERVICE_ACCOUNTS},
    view::{CertificateSource, Condition},
};
use api::{Key, Object, Owner};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    namespace: &'a str,
    generate_name: &'static str,
    owner_references: [Owner; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    signer_name: &'a str,
    pod_name: &'a str,
    #[serde(rename = "podUID")]
    pod_uid: &'a str,
    service_account_name: &'a str,
    #[serde(rename = "serviceAccountUID")]
    service_account_uid: &'a str,
    node_name: &'a str,
    #[serde(rename = "nodeUID")]
    node_uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_expiration_seconds: Option<i32>,
    #[serde(rename = "stubPKCS10Request")]
    stub_request: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unverified_user_annotations: &'a BTreeMap<String, String>,
}

/// What a signer made of a request.
pub(super) enum Answered {
    Issued {
        chain: String,
        refresh: Timestamp,
        ends: Timestamp,
    },
    Never {
        how: &'static str,
        reason: String,
        message: String,
    },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    conditions: Vec<Condition>,
    certificate_chain: String,
    begin_refresh_at: Option<Timestamp>,
    not_after: Option<Timestamp>,
}

/// Asks for a certificate for the pod: the new key, PEM, and the name of the request.
pub(super) async fn ask(source: &CertificateSource, asker: Asker<'_>) -> Result<(String, String), String> {
    let pod = asker.pod;
    let account = match pod.spec.service_account_name.as_str() {
        "" => "default",
        name => name,
    };
    let of = Key::new(&pod.metadata.namespace, account);
    let found = asker.client.get(&SERVICE_ACCOUNTS, &of).await;
    let account_uid = found.map_err(|why| format!("while fetching service account: {why}"))?;
    let node = asker
        .client
        .get(&NODES, &Key::cluster(&*asker.requests.node))
        .await;
    let node = node.map_err(|why| format!("while getting node object: {why}"))?;
    let kind = source.key_type.clone();
    // Large keys take their time.
    let made = asker.env.tasks.blocking(move || key::make(&kind)).await;
    let made = made.unwrap_or_else(|| Err("the node is going down".to_owned()));
    let made = made.map_err(|why| format!("while generating keypair: {why}"))?;
    let request = Request {
        api_version: "certificates.k8s.io/v1",
        kind: "PodCertificateRequest",
        metadata: Meta {
            namespace: &pod.metadata.namespace,
            generate_name: "req-",
            owner_references: [Owner {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
                ..Owner::default()
            }],
        },
        spec: Spec {
            signer_name: &source.signer_name,
            pod_name: &pod.metadata.name,
            pod_uid: &pod.metadata.uid,
            service_account_name: account,
            service_account_uid: account_uid.uid(),
            node_name: &asker.requests.node,
            node_uid: node.uid(),
            max_expiration_seconds: source.max_expiration_seconds,
            stub_request: BASE64_STANDARD.encode(&made.request),
            unverified_user_annotations: &source.user_annotations,
        },
    };
    let written = asker
        .client
        .create(&REQUESTS, &pod.metadata.namespace, &request)
        .await;
    let written = written.map_err(|why| format!("while creating on API: {why}"))?;
    Ok((made.key, written.name().to_owned()))
}

/// What the conditions of a request say, if one of them ends it.
pub(super) fn answer(object: &Object) -> Result<Option<Answered>, String> {
    let View { status } = object.view().map_err(|error| error.to_string())?;
    for condition in status.conditions {
        let how = match condition.kind.as_str() {
            "Issued" => {
                let (Some(refresh), Some(ends)) = (status.begin_refresh_at, status.not_after) else {
                    return Err("it says Issued and not for how long".to_owned());
                };
                return Ok(Some(Answered::Issued {
                    chain: status.certificate_chain,
                    refresh,
                    ends,
                }));
            }
            "Denied" => "Denied",
            "Failed" => "Failed",
            _ => continue,
        };
        return Ok(Some(Answered::Never {
            how,
            reason: condition.reason.unwrap_or_default(),
            message: condition.message.unwrap_or_default(),
        }));
    }
    Ok(None)
}
