//! YAML bodies as upstream reads them (sigs.k8s.io/yaml: YAML 1.1 booleans and octal numbers, one document).

use std::fmt;

use serde::{
    Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap as _, SerializeSeq as _},
};
use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::{document::read, syntax::SyntaxError};

/// How deep a YAML body may be nested: as deep as documents are read.
const MAX_DEPTH: usize = 120;

/// The one document of `text` as JSON text. Keys that come twice stay twice, for [`crate::check`] to find.
///
/// # Errors
/// Text that is not YAML, with more than one document, or that would grow without bound (aliases). The message starts
/// `error converting YAML to JSON: yaml:` as upstream's.
pub fn yaml_to_json(text: &[u8]) -> Result<Vec<u8>, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_documents: 1 },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        legacy_octal_numbers: true,
        strict_booleans: false,
        with_snippet: false,
        emit_comments: false,
    };
    let node: Node = serde_saphyr::from_slice_with_options(text, options)
        .map_err(|error| format!("error converting YAML to JSON: yaml: {error}"))?;
    serde_json::to_vec(&node).map_err(|error| format!("error converting YAML to JSON: {error}"))
}

/// JSON text as YAML text, keys sorted.
///
/// # Errors
/// Text that is not JSON.
pub fn json_to_yaml(json: &[u8]) -> Result<String, SyntaxError> {
    let value: Value = read(json)?;
    serde_saphyr::to_string(&value).map_err(|error| SyntaxError(error.to_string()))
}

/// A YAML value that keeps the order of keys, and keys that come twice.
enum Node {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Scalar(value) => value.serialize(serializer),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Map(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members
                    .iter()
                    .try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl<'de> serde::Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

impl Node {
    /// As the key of a map: scalars by their text.
    fn into_key(self) -> Option<String> {
        match self {
            Self::Scalar(Value::String(text)) => Some(text),
            Self::Scalar(value) => Some(value.to_string()),
            _ => None,
        }
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = access.next_entry::<Node, Node>()? {
            let key = key
                .into_key()
                .ok_or_else(|| serde::de::Error::custom("a key that is a list or map"))?;
            members.push((key, value));
        }
        Ok(Node::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(yaml: &str) -> Result<String, String> {
        yaml_to_json(yaml.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn scalars_read_as_in_yaml_1_1() {
        let yaml = "a: yes\nb: off\nc: 0644\nd: 'no'\ne: 1.5\nf: ~\ng:\nh: 0x1F\ni: 10000000000\nj: 1Gi\nk: |\n  x\n  y\n";
        assert_eq!(
            json(yaml).unwrap(),
            r#"{"a":true,"b":false,"c":420,"d":"no","e":1.5,"f":null,"g":null,"h":31,"i":10000000000,"j":"1Gi","k":"x\ny\n"}"#
        );
        assert_eq!(
            json("{1: a, true: b, 2.5: c}").unwrap(),
            r#"{"1":"a","true":"b","2.5":"c"}"#
        );
    }

    #[test]
    fn keys_that_come_twice_stay_for_the_check() {
        assert_eq!(json("a: 1\na: 2\n").unwrap(), r#"{"a":1,"a":2}"#);
    }

    #[test]
    fn json_is_yaml_and_anchors_are_resolved() {
        assert_eq!(
            json(r#"{"a": ["b", {"c": "\u00e9"}]}"#).unwrap(),
            r#"{"a":["b",{"c":"é"}]}"#
        );
        let merged = "a: &x {p: 1}\nb:\n  <<: *x\n  q: 2\nc: *x\n";
        assert_eq!(
            json(merged).unwrap(),
            r#"{"a":{"p":1},"b":{"q":2,"p":1},"c":{"p":1}}"#
        );
    }

    #[test]
    fn bombs_streams_and_nonsense_are_refused() {
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, last) in ('b'..='k').zip('a'..) {
            bomb.push_str(&format!(
                "{name}: &{name} [{}]\n",
                vec![format!("*{last}"); 9].join(", ")
            ));
        }
        assert!(json(&bomb).is_err());
        assert!(json("a: 1\n---\nb: 2\n").is_err());
        assert!(
            json("a: [1")
                .unwrap_err()
                .starts_with("error converting YAML to JSON: yaml:")
        );
        assert!(json(&"[".repeat(100_000)).is_err());
        assert!(json("a: b: c").is_err());
    }

    #[test]
    fn yaml_is_written_in_blocks() {
        let yaml =
            json_to_yaml(br#"{"kind":"Pod","a":{"list":[{"x":1,"z":"yes"}],"none":[],"text":"1"}}"#).unwrap();
        assert_eq!(
            yaml,
            "a:\n  list:\n  - x: 1\n    z: \"yes\"\n  none: []\n  text: \"1\"\nkind: Pod\n"
        );
    }
}
