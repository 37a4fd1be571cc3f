use std::collections::BTreeMap;

use k8s_pb::{api, apiextensions_apiserver::pkg::apis::apiextensions, apimachinery::pkg::apis::meta};
use prost::Message as _;
use serde_json::{Map, Value, json};

use super::super::{
    Envelope, PREFIX, enveloped, json_to_message, json_to_protobuf, protobuf_body, protobuf_frame,
    protobuf_list, protobuf_to_json, put_bytes, put_protobuf_item,
    table::{self, MessageRef, Shape},
    tests::bodies,
    wire,
};

/// Ends of the paths of members that came after the release that the other library knows.
const NEWER: [&str; 19] = [
    ".bindMountOptions",
    ".clusterTrustBundle.user",
    ".conditions.observedGeneration",
    ".defaultUser",
    ".emptyDir.mode",
    ".evictionResponders",
    ".grpc.mode",
    ".httpGet.protocol",
    ".items.user",
    ".message",
    ".nodeAllocatableResourceClaimStatuses",
    ".podCertificate.user",
    ".podPreemptionPolicy",
    ".schedulingGroup",
    ".serviceAccountToken.user",
    ".shardInfo",
    ".spec.scheduling",
    ".volumeHealth",
    ".volumeStatus",
];

/// A value with all that the shape has, down to `depth` messages; `either` says which of the forms a message has.
fn filled(shape: &Shape, depth: usize, either: usize) -> Option<Value> {
    Some(match shape {
        Shape::String => json!("t\"\u{e9}\n"),
        Shape::Bytes => json!("AP8="),
        Shape::Bool => json!(true),
        Shape::Int32 => json!(-5),
        Shape::Int64 => json!(1_u64 << 40),
        Shape::Double => json!(0.25),
        Shape::Time => json!("2026-01-02T03:04:05Z"),
        Shape::MicroTime => json!("2026-01-02T03:04:05.000006Z"),
        Shape::Quantity => json!("1500m"),
        Shape::IntOrString if either == 0 => json!("50%"),
        Shape::IntOrString => json!(8080),
        Shape::Raw => json!({"a": [1, null, {"b": "\u{1}"}], "c": 1.5}),
        Shape::Message(inner) if inner.get().either => {
            let fields = inner.get().fields();
            filled(&fields[either.min(fields.len() - 1)].shape, depth, either)?
        }
        Shape::Message(inner) => object(*inner, depth.checked_sub(1)?, either).into(),
        Shape::List(element) | Shape::Wrapped(element) if matches!(**element, Shape::List(_)) => {
            filled(element, depth, either)?
        }
        Shape::List(element) if matches!(**element, Shape::Message(_)) => {
            json!([filled(element, depth, either)?])
        }
        Shape::List(element) => {
            let element = filled(element, depth, either)?;
            json!([element.clone(), element])
        }
        Shape::Map(element) => {
            json!({"k": filled(element, depth, either)?, "": filled(element, depth, either)?})
        }
        Shape::Wrapped(_) => return None,
    })
}

fn object(message: MessageRef, depth: usize, either: usize) -> Map<String, Value> {
    let mut members = Map::new();
    for field in message.get().fields() {
        match &field.shape {
            Shape::Message(inner) if field.inline => members.extend(object(*inner, depth, either)),
            shape => {
                let value = filled(shape, depth, either);
                members.extend(value.map(|value| (field.name.to_owned(), value)));
            }
        }
    }
    members
}

/// An object of the kind with all that it can hold.
fn whole(api_version: &str, kind: &str, depth: usize, either: usize) -> Value {
    let mut value = object(table::of_kind(api_version, kind).unwrap(), depth, either);
    value.insert("apiVersion".to_owned(), api_version.into());
    value.insert("kind".to_owned(), kind.into());
    value.into()
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(&protobuf_to_json(body).unwrap()).unwrap()
}

fn there_and_back(value: &Value) -> Value {
    read(&json_to_protobuf(value.to_string().as_bytes()).unwrap())
}

#[test]
fn all_kinds_come_back_from_protobuf() {
    let mut kinds = 0;
    for ty in crate::types() {
        for (api_version, kind) in ty.kinds() {
            for either in 0..2 {
                let value = whole(api_version, kind, 7, either);
                assert_eq!(there_and_back(&value), value, "{api_version} {kind}");
            }
            kinds += 1;
        }
    }
    assert!(kinds > 300, "{kinds}");
    for kind in ["PartialObjectMetadata", "PartialObjectMetadataList"] {
        let value = whole("meta.k8s.io/v1", kind, 8, 0);
        assert_eq!(there_and_back(&value), value);
    }
}

#[test]
fn what_kubectl_prints_becomes_what_it_sends() {
    for (command, body, json) in bodies() {
        let json: Value = serde_json::from_str(json).unwrap();
        assert_eq!(there_and_back(&json), json, "{command}");
        let ours = json_to_protobuf(json.to_string().as_bytes()).unwrap();
        let head = body.windows(2).position(|pair| pair[0] == 0x12).unwrap();
        assert_eq!(ours[..head], body[..head], "{command}");
    }
}

/// Whether upstream's own messages hold all of the object: they are read and written again by another library, which
/// drops what it does not know.
fn same_to_others<M: prost::Message + Default>(api_version: &str, kind: &str) -> Vec<String> {
    let mut lost = Vec::new();
    for either in 0..2 {
        let value = whole(api_version, kind, 7, either);
        let body = json_to_protobuf(value.to_string().as_bytes()).unwrap();
        let raw = Envelope::read(&body[PREFIX.len()..]).unwrap().raw;
        let again = M::decode(raw).unwrap().encode_to_vec();
        let out = enveloped(api_version, kind, |_, out| {
            out.extend_from_slice(&again);
            Ok(())
        });
        let out = out.unwrap();
        differences(kind, &value, &read(&out), &mut lost);
    }
    lost
}

fn differences(path: &str, ours: &Value, theirs: &Value, lost: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (name, value) in ours {
                let path = format!("{path}.{name}");
                match theirs.get(name) {
                    Some(other) => differences(&path, value, other, lost),
                    None if NEWER.iter().any(|end| path.ends_with(end)) => {}
                    None => lost.push(path),
                }
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (ours, theirs) in ours.iter().zip(theirs) {
                differences(path, ours, theirs, lost);
            }
        }
        (ours, theirs) if ours == theirs => {}
        _ => lost.push(format!("{path}: {ours} {theirs}")),
    }
}

#[test]
fn another_library_reads_the_same() {
    use api::{
        admissionregistration::v1 as admission, apps::v1 as apps, autoscaling::v2 as autoscaling,
        batch::v1 as batch, coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery,
        networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac, storage::v1 as storage,
    };
    let lost = [
        same_to_others::<core::Pod>("v1", "Pod"),
        same_to_others::<core::PodList>("v1", "PodList"),
        same_to_others::<core::Node>("v1", "Node"),
        same_to_others::<core::Secret>("v1", "Secret"),
        same_to_others::<core::ConfigMap>("v1", "ConfigMap"),
        same_to_others::<core::Service>("v1", "Service"),
        same_to_others::<core::Event>("v1", "Event"),
        same_to_others::<core::PersistentVolume>("v1", "PersistentVolume"),
        same_to_others::<core::ResourceQuota>("v1", "ResourceQuota"),
        same_to_others::<core::LimitRange>("v1", "LimitRange"),
        same_to_others::<apps::Deployment>("apps/v1", "Deployment"),
        same_to_others::<apps::ControllerRevision>("apps/v1", "ControllerRevision"),
        same_to_others::<batch::CronJob>("batch/v1", "CronJob"),
        same_to_others::<autoscaling::HorizontalPodAutoscaler>("autoscaling/v2", "HorizontalPodAutoscaler"),
        same_to_others::<admission::ValidatingWebhookConfiguration>(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
        ),
        same_to_others::<coordination::Lease>("coordination.k8s.io/v1", "Lease"),
        same_to_others::<discovery::EndpointSlice>("discovery.k8s.io/v1", "EndpointSlice"),
        same_to_others::<networking::Ingress>("networking.k8s.io/v1", "Ingress"),
        same_to_others::<policy::PodDisruptionBudget>("policy/v1", "PodDisruptionBudget"),
        same_to_others::<rbac::ClusterRole>("rbac.authorization.k8s.io/v1", "ClusterRole"),
        same_to_others::<storage::StorageClass>("storage.k8s.io/v1", "StorageClass"),
        same_to_others::<apiextensions::v1::CustomResourceDefinition>(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
        ),
        same_to_others::<meta::v1::Status>("v1", "Status"),
        same_to_others::<meta::v1::DeleteOptions>("v1", "DeleteOptions"),
        same_to_others::<meta::v1::APIResourceList>("v1", "APIResourceList"),
        same_to_others::<meta::v1::PartialObjectMetadataList>("meta.k8s.io/v1", "PartialObjectMetadataList"),
    ];
    assert_eq!(lost.concat(), [""; 0]);
}

#[test]
fn lists_are_written_item_by_item() {
    let items = [
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}"#,
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b","resourceVersion":"3"}}"#,
    ];
    let items = items.map(|item| json_to_message("v1", "ConfigMap", item.as_bytes()).unwrap());
    let metadata = br#"{"resourceVersion":"7","remainingItemCount":0}"#;
    let (mut list, tail) =
        protobuf_list("v1", "ConfigMapList", metadata, items.iter().map(Vec::len)).unwrap();
    items.iter().for_each(|item| put_protobuf_item(&mut list, item));
    list.extend_from_slice(&tail);
    let expected = json!({"apiVersion": "v1", "kind": "ConfigMapList",
        "metadata": {"resourceVersion": "7", "remainingItemCount": 0},
        "items": [{"metadata": {"name": "a"}, "data": {"k": "v"}}, {"metadata": {"name": "b", "resourceVersion": "3"}}]});
    assert_eq!(read(&list), expected);
    assert!(protobuf_list("v1", "ConfigMap", b"{}", std::iter::empty()).is_err());
}

#[test]
fn sizes_are_those_that_are_written() {
    for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
        let mut out = Vec::new();
        put_bytes(&mut out, 2, &vec![0; length]);
        assert_eq!(wire::size_of_bytes(length), out.len());
    }
}

#[test]
fn a_body_is_made_of_a_message() {
    let json = br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"nodeName":"n"}}"#;
    let message = json_to_message("v1", "Pod", json).unwrap();
    let body = protobuf_body("v1", "Pod", &message).unwrap();
    assert_eq!(body, json_to_protobuf(json).unwrap());
}

#[test]
fn frames_of_watches_hold_bodies_after_their_length() {
    let body = json_to_protobuf(br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}"#).unwrap();
    let frame = protobuf_frame("ADDED", &body);
    let (length, event) = frame.split_first_chunk().unwrap();
    assert_eq!(u32::from_be_bytes(*length) as usize, event.len());
    let event = meta::v1::WatchEvent::decode(event).unwrap();
    assert_eq!(event.r#type.as_deref(), Some("ADDED"));
    assert_eq!(event.object.unwrap().raw.unwrap(), body);
}

#[test]
fn objects_not_in_the_form_of_their_kind_are_refused() {
    let refused: BTreeMap<&str, &str> = [
        (
            r#"{"apiVersion":"v1","kind":"Pod","spec":[]}"#,
            "looking for beginning of object",
        ),
        (
            r#"{"apiVersion":"v1","kind":"Pod","spec":{"hostNetwork":1}}"#,
            "in literal false",
        ),
        (
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a""#,
            "unexpected end of JSON input",
        ),
        (
            r#"{"apiVersion":"v1","kind":"Secret","data":{"a":"%"}}"#,
            "Invalid symbol",
        ),
        (
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"generation":1.5}}"#,
            "1.5 is no integer",
        ),
        (
            r#"{"apiVersion":"a.b/v1","kind":"C"}"#,
            "no kind \"C\" is registered",
        ),
    ]
    .into();
    for (text, complaint) in refused {
        let error = json_to_protobuf(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(complaint), "{text}: {error}");
    }
    let nulls = br#"{"apiVersion":"v1","kind":"Pod","metadata":{"creationTimestamp":null,"labels":{"a":null}},"spec":{"containers":null}}"#;
    let read = read(&json_to_protobuf(nulls).unwrap());
    assert_eq!(read["metadata"].to_string(), r#"{"labels":{"a":""}}"#);
}
