//! The fields that a value has.

use super::{
    node::{Node, Sort},
    raw::{Kind, Raw},
    set::{FieldSet, Step},
};
use std::collections::BTreeMap;

/// Every leaf of `value`, and every element and key in it.
pub(super) fn fields(node: Node<'_>, value: Raw<'_>) -> FieldSet {
    walk(node, value).1
}

/// Whether the value is a leaf, and what is in it.
fn walk(node: Node<'_>, value: Raw<'_>) -> (bool, FieldSet) {
    match node.sort(value) {
        Sort::Leaf => (true, FieldSet::default()),
        Sort::Map => (false, members(node, value)),
        Sort::List => (false, elements(node, value)),
    }
}

fn members(node: Node<'_>, value: Raw<'_>) -> FieldSet {
    let mut set = FieldSet::default();
    for (name, value) in value.members() {
        let Some((member, declared)) = node.member(&name) else {
            continue;
        };
        let (leaf, below) = walk(member, value);
        let empty = value.is_null() || value.kind() == Kind::Map && value.is_empty();
        set.push(Step::Field(name.into()), leaf || empty || !declared, below);
    }
    set
}

fn elements(node: Node<'_>, value: Raw<'_>) -> FieldSet {
    let (keys, element) = (node.keys(), node.element());
    let mut found: BTreeMap<Step, Vec<Raw<'_>>> = BTreeMap::new();
    for value in value.elements() {
        if let Ok(step) = node.step(&keys, value) {
            found.entry(step).or_default().push(value);
        }
    }
    let mut set = FieldSet::default();
    for (step, values) in found {
        let below = match values.as_slice() {
            [one] => walk(element, *one).1,
            _ => FieldSet::default(),
        };
        set.push(step, true, below);
    }
    set
}
