//! Whether an applied configuration is of its type, in upstream's words.

use super::{
    node::{Node, Sort},
    raw::{Kind, Raw},
    set::Step,
};
use crate::{document::go_print, table::Shape};
use std::collections::BTreeSet;

/// What is wrong with `value`; `None`: nothing. `twice`: elements of sets and maps may come more than once.
pub(super) fn complaint(node: Node<'_>, value: Raw<'_>, twice: bool) -> Option<String> {
    let mut errors = Errors {
        twice,
        found: Vec::new(),
    };
    errors.walk(node, value, "");
    match errors.found.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("errors:\n  {}", many.join("\n  "))),
    }
}

struct Errors {
    twice: bool,
    found: Vec<String>,
}

impl Errors {
    fn push(&mut self, path: &str, what: impl std::fmt::Display) {
        self.found.push(if path.is_empty() {
            what.to_string()
        } else {
            format!("{path}: {what}")
        });
    }

    fn walk(&mut self, node: Node<'_>, value: Raw<'_>, path: &str) {
        if value.is_null() {
            return;
        }
        if let Some(expected) = mismatch(node, value.kind()) {
            let given = value.value();
            let given = match expected {
                "numeric (int or float)" => crate::document::go_type(&given).to_owned(),
                "string" => format!("&value.valueUnstructured{{Value:{}}}", go_print(&given)),
                _ => format!("&{{{}}}", go_print(&given)),
            };
            return self.push(path, format!("expected {expected}, got {given}"));
        }
        match value.kind() {
            Kind::Map => self.members(node, value, path),
            Kind::List => self.elements(node, value, path),
            _ => {}
        }
    }

    fn members(&mut self, node: Node<'_>, value: Raw<'_>, path: &str) {
        for (name, value) in value.members() {
            let path = format!("{path}.{name}");
            let Some((member, _)) = node.member(&name) else {
                return self.push(&path, "field not declared in schema");
            };
            self.walk(member, value, &path);
        }
    }

    fn elements(&mut self, node: Node<'_>, value: Raw<'_>, path: &str) {
        let merges = node.sort(value) == Sort::List;
        let (keys, mut seen) = (node.keys(), BTreeSet::new());
        for (at, value) in value.elements().into_iter().enumerate() {
            let step = match node.step(&keys, value) {
                _ if !merges => Step::Index(i64::try_from(at).unwrap_or_default()),
                Ok(step) => step,
                Err(why) => return self.push(path, format!("element {at}: {why}")),
            };
            let inside = format!("{path}{step}");
            if merges && !seen.insert(step.clone()) && !self.twice {
                self.push(path, format!("duplicate entries for key {step}"));
            }
            self.walk(node.element(), value, &inside);
        }
    }
}

/// What is expected where a value of this kind may not be.
fn mismatch(node: Node<'_>, kind: Kind) -> Option<&'static str> {
    let (expected, right): (_, &[Kind]) = match node {
        Node::Table(shape, _) => match shape {
            Shape::Int32 | Shape::Int64 | Shape::Float => ("numeric (int or float)", &[Kind::Number]),
            Shape::String | Shape::Bytes => ("string", &[Kind::String]),
            Shape::Bool => ("boolean", &[Kind::Bool]),
            Shape::Quantity | Shape::IntOrString | Shape::Time | Shape::MicroTime => {
                ("any scalar", &[Kind::Number, Kind::String, Kind::Bool])
            }
            Shape::Struct(_) | Shape::Map(_) => ("map", &[Kind::Map]),
            Shape::List(_) => ("list", &[Kind::List]),
            Shape::Raw => return None,
        },
        Node::Object(_) => ("map", &[Kind::Map]),
        Node::Structural(schema) => match schema.type_name() {
            "object" => ("map", &[Kind::Map]),
            "array" => ("list", &[Kind::List]),
            "integer" | "number" => ("numeric (int or float)", &[Kind::Number]),
            "boolean" => ("boolean", &[Kind::Bool]),
            "string" if matches!(schema.format.as_str(), "" | "byte") => ("string", &[Kind::String]),
            "string" => ("any scalar", &[Kind::Number, Kind::String, Kind::Bool]),
            _ => return None,
        },
        Node::Deduced | Node::Untyped => return None,
    };
    (!right.contains(&kind)).then_some(expected)
}
