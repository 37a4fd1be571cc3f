//! Taking fields out of a value.

use super::{
    node::{Node, Sort},
    raw::{Kind, Raw},
    set::{FieldSet, Step},
};

/// `value` without the members and elements in `gone`.
pub(super) fn remove(node: Node<'_>, value: Raw<'_>, gone: &FieldSet) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.text().len());
    write(node, value, gone, &mut out);
    out
}

/// Nothing left is null, as upstream.
fn write(node: Node<'_>, value: Raw<'_>, gone: &FieldSet, out: &mut Vec<u8>) {
    let start = out.len();
    let some = match (node.sort(value), value.kind()) {
        (Sort::Map, Kind::Map) => members(node, value, gone, out),
        (Sort::List, Kind::List) => elements(node, value, gone, out),
        (Sort::Leaf, Kind::List | Kind::Map) | (_, Kind::Null) => false,
        _ => {
            out.extend_from_slice(value.text());
            true
        }
    };
    if !some {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

fn members(node: Node<'_>, value: Raw<'_>, gone: &FieldSet, out: &mut Vec<u8>) -> bool {
    let mut some = false;
    for (name, value) in value.members() {
        let entry = gone.get(&Step::Field(name.as_ref().into()));
        if entry.is_some_and(|entry| entry.own) {
            continue;
        }
        out.push(if some { b',' } else { b'{' });
        some = true;
        out.extend_from_slice(serde_json::Value::from(name.as_ref()).to_string().as_bytes());
        out.push(b':');
        match (entry, node.member(&name)) {
            (Some(entry), Some((member, _))) => write(member, value, &entry.below, out),
            _ => out.extend_from_slice(value.text()),
        }
    }
    out.push(b'}');
    some
}

fn elements(node: Node<'_>, value: Raw<'_>, gone: &FieldSet, out: &mut Vec<u8>) -> bool {
    let (keys, element) = (node.keys(), node.element());
    let mut some = false;
    for value in value.elements() {
        let step = node.step(&keys, value).ok();
        let entry = step.and_then(|step| gone.get(&step));
        if entry.is_some_and(|entry| entry.own) {
            continue;
        }
        out.push(if some { b',' } else { b'[' });
        some = true;
        match entry {
            Some(entry) => write(element, value, &entry.below, out),
            None => out.extend_from_slice(value.text()),
        }
    }
    out.push(b']');
    some
}
