use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{Shape as JsonShape, type_named};
use table::{MessageRef, Shape};

/// Bodies as kubectl 1.37 sends them: the command, the body in base64, and what `--dry-run=client -o json` prints, less nulls.
const KUBECTL: &str = include_str!("golden/kubectl.txt");

pub(super) fn bodies() -> impl Iterator<Item = (&'static str, Vec<u8>, &'static str)> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut lines = KUBECTL.lines();
    std::iter::from_fn(move || {
        let (command, body, json) = (lines.next()?, lines.next()?, lines.next()?);
        Some((command, STANDARD.decode(body).unwrap(), json))
    })
}

fn delimited(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

fn enveloped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [
        delimited(1, api_version.as_bytes()),
        delimited(2, kind.as_bytes()),
    ]
    .concat();
    [PREFIX.to_vec(), delimited(1, &meta), delimited(2, raw)].concat()
}

fn json(api_version: &str, kind: &str, raw: &[u8]) -> Result<Value, ProtobufError> {
    protobuf_to_json(&enveloped(api_version, kind, raw)).map(|json| serde_json::from_slice(&json).unwrap())
}

#[test]
fn bodies_of_kubectl_are_what_it_prints() {
    assert!(bodies().count() > 15);
    for (command, body, expected) in bodies() {
        let read = String::from_utf8(protobuf_to_json(&body).unwrap()).unwrap();
        let expected: Value = serde_json::from_str(expected).unwrap();
        let read: Value = serde_json::from_str(&read).unwrap();
        assert_eq!(read, expected, "{command}");
    }
}

#[test]
fn zeros_of_pointers_stay_and_others_go() {
    // replicas: 0, minReadySeconds: 0, paused: false
    let spec = [vec![8, 0], vec![0x28, 0], vec![0x38, 0]].concat();
    let deployment = json("apps/v1", "Deployment", &delimited(2, &spec)).unwrap();
    assert_eq!(deployment["spec"].to_string(), r#"{"replicas":0}"#);
    // hostNetwork: false (no pointer), enableServiceLinks: false (a pointer)
    let pod = json("v1", "Pod", &delimited(2, &[0x58, 0, 0xf0, 1, 0])).unwrap();
    assert_eq!(pod["spec"].to_string(), r#"{"enableServiceLinks":false}"#);
    // A secret's data may be empty text.
    let secret = json("v1", "Secret", &delimited(2, &delimited(1, b"k"))).unwrap();
    assert_eq!(secret["data"].to_string(), r#"{"k":""}"#);
}

#[test]
fn special_messages_have_their_json() {
    let meta = [
        delimited(8, &[8, 0x80, 0x92, 0xb8, 0xc3, 0x98, 0xfe, 0xff, 0xff, 0xff, 1]),
        delimited(9, &[8, 1, 16, 5]),
    ]
    .concat();
    let year_one = json("v1", "ConfigMap", &delimited(1, &meta)).unwrap();
    assert_eq!(
        year_one["metadata"].to_string(),
        r#"{"deletionTimestamp":"1970-01-01T00:00:01Z"}"#
    );
    let lease = json(
        "coordination.k8s.io/v1",
        "Lease",
        &delimited(2, &delimited(3, &[8, 1, 16, 0xe8, 7])),
    )
    .unwrap();
    assert_eq!(lease["spec"]["acquireTime"], "1970-01-01T00:00:01.000001Z");
    let data = delimited(2, &delimited(1, br#"{"a":[1,null]}"#));
    let revision = json("apps/v1", "ControllerRevision", &[data, vec![0x18, 3]].concat()).unwrap();
    assert_eq!(revision["data"].to_string(), r#"{"a":[1,null]}"#);
    let managed = delimited(17, &delimited(7, &delimited(1, br#"{"f:a":{}}"#)));
    let map = json(
        "v1",
        "ConfigMap",
        &[
            vec![0x0a, managed.len() as u8 + 1, 0x8a, 1],
            managed[1..].to_vec(),
        ]
        .concat(),
    );
    assert_eq!(
        map.unwrap()["metadata"]["managedFields"][0]["fieldsV1"].to_string(),
        r#"{"f:a":{}}"#
    );
    let extra = [
        delimited(1, b"k"),
        delimited(2, &[delimited(1, b"x"), delimited(1, b"y")].concat()),
    ]
    .concat();
    let review = json(
        "authorization.k8s.io/v1",
        "SubjectAccessReview",
        &delimited(2, &delimited(5, &extra)),
    )
    .unwrap();
    assert_eq!(review["spec"]["extra"].to_string(), r#"{"k":["x","y"]}"#);
}

#[test]
fn inline_members_stand_in_the_object_around() {
    let volume = [delimited(1, b"v"), delimited(2, &delimited(2, &[]))].concat();
    let pod = json("v1", "Pod", &delimited(2, &delimited(1, &volume))).unwrap();
    assert_eq!(
        pod["spec"]["volumes"].to_string(),
        r#"[{"emptyDir":{},"name":"v"}]"#
    );
}

#[test]
fn pieces_of_a_message_come_together() {
    let pieces = [
        delimited(1, &delimited(1, b"a")),
        delimited(1, &delimited(3, b"n")),
    ]
    .concat();
    let map = json("v1", "ConfigMap", &pieces).unwrap();
    assert_eq!(map["metadata"].to_string(), r#"{"name":"a","namespace":"n"}"#);
}

#[test]
fn options_come_in_any_version() {
    for version in ["v1", "apps/v1", "policy/v1", "example.com/v1", "meta.k8s.io/v1"] {
        let options = json(version, "DeleteOptions", &[8, 0]).unwrap();
        assert_eq!(options["gracePeriodSeconds"], 0, "{version}");
    }
    assert_eq!(
        json("example.com/v1", "Pod", &[]),
        Err(ProtobufError::Kind("example.com/v1".into(), "Pod".into()))
    );
}

#[test]
fn schemas_are_read_as_whichever_they_are() {
    let schema = |number: &[u8], value: &[u8]| {
        let mut props = number.to_vec();
        props.extend_from_slice(&delimited(1, value)[1..]);
        let version = delimited(4, &delimited(1, &props));
        let crd = json(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            &delimited(2, &delimited(7, &version)),
        );
        crd.unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].to_string()
    };
    // additionalProperties: true, then a schema; default: a value.
    assert_eq!(schema(&[0xf2, 1], &[8, 1]), r#"{"additionalProperties":true}"#);
    assert_eq!(
        schema(&[0xf2, 1], &[8, 1, 0x12, 3, 0x2a, 1, b'x']),
        r#"{"additionalProperties":{"type":"x"}}"#
    );
    assert_eq!(schema(&[0x42], &delimited(1, b"[1.5]")), r#"{"default":[1.5]}"#);
}

#[test]
fn nonsense_is_an_error() {
    let pod = |raw: &[u8]| json("v1", "Pod", raw).unwrap_err();
    assert_eq!(protobuf_to_json(b"{}"), Err(ProtobufError::Prefix));
    assert_eq!(
        protobuf_to_json(PREFIX),
        Err(ProtobufError::Missing("apiVersion"))
    );
    assert_eq!(pod(&[0x0a, 5, 1]), ProtobufError::Truncated);
    assert_eq!(pod(&[0x0a]), ProtobufError::Truncated);
    assert_eq!(pod(&[0xff; 12]), ProtobufError::Overflow);
    assert_eq!(pod(&[0x0b]), ProtobufError::Tag(0x0b), "a group");
    assert_eq!(pod(&[0x02, 0]), ProtobufError::Tag(2), "field 0");
    assert_eq!(pod(&[0x08, 1]), ProtobufError::WireType("metadata".into()));
    assert!(
        matches!(
            pod(&delimited(1, &delimited(1, &[0xff]))),
            ProtobufError::Value(..)
        ),
        "text that is not UTF-8"
    );
    assert!(matches!(
        pod(&delimited(
            1,
            &delimited(9, &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])
        )),
        ProtobufError::Value(..)
    ));
    assert_eq!(
        json("v1", "Pod", &[0xfa, 0x3f, 1, 7, 0xf8, 0x3f, 1])
            .unwrap()
            .as_object()
            .unwrap()
            .len(),
        2,
        "unknown fields"
    );
}

#[test]
fn depth_has_a_limit() {
    let mut schema = Vec::new();
    for _ in 0..400 {
        schema = [vec![0xe2, 1], delimited(1, &schema)[1..].to_vec()].concat(); // `not`
    }
    let version = delimited(4, &delimited(1, &schema));
    let crd = json(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        &delimited(2, &delimited(7, &version)),
    );
    assert_eq!(crd, Err(ProtobufError::Depth));
}

/// Names of the members that an object of the message has in JSON.
fn members(message: MessageRef, into: &mut BTreeSet<&'static str>) {
    for field in message.get().fields() {
        match &field.shape {
            Shape::Message(inner) if field.inline => members(*inner, into),
            _ => {
                into.insert(field.name);
            }
        }
    }
}

/// Whether both tables say the same of a field; raw JSON is opaque in one or both.
fn agree(json: JsonShape, wire: &Shape) -> bool {
    match (json, wire) {
        (JsonShape::List(element), Shape::List(inner) | Shape::Wrapped(inner)) => match inner.as_ref() {
            Shape::List(inner) => agree(element.get(), inner),
            inner => agree(element.get(), inner),
        },
        (JsonShape::Map(element), Shape::Map(inner)) => agree(element.get(), inner),
        (JsonShape::List(element), Shape::Bytes) => element.get() == JsonShape::Int32,
        (JsonShape::Struct(ty), Shape::Message(inner)) => ty.name() == inner.get().name,
        (JsonShape::Raw, Shape::Message(inner)) => inner.get().either,
        (JsonShape::String, Shape::String)
        | (JsonShape::Bytes, Shape::Bytes)
        | (JsonShape::Bool, Shape::Bool)
        | (JsonShape::Int32, Shape::Int32)
        | (JsonShape::Int64, Shape::Int64)
        | (JsonShape::Float, Shape::Double)
        | (JsonShape::Time, Shape::Time)
        | (JsonShape::MicroTime, Shape::MicroTime)
        | (JsonShape::Quantity, Shape::Quantity)
        | (JsonShape::IntOrString, Shape::IntOrString)
        | (JsonShape::Raw, Shape::Raw) => true,
        _ => false,
    }
}

/// Members of the newest release of which no published file says the number.
const UNNUMBERED: [&str; 5] = [
    "DeviceCounterConsumption.compatibilityGroups",
    "DeviceRequest.derivedAttributes",
    "DeviceSubRequest.derivedAttributes",
    "ExactDeviceRequest.derivedAttributes",
    "NodeSystemInfo.runningInUserNamespace",
];

#[test]
fn both_tables_know_the_same_members() {
    let mut differences = Vec::new();
    for message in table::all() {
        let Some(ty) = type_named(message.name) else {
            continue;
        };
        let mut names = BTreeSet::new();
        members(table::named(message.name).unwrap(), &mut names);
        for name in &names {
            if ty.field(name).is_none() {
                differences.push(format!("only protobuf: {}.{name}", ty.struct_name()));
            }
        }
        for field in ty.fields().iter().filter(|field| !names.contains(field.name)) {
            let member = format!("{}.{}", ty.struct_name(), field.name);
            if !matches!(field.name, "apiVersion" | "kind") && !UNNUMBERED.contains(&member.as_str()) {
                differences.push(format!("only JSON: {member}"));
            }
        }
        for field in message.fields().iter().filter(|field| !field.inline) {
            if let Some((_, other)) = ty.field(field.name)
                && !agree(other.shape, &field.shape)
            {
                differences.push(format!(
                    "{}.{}: {:?} {:?}",
                    message.name, field.name, other.shape, field.shape
                ));
            }
        }
    }
    assert_eq!(differences, [""; 0], "{}", differences.join("\n"));
}

#[test]
fn the_table_is_whole() {
    let fields: usize = table::all().iter().map(|message| message.fields().len()).sum();
    let counts = format!("messages={} fields={fields}", table::all().len());
    assert_eq!(
        table::text().lines().take(2).collect::<Vec<_>>(),
        ["protobuf 1", &counts]
    );
    for message in table::all() {
        assert!(
            message.fields().is_sorted_by_key(|field| field.number),
            "{}",
            message.name
        );
        assert!(
            message
                .fields()
                .iter()
                .all(|field| field.number > 0 && !field.name.is_empty()),
            "{}",
            message.name
        );
    }
    for word in table::text()
        .lines()
        .filter(|line| line.starts_with(' '))
        .filter_map(|line| line.split(' ').nth(3))
    {
        let name = word.trim_start_matches(['[', ']', '{', '}', '=']);
        assert!(
            !name.contains('.') || table::named(name).is_some(),
            "unknown message {name}"
        );
    }
    for ty in crate::types().filter(|ty| !ty.kinds().is_empty()) {
        assert!(table::named(ty.name()).is_some(), "{} has no message", ty.name());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (api_version, kind) in [("v1", "Pod"), ("apps/v1", "Deployment"), ("apiextensions.k8s.io/v1", "CustomResourceDefinition")] {
            let _: Result<_, _> = protobuf_to_json(&enveloped(api_version, kind, &raw));
        }
        let _: Result<_, _> = protobuf_to_json(&[PREFIX, &raw].concat());
    }

    #[test]
    fn damaged_bodies_are_read_or_refused(which in 0_usize..15, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let (_, mut body, _) = bodies().nth(which).unwrap();
        let at = at.index(body.len());
        if cut { body.truncate(at) } else { body[at] = byte }
        if let Ok(json) = protobuf_to_json(&body) {
            prop_assert!(serde_json::from_slice::<Value>(&json).is_ok());
        }
    }
}
