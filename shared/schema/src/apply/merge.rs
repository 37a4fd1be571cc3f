//! Merging an applied configuration into the live object.

use super::{
    node::{Node, Sort},
    raw::{Raw, zip},
    set::Step,
};
use std::collections::{BTreeMap, BTreeSet};

/// `live` with what `config` says. Nothing goes; of lists the elements come in the order of the live object, or where
/// both name them of the configuration.
pub(super) fn merge(node: Node<'_>, live: Raw<'_>, config: Raw<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(live.text().len() + config.text().len());
    if !write(node, Some(live), Some(config), &mut out) {
        out.extend_from_slice(b"{}");
    }
    out
}

/// Appends the merged value; false: there is none.
fn write(node: Node<'_>, live: Option<Raw<'_>>, config: Option<Raw<'_>>, out: &mut Vec<u8>) -> bool {
    let (Some(old), Some(new)) = (live, config) else {
        let one = config.or(live);
        one.inspect(|value| out.extend_from_slice(value.text()));
        return one.is_some();
    };
    let sort = if new.is_null() {
        node.sort(old)
    } else {
        node.sort(new)
    };
    let start = out.len();
    let some = match sort {
        _ if old.is_empty() && new.is_empty() => None,
        Sort::Leaf => None,
        Sort::Map => Some(members(node, old, new, out)),
        Sort::List => Some(elements(node, old, new, out)),
    };
    match some {
        Some(false) => out.truncate(start),
        Some(true) => {}
        None => out.extend_from_slice(new.text()),
    }
    some != Some(false)
}

fn members(node: Node<'_>, old: Raw<'_>, new: Raw<'_>, out: &mut Vec<u8>) -> bool {
    let (before, after) = (old.members(), new.members());
    let mut some = false;
    for (name, a, b) in zip(&before, &after) {
        let start = out.len();
        out.push(if some { b',' } else { b'{' });
        out.extend_from_slice(serde_json::Value::from(name.as_ref()).to_string().as_bytes());
        out.push(b':');
        let member = node.member(name).map_or(Node::Untyped, |(member, _)| member);
        if write(member, a.copied(), b.copied(), out) {
            some = true;
        } else {
            out.truncate(start);
        }
    }
    out.push(b'}');
    some
}

/// A list, with the steps to its elements.
struct Indexed<'a> {
    steps: Vec<Step>,
    elements: Vec<Raw<'a>>,
    /// The element of a step; none for one that comes more than once.
    by_step: BTreeMap<Step, Option<Raw<'a>>>,
}

impl<'a> Indexed<'a> {
    fn new(node: Node<'_>, list: Raw<'a>) -> Self {
        let keys = node.keys();
        let list = list.elements().into_iter();
        let (mut steps, mut elements, mut by_step) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (step, element) in list.filter_map(|element| Some((node.step(&keys, element).ok()?, element))) {
            let entry = by_step.entry(step.clone());
            entry.and_modify(|one| *one = None).or_insert(Some(element));
            steps.push(step);
            elements.push(element);
        }
        Self {
            steps,
            elements,
            by_step,
        }
    }
}

/// The two lists side by side: elements of the live list that the configuration does not name stay where they were,
/// between the elements that both name.
fn elements(node: Node<'_>, old: Raw<'_>, new: Raw<'_>, out: &mut Vec<u8>) -> bool {
    let (live, config) = (Indexed::new(node, old), Indexed::new(node, new));
    let mut shared = config.steps.iter().filter(|step| live.by_step.contains_key(step));
    let mut next = shared.next();
    let (mut l, mut c, mut done, mut some) = (0, 0, BTreeSet::new(), false);
    let mut push = |old: Option<Raw<'_>>, new: Option<Raw<'_>>| {
        let start = out.len();
        out.push(if some { b',' } else { b'[' });
        if write(node.element(), old, new, out) {
            some = true;
        } else {
            out.truncate(start);
        }
    };
    while l < live.steps.len() || c < config.steps.len() {
        if let (Some(step), Some(other)) = (live.steps.get(l), config.steps.get(c)) {
            if step == other {
                done.insert(step);
                push(live.by_step[step], config.by_step[step]);
                (l, c) = (l + 1, c + 1);
                next = shared.next();
                continue;
            }
            if config.by_step.contains_key(step) && next.is_some_and(|next| next != step) {
                l += 1;
                continue;
            }
        }
        if let Some(step) = live.steps.get(l) {
            if !config.by_step.contains_key(step) {
                push(Some(live.elements[l]), None);
                l += 1;
                continue;
            }
            if done.contains(step) {
                l += 1;
            }
        }
        if let Some(step) = config.steps.get(c) {
            done.insert(step);
            push(live.by_step.get(step).copied().flatten(), config.by_step[step]);
            c += 1;
            if next == Some(step) {
                next = shared.next();
            }
        }
    }
    out.push(b']');
    some
}
