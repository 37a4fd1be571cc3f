//! Sets of field paths, as trees.

use super::{
    node::Node,
    raw::{Kind, Raw},
};
use crate::syntax::quote;
use std::{cmp::Ordering, fmt};

/// One step of a path. The order is upstream's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A field of a struct or map.
    Field(Box<str>),
    /// The element of a list whose members have these values, sorted by name.
    Key(Box<[(Box<str>, Scalar)]>),
    /// The element of a set.
    Value(Scalar),
    /// The element at a place.
    Index(i64),
}

/// A value in a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scalar {
    Number(Number),
    String(Box<str>),
    Bool(bool),
    /// A list or map, as text.
    Other(Box<str>),
    Null,
}

/// A number: whole ones exactly.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    fn float(self) -> f64 {
        match self {
            Self::Int(n) => n as f64,
            Self::Float(n) => n,
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            _ => self.float().total_cmp(&other.float()),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => n.fmt(f),
            Self::Float(n) => n.fmt(f),
        }
    }
}

impl Scalar {
    pub fn read(value: Raw<'_>) -> Self {
        let text = || String::from_utf8_lossy(value.text()).into_owned();
        match value.kind() {
            Kind::Null => Self::Null,
            Kind::Bool => Self::Bool(value.text() == b"true"),
            Kind::String => Self::String(value.string().unwrap_or_default().into()),
            Kind::List | Kind::Map => Self::Other(text().into()),
            Kind::Number => {
                let text = text();
                let float = || text.parse::<f64>().unwrap_or_default();
                Self::Number(match text.parse() {
                    Ok(n) => Number::Int(n),
                    Err(_) if float().fract() == 0.0 && float().abs() < 9e15 => Number::Int(float() as i64),
                    Err(_) => Number::Float(float()),
                })
            }
        }
    }

    pub fn write(&self, out: &mut String) {
        match self {
            Self::Number(n) => out.push_str(&n.to_string()),
            Self::String(text) => out.push_str(&serde_json::Value::from(&**text).to_string()),
            Self::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::Other(text) => out.push_str(text),
            Self::Null => out.push_str("null"),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => n.fmt(f),
            Self::String(text) => f.write_str(&quote(text)),
            Self::Bool(b) => b.fmt(f),
            Self::Other(text) => f.write_str(text),
            Self::Null => f.write_str("null"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                write!(f, "[{}]", fields.join(","))
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(at) => write!(f, "[{at}]"),
        }
    }
}

/// A set of fields: which there are of one struct, map or list, and which below each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(pub(super) Vec<Entry>);

/// One field: whether it is in the set itself, and what is in the set below it. Never neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub step: Step,
    pub own: bool,
    pub below: FieldSet,
}

impl Entry {
    fn some(self) -> Option<Self> {
        (self.own || !self.below.is_empty()).then_some(self)
    }
}

impl FieldSet {
    /// The set of these fields, by their names from the top: `metadata.labels`.
    pub fn of(paths: &[&str]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let steps: Vec<_> = path.split('.').map(|name| Step::Field(name.into())).collect();
            set.insert(&steps);
        }
        set
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, step: &Step) -> Result<usize, usize> {
        self.0.binary_search_by(|entry| entry.step.cmp(step))
    }

    pub(super) fn get(&self, step: &Step) -> Option<&Entry> {
        self.find(step).ok().map(|at| &self.0[at])
    }

    /// Adds an entry that comes after all others, unless nothing is in it.
    pub(super) fn push(&mut self, step: Step, own: bool, below: Self) {
        self.0.extend(Entry { step, own, below }.some());
    }

    pub(super) fn insert(&mut self, path: &[Step]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let at = self.find(first).unwrap_or_else(|at| {
            let entry = Entry {
                step: first.clone(),
                own: false,
                below: Self::default(),
            };
            self.0.insert(at, entry);
            at
        });
        match rest {
            [] => self.0[at].own = true,
            rest => self.0[at].below.insert(rest),
        }
    }

    pub(super) fn has(&self, path: &[Step]) -> bool {
        match path {
            [] => false,
            [last] => self.get(last).is_some_and(|entry| entry.own),
            [first, rest @ ..] => self.get(first).is_some_and(|entry| entry.below.has(rest)),
        }
    }

    /// What `join` makes of each pair of entries.
    fn join(&self, other: &Self, join: impl Fn(Option<&Entry>, Option<&Entry>) -> Option<Entry>) -> Self {
        let (mut i, mut j, mut joined) = (0, 0, Vec::new());
        loop {
            let order = match (self.0.get(i), other.0.get(j)) {
                (None, None) => return Self(joined),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.step.cmp(&b.step),
            };
            let a = order.is_le().then(|| &self.0[i]);
            let b = order.is_ge().then(|| &other.0[j]);
            i += usize::from(a.is_some());
            j += usize::from(b.is_some());
            joined.extend(join(a, b));
        }
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.join(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Some(Entry {
                step: a.step.clone(),
                own: a.own || b.own,
                below: a.below.union(&b.below),
            }),
            (one, other) => one.or(other).cloned(),
        })
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.join(other, |a, b| {
            let (a, b) = (a?, b?);
            let below = a.below.intersection(&b.below);
            Entry {
                step: a.step.clone(),
                own: a.own && b.own,
                below,
            }
            .some()
        })
    }

    /// What is in this and not in the other. A field and what is below it are different things.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.join(other, |a, b| match (a?, b) {
            (a, Some(b)) => Entry {
                step: a.step.clone(),
                own: a.own && !b.own,
                below: a.below.difference(&b.below),
            }
            .some(),
            (a, None) => Some(a.clone()),
        })
    }

    /// Takes out what is in the other.
    pub(super) fn subtract(&mut self, other: &Self) {
        for gone in &other.0 {
            let Ok(at) = self.find(&gone.step) else { continue };
            let entry = &mut self.0[at];
            entry.own &= !gone.own;
            entry.below.subtract(&gone.below);
            if !entry.own && entry.below.is_empty() {
                self.0.remove(at);
            }
        }
    }

    /// What is in this and neither in the other nor below what is in the other.
    #[must_use]
    pub fn outside(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        self.join(other, |a, b| match (a?, b) {
            (_, Some(b)) if b.own => None,
            (a, Some(b)) => Entry {
                step: a.step.clone(),
                own: a.own,
                below: a.below.outside(&b.below),
            }
            .some(),
            (a, None) => Some(a.clone()),
        })
    }

    /// The set with the fields that a struct declares in it too, if something below them is.
    #[must_use]
    pub(super) fn with_declared(&self, node: Node<'_>) -> Self {
        let entries = self.0.iter().map(|entry| {
            let (declared, below) = match &entry.step {
                Step::Field(name) => match node.member(name) {
                    Some((below, declared)) => (declared, below),
                    None => (false, Node::Untyped),
                },
                _ => (false, node.element()),
            };
            Entry {
                step: entry.step.clone(),
                own: entry.own || declared && !entry.below.is_empty(),
                below: entry.below.with_declared(below),
            }
        });
        Self(entries.collect())
    }

    /// The set after lists and maps of its type became atomic: who had a part has all.
    pub(super) fn settled(&mut self, node: Node<'_>) {
        for entry in &mut self.0 {
            if entry.below.is_empty() {
                continue;
            }
            let below = match &entry.step {
                Step::Field(name) => node.member(name).map(|(below, _)| below),
                _ => Some(node.element()),
            };
            match below {
                Some(below) if below.is_atomic() => {
                    entry.own = true;
                    entry.below = Self::default();
                }
                Some(Node::Deduced) | None => {}
                Some(below) => entry.below.settled(below),
            }
        }
    }

    /// All paths: those of a level before those below it.
    pub(super) fn paths(&self) -> Vec<Vec<Step>> {
        let mut paths = Vec::new();
        self.walk(&mut Vec::new(), &mut paths);
        paths
    }

    fn walk(&self, path: &mut Vec<Step>, paths: &mut Vec<Vec<Step>>) {
        for entry in self.0.iter().filter(|entry| entry.own) {
            paths.push([path.as_slice(), std::slice::from_ref(&entry.step)].concat());
        }
        for entry in &self.0 {
            path.push(entry.step.clone());
            entry.below.walk(path, paths);
            path.pop();
        }
    }
}

/// A path as upstream prints it.
pub(super) fn print(path: &[Step]) -> String {
    path.iter().map(ToString::to_string).collect()
}
