//! The v2 document as protobuf, in gnostic's messages of the package `openapi.v2`: the form in which kubectl and client-go
//! ask for it.

use serde_json::{Map, Value};

use super::messages::{DOCUMENT, Message, Shape};
use crate::protobuf::{put_bytes, put_varint as varint};

/// Writes the v2 document `value`.
pub(super) fn write(value: &Value) -> Vec<u8> {
    value
        .as_object()
        .map(|members| message(&DOCUMENT, members))
        .unwrap_or_default()
}

fn message(message: &Message, members: &Map<String, Value>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, number, shape) in message.fields {
        if let Some(value) = members.get(*name) {
            put(&mut bytes, *number, shape, value);
        }
    }
    let is_field = |name: &String| message.fields.iter().any(|(field, ..)| field == name);
    for (name, value) in members.iter().filter(|(name, _)| !is_field(name)) {
        let others = message.others(name);
        debug_assert!(others.is_some(), "the messages have no place for {name}: {value}");
        if let Some((number, shape)) = others {
            let mut named = Vec::new();
            put_bytes(&mut named, 1, name.as_bytes());
            put(&mut named, 2, shape, value);
            put_bytes(&mut bytes, number, &named);
        }
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, number: u32, shape: &Shape, value: &Value) {
    match (shape, value) {
        (Shape::Text, Value::String(text)) => put_bytes(bytes, number, text.as_bytes()),
        (Shape::Flag, Value::Bool(set)) => put_number(bytes, number, (*set).into()),
        (Shape::Integer, Value::Number(count)) => {
            put_number(bytes, number, count.as_i64().unwrap_or_default().cast_unsigned());
        }
        (Shape::Double, Value::Number(count)) => {
            varint(bytes, u64::from(number) << 3 | 1);
            bytes.extend(count.as_f64().unwrap_or_default().to_le_bytes());
        }
        (Shape::Any, value) => {
            let mut any = Vec::new();
            // The field is for YAML, which JSON is.
            put_bytes(&mut any, 2, value.to_string().as_bytes());
            put_bytes(bytes, number, &any);
        }
        (Shape::Message(inner), Value::Object(members)) => {
            put_bytes(bytes, number, &message(inner, members));
        }
        (Shape::Each(element), Value::Array(items)) => {
            items.iter().for_each(|item| put(bytes, number, element, item));
        }
        (Shape::OneOf(choices), value) => {
            let choice = choices.iter().find(|choice| (choice.takes)(value));
            debug_assert!(choice.is_some(), "none of the messages is for {value}");
            if let Some(choice) = choice {
                let mut inner = Vec::new();
                put(&mut inner, choice.number, &choice.shape, value);
                put_bytes(bytes, number, &inner);
            }
        }
        _ => debug_assert!(false, "{value} is no {shape:?}"),
    }
}

/// `value` without what the messages have no place for: what others wrote may have anything.
pub(super) fn fitting(message: &'static Message, value: Value) -> Value {
    fits(&Shape::Message(message), value).unwrap_or_else(|| Map::new().into())
}

fn fits(shape: &Shape, value: Value) -> Option<Value> {
    match (shape, value) {
        (Shape::Any, value) => Some(value),
        (Shape::Text, value @ Value::String(_))
        | (Shape::Flag, value @ Value::Bool(_))
        | (Shape::Integer | Shape::Double, value @ Value::Number(_)) => Some(value),
        (Shape::Message(message), Value::Object(members)) => {
            let member = |(name, value): (String, Value)| {
                let own = message.fields.iter().find(|(field, ..)| *field == name);
                let shape = own.map(|(.., shape)| shape);
                let shape = shape.or_else(|| message.others(&name).map(|(_, shape)| shape))?;
                Some((name, fits(shape, value)?))
            };
            Some(Value::Object(members.into_iter().filter_map(member).collect()))
        }
        (Shape::Each(element), Value::Array(items)) => {
            let items = items.into_iter();
            Some(items.filter_map(|item| fits(element, item)).collect())
        }
        (Shape::OneOf(choices), value) => {
            let choice = choices.iter().find(|choice| (choice.takes)(&value))?;
            fits(&choice.shape, value)
        }
        _ => None,
    }
}

fn put_number(bytes: &mut Vec<u8>, number: u32, value: u64) {
    varint(bytes, u64::from(number) << 3);
    varint(bytes, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Published,
        openapi::{GroupVersion, ResourceInfo, v2},
    };

    const VERBS: &[&str] = &[
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    ];

    fn document() -> Value {
        let resource = |name, kind| ResourceInfo {
            name,
            namespaced: true,
            group: "apps",
            version: "v1",
            kind,
            verbs: VERBS,
            custom: None,
        };
        let resources = [
            resource("deployments", "Deployment"),
            resource("widgets", "Widget"),
        ];
        let apps = GroupVersion {
            group: "apps",
            version: "v1",
            resources: &resources,
        };
        v2("v1.0.0", &[apps])
    }

    #[test]
    fn a_custom_kind_that_is_open_has_a_schema_without_holes() {
        let open = br#"{"type":"object","x-kubernetes-preserve-unknown-fields":true}"#;
        for schema in [None, Some(&open[..])] {
            let custom = Published::new("FooList", schema, false, Vec::new());
            let resources = [ResourceInfo {
                name: "foos",
                namespaced: true,
                group: "ex.com",
                version: "v1",
                kind: "Foo",
                verbs: VERBS,
                custom: Some(&custom),
            }];
            let group = GroupVersion {
                group: "ex.com",
                version: "v1",
                resources: &resources,
            };
            let document = v2("v1.0.0", &[group]);
            let shown = &document["definitions"]["com.ex.v1.Foo"];
            assert!(shown.get("properties").is_none(), "{shown}");
            assert!(!message(&DOCUMENT, document.as_object().unwrap()).is_empty());
        }
    }

    #[derive(Clone, Copy)]
    enum Wire<'a> {
        Number(u64),
        Double(f64),
        Bytes(&'a [u8]),
    }

    impl<'a> Wire<'a> {
        fn bytes(self) -> &'a [u8] {
            match self {
                Self::Bytes(bytes) => bytes,
                _ => panic!("a message or text was expected"),
            }
        }

        fn text(self) -> &'a str {
            std::str::from_utf8(self.bytes()).unwrap()
        }
    }

    fn read_varint(bytes: &mut &[u8]) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return number;
            }
            shift += 7;
        }
    }

    fn fields(mut bytes: &[u8]) -> Vec<(u32, Wire<'_>)> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = read_varint(&mut bytes);
            let wire = match tag & 7 {
                0 => Wire::Number(read_varint(&mut bytes)),
                1 => {
                    let (first, rest) = bytes.split_first_chunk().unwrap();
                    bytes = rest;
                    Wire::Double(f64::from_le_bytes(*first))
                }
                2 => {
                    let length = usize::try_from(read_varint(&mut bytes)).unwrap();
                    let (first, rest) = bytes.split_at(length);
                    bytes = rest;
                    Wire::Bytes(first)
                }
                other => panic!("wire type {other}"),
            };
            fields.push((u32::try_from(tag >> 3).unwrap(), wire));
        }
        fields
    }

    /// The field that is reached by `numbers`; where it is a list, its first.
    fn at<'a>(bytes: &'a [u8], numbers: &[u32]) -> Wire<'a> {
        let mut wire = Wire::Bytes(bytes);
        for number in numbers {
            let fields = fields(wire.bytes());
            let found = fields.iter().find(|(n, _)| n == number);
            wire = found.unwrap_or_else(|| panic!("no {number} of {numbers:?}")).1;
        }
        wire
    }

    /// The value under `name` in the list `number` of names and values.
    fn named<'a>(bytes: &'a [u8], number: u32, name: &str) -> &'a [u8] {
        let fields = fields(bytes);
        let mut entries = fields
            .iter()
            .filter(|(n, _)| *n == number)
            .map(|(_, wire)| wire.bytes());
        let entry = entries.find(|entry| at(entry, &[1]).text() == name);
        at(entry.unwrap_or_else(|| panic!("no {name}")), &[2]).bytes()
    }

    fn read_message(message: &Message, bytes: &[u8]) -> Value {
        let mut members = Map::new();
        for (number, wire) in fields(bytes) {
            if let Some((name, _, shape)) = message.fields.iter().find(|(_, n, _)| *n == number) {
                let before = members.remove(*name);
                members.insert((*name).to_owned(), read(shape, wire, before));
                continue;
            }
            let name = at(wire.bytes(), &[1]).text();
            let (expected, shape) = message.others(name).unwrap();
            assert_eq!(number, expected, "{name}");
            members.insert(name.to_owned(), read(shape, at(wire.bytes(), &[2]), None));
        }
        Value::Object(members)
    }

    fn read(shape: &Shape, wire: Wire<'_>, before: Option<Value>) -> Value {
        match (shape, wire) {
            (Shape::Text, wire) => wire.text().into(),
            (Shape::Flag, Wire::Number(set)) => (set == 1).into(),
            (Shape::Integer, Wire::Number(count)) => count.cast_signed().into(),
            (Shape::Double, Wire::Double(count)) => count.into(),
            (Shape::Any, wire) => serde_json::from_str(at(wire.bytes(), &[2]).text()).unwrap(),
            (Shape::Message(inner), wire) => read_message(inner, wire.bytes()),
            (Shape::Each(element), wire) => {
                let mut items = before.map_or_else(Vec::new, |before| before.as_array().unwrap().clone());
                items.push(read(element, wire, None));
                items.into()
            }
            (Shape::OneOf(choices), wire) => {
                let mut result = None;
                for (number, wire) in fields(wire.bytes()) {
                    let choice = choices.iter().find(|choice| choice.number == number).unwrap();
                    result = Some(read(&choice.shape, wire, result));
                }
                result.unwrap_or_else(|| Value::Array(Vec::new()))
            }
            (shape, _) => panic!("not the wire type of {shape:?}"),
        }
    }

    /// Protobuf cannot tell an empty list from none.
    fn without_empty_lists(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|_, value| value.as_array().is_none_or(|items| !items.is_empty()));
                members.values_mut().for_each(without_empty_lists);
            }
            Value::Array(items) => items.iter_mut().for_each(without_empty_lists),
            _ => {}
        }
    }

    #[test]
    fn nothing_of_the_document_is_lost() {
        let mut document = document();
        let bytes = write(&document);
        without_empty_lists(&mut document);
        let mut again = read_message(&DOCUMENT, &bytes);
        without_empty_lists(&mut again);
        assert_eq!(again, document);
    }

    #[test]
    fn fields_have_gnostics_numbers() {
        let bytes = write(&document());
        assert_eq!(at(&bytes, &[1]).text(), "2.0");
        assert_eq!(at(&bytes, &[2, 1]).text(), "Kubernetes");
        assert_eq!(at(&bytes, &[2, 2]).text(), "v1.0.0");
        let paths = at(&bytes, &[8]).bytes();
        let path = named(
            paths,
            2,
            "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
        );
        let (get, patch) = (at(path, &[2]).bytes(), at(path, &[8]).bytes());
        assert_eq!(at(get, &[5]).text(), "readAppsV1NamespacedDeployment");
        assert_eq!(at(get, &[1]).text(), "apps_v1");
        assert_eq!(at(get, &[6]).text(), "application/json");
        assert_eq!(at(get, &[10]).text(), "https");
        let response = named(at(get, &[9]).bytes(), 1, "200");
        assert_eq!(at(response, &[1, 1]).text(), "OK");
        let deployment = "#/definitions/io.k8s.api.apps.v1.Deployment";
        assert_eq!(at(response, &[1, 2, 1, 1]).text(), deployment);
        assert_eq!(at(named(get, 13, "x-kubernetes-action"), &[2]).text(), r#""get""#);
        let body = at(patch, &[8, 1, 1]).bytes();
        assert_eq!(at(body, &[2]).text(), "body");
        assert!(matches!(at(body, &[4]), Wire::Number(1)));
        assert!(at(body, &[5, 1]).text().ends_with(".Patch"));
        let name = at(path, &[9, 1, 2, 4]).bytes();
        assert_eq!((at(name, &[2]).text(), at(name, &[4]).text()), ("path", "name"));
        assert_eq!(at(name, &[5]).text(), "string");
        assert!(matches!(at(name, &[19]), Wire::Number(1)));
        let list = named(paths, 2, "/apis/apps/v1/widgets");
        let query = at(list, &[9, 1, 2, 3]).bytes();
        assert_eq!(
            (at(query, &[2]).text(), at(query, &[4]).text()),
            ("query", "allowWatchBookmarks")
        );
        assert_eq!(at(query, &[6]).text(), "boolean");
        assert!(matches!(at(query, &[20]), Wire::Number(1)));
        let token = named(at(&bytes, &[13]).bytes(), 1, "BearerToken");
        assert_eq!(at(token, &[2, 2]).text(), "authorization");
    }

    #[test]
    fn definitions_have_gnostics_numbers() {
        let bytes = write(&document());
        let definition = |name| named(at(&bytes, &[9]).bytes(), 1, name);
        let deployment = definition("io.k8s.api.apps.v1.Deployment");
        assert_eq!(at(deployment, &[22, 1]).text(), "object");
        assert_eq!(
            at(named(deployment, 31, "x-kubernetes-group-version-kind"), &[2]).text(),
            r#"[{"group":"apps","kind":"Deployment","version":"v1"}]"#
        );
        let property = |schema, name| named(at(schema, &[25]).bytes(), 1, name);
        let volumes = property(definition("io.k8s.api.core.v1.PodSpec"), "volumes");
        assert_eq!(
            at(volumes, &[23, 1, 1]).text(),
            "#/definitions/io.k8s.api.core.v1.Volume"
        );
        assert_eq!(
            at(named(volumes, 31, "x-kubernetes-patch-merge-key"), &[2]).text(),
            r#""name""#
        );
        let labels = property(
            definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
            "labels",
        );
        assert_eq!(at(labels, &[21, 1, 22, 1]).text(), "string");
        let spec = definition("io.k8s.api.apps.v1.DeploymentSpec");
        assert_eq!(at(spec, &[19]).text(), "selector");
        assert_eq!(at(property(spec, "replicas"), &[2]).text(), "int32");
    }
}
