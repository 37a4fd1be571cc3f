//! Versions that upstream's older API servers stored objects in, and that are served no more: how an object of one becomes
//! one of the version that came after. What has the same fields under the same numbers changes only its name.

use serde_json::{Map, Value, json};

use crate::document;

/// A version of a kind that is stored no more.
struct Older {
    api_version: &'static str,
    kind: &'static str,
    modern: &'static str,
    convert: fn(&mut Map<String, Value>),
}

const fn older(
    api_version: &'static str,
    kind: &'static str,
    modern: &'static str,
    convert: fn(&mut Map<String, Value>),
) -> Older {
    Older {
        api_version,
        kind,
        modern,
        convert,
    }
}

const ADMISSION: (&str, &str) = (
    "admissionregistration.k8s.io/v1beta1",
    "admissionregistration.k8s.io/v1",
);
const FLOW: &str = "flowcontrol.apiserver.k8s.io/v1";
const FLOW_1: &str = "flowcontrol.apiserver.k8s.io/v1beta1";
const FLOW_2: &str = "flowcontrol.apiserver.k8s.io/v1beta2";
const FLOW_3: &str = "flowcontrol.apiserver.k8s.io/v1beta3";
const LEVEL: &str = "PriorityLevelConfiguration";
const NETWORK: &str = "networking.k8s.io/v1";
const STORAGE: (&str, &str) = ("storage.k8s.io/v1beta1", "storage.k8s.io/v1");

const OLDER: &[Older] = &[
    older(ADMISSION.0, "MutatingWebhookConfiguration", ADMISSION.1, same),
    older(ADMISSION.0, "ValidatingWebhookConfiguration", ADMISSION.1, same),
    older(
        "apiextensions.k8s.io/v1beta1",
        "CustomResourceDefinition",
        "apiextensions.k8s.io/v1",
        definition,
    ),
    older(
        "apiregistration.k8s.io/v1beta1",
        "APIService",
        "apiregistration.k8s.io/v1",
        same,
    ),
    older("batch/v1beta1", "CronJob", "batch/v1", same),
    older(
        "certificates.k8s.io/v1beta1",
        "CertificateSigningRequest",
        "certificates.k8s.io/v1",
        same,
    ),
    older(
        "coordination.k8s.io/v1beta1",
        "Lease",
        "coordination.k8s.io/v1",
        same,
    ),
    older(
        "discovery.k8s.io/v1beta1",
        "EndpointSlice",
        "discovery.k8s.io/v1",
        endpoint_slice,
    ),
    older("extensions/v1beta1", "Ingress", NETWORK, ingress),
    older(FLOW_1, "FlowSchema", FLOW, same),
    older(FLOW_1, LEVEL, FLOW, level),
    older(FLOW_2, "FlowSchema", FLOW, same),
    older(FLOW_2, LEVEL, FLOW, level),
    older(FLOW_3, "FlowSchema", FLOW, same),
    older(FLOW_3, LEVEL, FLOW, same),
    older("networking.k8s.io/v1beta1", "Ingress", NETWORK, ingress),
    older("networking.k8s.io/v1beta1", "IngressClass", NETWORK, same),
    older("node.k8s.io/v1beta1", "RuntimeClass", "node.k8s.io/v1", same),
    older("policy/v1beta1", "PodDisruptionBudget", "policy/v1", budget),
    older(
        "scheduling.k8s.io/v1beta1",
        "PriorityClass",
        "scheduling.k8s.io/v1",
        same,
    ),
    older(STORAGE.0, "CSIDriver", STORAGE.1, same),
    older(STORAGE.0, "CSINode", STORAGE.1, same),
    older(STORAGE.0, "CSIStorageCapacity", STORAGE.1, same),
    older(STORAGE.0, "StorageClass", STORAGE.1, same),
    older(STORAGE.0, "VolumeAttachment", STORAGE.1, same),
];

/// Messages of them that have other fields, as in the table of protobuf facts.
pub(crate) const MESSAGES: &str = "\
message older.Ingress
 1 metadata? io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta
 2 spec? older.IngressSpec
 3 status? io.k8s.api.networking.v1.IngressStatus
message older.IngressBackend
 1 serviceName? string
 2 servicePort? int-or-string
 3 resource io.k8s.api.core.v1.TypedLocalObjectReference
message older.IngressPath
 1 path? string
 2 backend older.IngressBackend
 3 pathType string
message older.IngressPaths
 1 paths []older.IngressPath
message older.IngressRule
 1 host? string
 2 ~ older.IngressRuleValue
message older.IngressRuleValue
 1 http older.IngressPaths
message older.IngressSpec
 1 backend older.IngressBackend
 2 tls? []io.k8s.api.networking.v1.IngressTLS
 3 rules? []older.IngressRule
 4 ingressClassName string
";

fn find(api_version: &str, kind: &str) -> Option<&'static Older> {
    // Nearly all are of no such version.
    let maybe = api_version.contains("beta");
    let mut rows = OLDER.iter().filter(|_| maybe);
    rows.find(|row| row.api_version == api_version && row.kind == kind)
}

/// The message of an older version: its own, or the version and kind that has the same numbers.
pub(crate) fn message(api_version: &str, kind: &str) -> Option<Result<&'static str, &'static str>> {
    let row = find(api_version, kind)?;
    Some(match row.kind {
        "Ingress" => Ok("older.Ingress"),
        _ => Err(row.modern),
    })
}

/// The object `json`, which says to be of that version and kind, in the version that is stored now; `None`: it is of one
/// that is not known to be older, or no object.
pub fn modern(api_version: &str, kind: &str, json: &[u8]) -> Option<Vec<u8>> {
    let row = find(api_version, kind)?;
    let Ok(Value::Object(mut object)) = document::read(json) else {
        return None;
    };
    (row.convert)(&mut object);
    object.insert("apiVersion".to_owned(), row.modern.into());
    Some(document::write(&Value::Object(object)))
}

fn same(_: &mut Map<String, Value>) {}

/// The object at a path.
fn inner<'a>(object: &'a mut Map<String, Value>, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    path.iter()
        .try_fold(object, |object, name| object.get_mut(*name)?.as_object_mut())
}

/// The objects of a list.
fn items<'a>(
    object: &'a mut Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let list = object.get_mut(name).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

fn rename(object: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = object.remove(from) {
        object.entry(to).or_insert(value);
    }
}

fn level(object: &mut Map<String, Value>) {
    if let Some(limited) = inner(object, &["spec", "limited"]) {
        rename(limited, "assuredConcurrencyShares", "nominalConcurrencyShares");
    }
}

/// A selector of nothing chose no pod once, and chooses all now.
fn budget(object: &mut Map<String, Value>) {
    if let Some(selector) = inner(object, &["spec", "selector"])
        && selector.is_empty()
    {
        let none = json!([{"key": "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match", "operator": "Exists"}]);
        selector.insert("matchExpressions".to_owned(), none);
    }
}

fn endpoint_slice(object: &mut Map<String, Value>) {
    for endpoint in items(object, "endpoints") {
        rename(endpoint, "topology", "deprecatedTopology");
        let Some(topology) = inner(endpoint, &["deprecatedTopology"]) else {
            continue;
        };
        let zone = topology.remove("topology.kubernetes.io/zone");
        let node = topology.remove("kubernetes.io/hostname");
        let empty = topology.is_empty();
        if empty {
            endpoint.remove("deprecatedTopology");
        }
        for (name, value) in [("zone", zone), ("nodeName", node)] {
            if let Some(value) = value {
                endpoint.entry(name).or_insert(value);
            }
        }
    }
}

fn ingress(object: &mut Map<String, Value>) {
    let Some(spec) = inner(object, &["spec"]) else {
        return;
    };
    rename(spec, "backend", "defaultBackend");
    if let Some(backend) = inner(spec, &["defaultBackend"]) {
        ingress_backend(backend);
    }
    for rule in items(spec, "rules") {
        let Some(http) = inner(rule, &["http"]) else {
            continue;
        };
        for path in items(http, "paths") {
            path.entry("pathType")
                .or_insert_with(|| "ImplementationSpecific".into());
            if let Some(backend) = inner(path, &["backend"]) {
                ingress_backend(backend);
            }
        }
    }
}

fn ingress_backend(backend: &mut Map<String, Value>) {
    let (name, port) = (backend.remove("serviceName"), backend.remove("servicePort"));
    let Some(name) = name else { return };
    let port = match port {
        Some(Value::String(name)) => json!({ "name": name }),
        Some(number) => json!({ "number": number }),
        None => json!({}),
    };
    backend.insert("service".to_owned(), json!({ "name": name, "port": port }));
}

/// What a definition said once for all versions, each says for itself.
fn definition(object: &mut Map<String, Value>) {
    let Some(spec) = inner(object, &["spec"]) else {
        return;
    };
    let shared = [
        ("validation", "schema"),
        ("subresources", "subresources"),
        ("additionalPrinterColumns", "additionalPrinterColumns"),
    ];
    let shared = shared.map(|(from, to)| (to, spec.remove(from)));
    let version = spec.remove("version");
    let named = spec.get("versions").and_then(Value::as_array);
    if named.is_none_or(Vec::is_empty) {
        let only = json!([{"name": version.unwrap_or_default(), "served": true, "storage": true}]);
        spec.insert("versions".to_owned(), only);
    }
    for version in items(spec, "versions") {
        for (name, value) in &shared {
            if let Some(value) = value {
                version.entry(*name).or_insert_with(|| value.clone());
            }
        }
        for column in items(version, "additionalPrinterColumns") {
            rename(column, "JSONPath", "jsonPath");
        }
    }
    // It was true unless it was said; now it is false.
    spec.entry("preserveUnknownFields").or_insert(Value::Bool(true));
    let Some(conversion) = inner(spec, &["conversion"]) else {
        return;
    };
    let (client, versions) = (
        conversion.remove("webhookClientConfig"),
        conversion.remove("conversionReviewVersions"),
    );
    if let Some(client) = client {
        let webhook = json!({
            "clientConfig": client,
            "conversionReviewVersions": versions.unwrap_or_else(|| json!(["v1beta1"])),
        });
        conversion.entry("webhook").or_insert(webhook);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(old: Value) -> Value {
        let text = |name: &str| old[name].as_str().unwrap().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let json = modern(&api_version, &kind, old.to_string().as_bytes()).unwrap();
        let mut read: Value = serde_json::from_slice(&json).unwrap();
        let version = read.as_object_mut().unwrap().remove("apiVersion").unwrap();
        assert!(version.as_str().unwrap().ends_with("/v1"), "{version}");
        read.as_object_mut().unwrap().remove("kind");
        read
    }

    #[test]
    fn objects_of_older_versions_become_those_of_today() {
        let ingress = json!({"apiVersion": "networking.k8s.io/v1beta1", "kind": "Ingress", "spec": {
            "backend": {"serviceName": "all", "servicePort": "http"},
            "rules": [{"host": "a", "http": {"paths": [{"path": "/", "backend": {"serviceName": "web", "servicePort": 80}}]}}]}});
        assert_eq!(
            read(ingress),
            json!({"spec": {
                "defaultBackend": {"service": {"name": "all", "port": {"name": "http"}}},
                "rules": [{"host": "a", "http": {"paths": [{"path": "/", "pathType": "ImplementationSpecific",
                    "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}})
        );
        let slice = json!({"apiVersion": "discovery.k8s.io/v1beta1", "kind": "EndpointSlice", "endpoints": [
            {"addresses": ["10.0.0.1"], "topology": {"kubernetes.io/hostname": "n", "topology.kubernetes.io/zone": "z"}},
            {"addresses": ["10.0.0.2"], "nodeName": "m", "topology": {"kubernetes.io/hostname": "n", "more": "x"}}]});
        assert_eq!(
            read(slice),
            json!({"endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "n", "zone": "z"},
                {"addresses": ["10.0.0.2"], "nodeName": "m", "deprecatedTopology": {"more": "x"}}]})
        );
        let budget =
            json!({"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "spec": {"selector": {}}});
        let none = &read(budget)["spec"]["selector"]["matchExpressions"][0]["operator"];
        assert_eq!(none, "Exists");
        let level = json!({"apiVersion": FLOW_2, "kind": LEVEL, "spec": {"limited": {"assuredConcurrencyShares": 7}}});
        assert_eq!(
            read(level),
            json!({"spec": {"limited": {"nominalConcurrencyShares": 7}}})
        );
        assert_eq!(modern("policy/v1", "PodDisruptionBudget", b"{}"), None);
        assert_eq!(modern("policy/v1beta1", "PodDisruptionBudget", b"["), None);
    }

    #[test]
    fn definitions_of_old_say_it_for_each_version() {
        let old = json!({"apiVersion": "apiextensions.k8s.io/v1beta1", "kind": "CustomResourceDefinition", "spec": {
            "group": "shop.test", "version": "v1", "preserveUnknownFields": false,
            "validation": {"openAPIV3Schema": {"type": "object"}},
            "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": "A", "type": "string", "JSONPath": ".a"}],
            "conversion": {"strategy": "Webhook", "webhookClientConfig": {"url": "https://a"}, "conversionReviewVersions": ["v1"]},
            "versions": [{"name": "v1", "served": true, "storage": true},
                {"name": "v0", "served": false, "storage": false, "schema": {"openAPIV3Schema": {"type": "array"}}}]}});
        let spec = &read(old)["spec"];
        let first = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}},
            "subresources": {"status": {}}, "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".a"}]});
        assert_eq!(spec["versions"][0], first);
        assert_eq!(spec["versions"][1]["schema"]["openAPIV3Schema"]["type"], "array");
        assert_eq!(
            spec["conversion"],
            json!({"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://a"}, "conversionReviewVersions": ["v1"]}})
        );
        let single = json!({"apiVersion": "apiextensions.k8s.io/v1beta1", "kind": "CustomResourceDefinition", "spec": {"version": "v2"}});
        assert_eq!(
            read(single),
            json!({"spec": {"preserveUnknownFields": true, "versions": [{"name": "v2", "served": true, "storage": true}]}})
        );
    }
}
