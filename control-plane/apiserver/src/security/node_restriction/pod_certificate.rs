//! A kubelet asks for certificates of the pods that run on its node, and says of them what is so (KEP-4317).

use super::{Call, MIRROR, NODES, PODS, gone, node_of};
use api::{Gvr, Object, Status};
use serde::Deserialize;

const ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    #[serde(rename = "nodeUID")]
    node_uid: String,
    pod_name: String,
    #[serde(rename = "podUID")]
    pod_uid: String,
    service_account_name: String,
    #[serde(rename = "serviceAccountUID")]
    service_account_uid: String,
}

/// What may be otherwise when this server has seen all that is written: no refusal, so that the kubelet tries again.
fn early(why: String) -> Status {
    Status {
        code: 500,
        message: why,
        ..Status::default()
    }
}

fn missing(what: &str, named: &str, singular: &'static str, name: &str) -> Status {
    let why = gone(singular, name).message;
    early(format!(
        "while retrieving {what} {named:?} named in the PodCertificateRequest: {why}"
    ))
}

/// Whether a node may ask for what it asks. What may be so soon, when all is seen, is no refusal.
pub(super) fn check(call: &Call<'_>) -> Result<(), Status> {
    let attributes = call.attributes;
    let Some(new) = call.new.filter(|_| call.is_create()) else {
        return call.refuse(format!("unexpected operation {}", call.operation.name()));
    };
    if !attributes.subresource.is_empty() {
        return call.refuse(format!("unexpected subresource {}", attributes.subresource));
    }
    let View { spec } = new.view().map_err(Status::internal)?;
    let (node, namespace) = (call.node, attributes.namespace.as_str());
    if spec.node_name != node {
        return call.refuse(format!(
            "PodCertificateRequest.Spec.NodeName={:?}, which is not the requesting node {node:?}",
            spec.node_name
        ));
    }
    let known = call.reader.get(&NODES, "", node);
    let known = known.ok_or_else(|| missing("node", node, "node", node))?;
    let of = format!("{namespace}/{}", spec.pod_name);
    if known.uid() != spec.node_uid {
        return Err(early(format!(
            "PodCertificateRequest for pod {of:?} names node UID {:?}, inconsistent with the running node ({:?})",
            spec.node_uid,
            known.uid()
        )));
    }
    let pod = call.reader.get(&PODS, namespace, &spec.pod_name);
    let pod = pod.ok_or_else(|| missing("pod", &of, "pod", &spec.pod_name))?;
    if pod.uid() != spec.pod_uid {
        return Err(early(format!(
            "PodCertificateRequest for pod {of:?} contains pod UID ({:?}) which differs from running pod {:?}",
            spec.pod_uid,
            pod.uid()
        )));
    }
    of_pod(call, &pod, &of, &spec)
}

fn of_pod(call: &Call<'_>, pod: &Object, of: &str, spec: &Spec) -> Result<(), Status> {
    let (node, runs) = (call.node, node_of(pod));
    if runs.node_name != node {
        return call.refuse(format!(
            "pod {of:?} is not running on node {node:?} named in the PodCertificateRequest"
        ));
    }
    if pod.annotation(MIRROR).is_some() {
        return call.refuse(format!("pod {of:?} is a mirror pod"));
    }
    if runs.service_account_name != spec.service_account_name {
        return call.refuse(format!(
            "PodCertificateRequest for pod {of:?} contains serviceAccountName ({:?}) that differs from running pod ({:?})",
            spec.service_account_name, runs.service_account_name
        ));
    }
    let (namespace, name) = (pod.namespace(), spec.service_account_name.as_str());
    let account = call.reader.get(&ACCOUNTS, namespace, name);
    let account = account.ok_or_else(|| {
        let named = format!("{namespace}/{name}");
        missing("service account", &named, "serviceaccount", name)
    })?;
    match account.uid() == spec.service_account_uid {
        true => Ok(()),
        false => Err(early(format!(
            "PodCertificateRequest for pod {of:?} names service account UID {:?}, which differs from the running service \
             account ({:?})",
            spec.service_account_uid,
            account.uid()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Attributes, Call, Operation};
    use super::*;
    use crate::{
        Server,
        security::{User, stories::guarded},
    };
    use api::Key;
    use std::sync::Arc;

    /// What a kubelet is told that changes these fields of a good request.
    #[tokio::test(start_paused = true)]
    async fn a_kubelet_asks_for_certificates_of_its_pods_only() {
        let guarded = guarded().await;
        guarded
            .create(&ACCOUNTS, "default", r#"{"metadata":{"name":"default"}}"#)
            .await;
        for (node, pod, mirror) in [("n1", "a", ""), ("n2", "b", ""), ("n3", "m", MIRROR)] {
            let body = format!(r#"{{"metadata":{{"name":"{node}"}}}}"#);
            guarded.create(&NODES, "", &body).await;
            let node = if mirror.is_empty() { node } else { "n1" };
            let marked = if mirror.is_empty() { "other" } else { mirror };
            let body = format!(
                r#"{{"metadata":{{"name":"{pod}","annotations":{{"{marked}":"x"}}}},
                "spec":{{"nodeName":"{node}","containers":[{{"name":"c","image":"i"}}]}}}}"#
            );
            guarded.create(&PODS, "default", &body).await;
        }
        let reader = Server::reader(&guarded.server);
        let uid = |gvr: &Gvr, key: Key| {
            reader
                .get(gvr, &key.namespace, &key.name)
                .unwrap()
                .uid()
                .to_owned()
        };
        let pod = |name: &str| uid(&PODS, Key::new("default", name));
        let good = [
            ("nodeName", "n1".to_owned()),
            ("nodeUID", uid(&NODES, Key::cluster("n1"))),
            ("podName", "a".to_owned()),
            ("podUID", pod("a")),
            ("serviceAccountName", "default".to_owned()),
            (
                "serviceAccountUID",
                uid(&ACCOUNTS, Key::new("default", "default")),
            ),
        ];
        let attributes = Attributes {
            user: Arc::new(User::new("system:node:n1", &["system:nodes"])),
            namespace: "default".to_owned(),
            ..Attributes::default()
        };
        let told = |changes: &[(&str, &str)], operation| {
            let value = |(name, value): &(&str, String)| {
                let changed = changes.iter().find(|(changed, _)| changed == name);
                format!(r#""{name}":"{}""#, changed.map_or(value.as_str(), |(_, new)| new))
            };
            let fields: Vec<String> = good.iter().map(value).collect();
            let body = format!(r#"{{"metadata":{{"name":"r"}},"spec":{{{}}}}}"#, fields.join(","));
            let new = Object::parse_any(body.into(), &[]).unwrap();
            let call = Call {
                node: "n1",
                operation,
                attributes: &attributes,
                old: (operation == Operation::Update).then_some(&new),
                new: Some(&new),
                evicted: None,
                reader: &reader,
                audiences: true,
            };
            check(&call).map_err(|status| (status.code, status.message))
        };
        told(&[], Operation::Create).unwrap();
        let other = pod("b");
        let mirror = pod("m");
        for (changes, code, why) in [
            (
                vec![("nodeName", "n2")],
                403,
                r#"PodCertificateRequest.Spec.NodeName="n2", which is not the requesting node "n1""#,
            ),
            (
                vec![("nodeUID", "x")],
                500,
                r#"PodCertificateRequest for pod "default/a" names node UID "x", inconsistent with the running node"#,
            ),
            (
                vec![("podName", "gone")],
                500,
                r#"while retrieving pod "default/gone" named in the PodCertificateRequest: pod "gone" not found"#,
            ),
            (
                vec![("podUID", "x")],
                500,
                r#"contains pod UID ("x") which differs from running pod"#,
            ),
            (
                vec![("podName", "b"), ("podUID", other.as_str())],
                403,
                r#"pod "default/b" is not running on node "n1" named in the PodCertificateRequest"#,
            ),
            (
                vec![("podName", "m"), ("podUID", mirror.as_str())],
                403,
                r#"pod "default/m" is a mirror pod"#,
            ),
            (
                vec![("serviceAccountName", "admin")],
                403,
                r#"contains serviceAccountName ("admin") that differs from running pod ("default")"#,
            ),
            (
                vec![("serviceAccountUID", "x")],
                500,
                r#"names service account UID "x", which differs from the running service account"#,
            ),
        ] {
            let (got, said) = told(&changes, Operation::Create).unwrap_err();
            assert!(
                got == code && said.contains(why),
                "wanted {code} {why}\n  got {got} {said}"
            );
        }
        let (code, said) = told(&[], Operation::Update).unwrap_err();
        assert_eq!(
            (code, said.ends_with("unexpected operation UPDATE")),
            (403, true),
            "{said}"
        );
    }
}
