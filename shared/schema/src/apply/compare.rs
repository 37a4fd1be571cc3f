//! What a write changed: the fields that it set, and those that it took away.

use super::{
    node::{Node, Sort},
    raw::{Kind, Raw, zip},
    set::{FieldSet, Step},
};

/// The difference between two values of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Added or modified.
    pub set: FieldSet,
    /// Gone.
    pub removed: FieldSet,
    /// The value itself is one of these, for the set of who holds it.
    own: Own,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Own {
    set: bool,
    removed: bool,
}

impl Change {
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }

    /// Without what is in `fields`, and below.
    pub fn outside(self, fields: &FieldSet) -> Self {
        Self {
            set: self.set.outside(fields),
            removed: self.removed.outside(fields),
            own: self.own,
        }
    }

    fn leaf(set: bool, removed: bool) -> Self {
        Self {
            own: Own { set, removed },
            ..Self::default()
        }
    }

    fn push(&mut self, step: &Step, of: Self) {
        self.set.push(step.clone(), of.own.set, of.set);
        self.removed.push(step.clone(), of.own.removed, of.removed);
    }
}

/// Compares two objects.
pub(super) fn compare(node: Node<'_>, old: Raw<'_>, new: Raw<'_>) -> Change {
    between(node, Some(old), Some(new))
}

fn between(node: Node<'_>, old: Option<Raw<'_>>, new: Option<Raw<'_>>) -> Change {
    let sort = |value: Raw<'_>| node.sort(value);
    match (old, new) {
        (None, None) => Change::default(),
        (Some(a), Some(b)) if a == b => Change::default(),
        (None, Some(value)) | (Some(value), None) => within(node, sort(value), old, new),
        (Some(a), Some(b)) if sort(a) == sort(b) || a.is_null() || b.is_null() => {
            let one = if b.is_null() { a } else { b };
            within(node, sort(one), old, new)
        }
        // Without a schema a value may become one of another sort: what was in it goes, what is in it comes.
        (Some(a), Some(b)) => {
            let (gone, mut came) = (within(node, sort(a), old, None), within(node, sort(b), None, new));
            came.removed = gone.removed;
            came.own = Own {
                set: true,
                removed: false,
            };
            came
        }
    }
}

fn within(node: Node<'_>, sort: Sort, old: Option<Raw<'_>>, new: Option<Raw<'_>>) -> Change {
    let empty = old.is_none_or(Raw::is_empty) && new.is_none_or(Raw::is_empty);
    let mut change = match sort {
        Sort::Map if !empty => maps(node, old, new),
        Sort::List if !empty => lists(node, old, new),
        _ => {
            let same = old.zip(new).is_some_and(|(a, b)| a.same(b));
            return Change::leaf(!same && new.is_some(), new.is_none());
        }
    };
    change.own = Own {
        set: old.is_none(),
        removed: new.is_none(),
    };
    change
}

fn maps(node: Node<'_>, old: Option<Raw<'_>>, new: Option<Raw<'_>>) -> Change {
    let before = old.map(Raw::members).unwrap_or_default();
    let after = new.map(Raw::members).unwrap_or_default();
    // A null has no members; what a struct has without its being said, it has only where it is.
    let is = |value: Option<Raw<'_>>| value.is_some_and(|value| value.kind() == Kind::Map);
    let (was, is) = (is(old), is(new));
    let mut change = Change::default();
    for (name, a, b) in zip(&before, &after) {
        let Some((member, _)) = node.member(name) else {
            continue;
        };
        if a == b {
            continue;
        }
        let a = a.copied().or_else(|| node.implied(name).filter(|_| was));
        let b = b.copied().or_else(|| node.implied(name).filter(|_| is));
        let of = between(member, a, b);
        if of != Change::default() {
            change.push(&Step::Field(name.as_ref().into()), of);
        }
    }
    change
}

fn lists(node: Node<'_>, old: Option<Raw<'_>>, new: Option<Raw<'_>>) -> Change {
    let element = node.element();
    let (before, after) = (indexed(node, old), indexed(node, new));
    let mut change = Change::default();
    for (step, a, b) in zip(&before, &after) {
        let (a, b) = (a.map_or(&[][..], Vec::as_slice), b.map_or(&[][..], Vec::as_slice));
        // Elements that come more than once are one thing.
        let of = match (a, b) {
            ([] | [_], [] | [_]) => between(element, a.first().copied(), b.first().copied()),
            ([_, _, ..], [_, _, ..]) => {
                let same = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(*b));
                Change::leaf(!same, false)
            }
            ([_, _, ..], b) => {
                let mut of = between(element, None, b.first().copied());
                of.own.removed = true;
                of
            }
            (a, _) => {
                let mut of = between(element, a.first().copied(), None);
                of.own = Own {
                    set: true,
                    removed: !a.is_empty(),
                };
                of
            }
        };
        change.push(step, of);
    }
    change
}

/// The elements of a list by the steps to them, sorted. Elements without a place are left out.
fn indexed<'a>(node: Node<'_>, list: Option<Raw<'a>>) -> Vec<(Step, Vec<Raw<'a>>)> {
    let keys = node.keys();
    let elements = list.map(Raw::elements).unwrap_or_default().into_iter();
    let mut steps: Vec<_> = elements
        .filter_map(|element| Some((node.step(&keys, element).ok()?, vec![element])))
        .collect();
    steps.sort_by(|a, b| a.0.cmp(&b.0));
    steps.dedup_by(|next, first| {
        let same = next.0 == first.0;
        if same {
            first.1.append(&mut next.1);
        }
        same
    });
    steps
}
