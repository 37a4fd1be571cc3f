//! Lists.

use super::Value;
use crate::shape::{Kind, ListKind, Shape};
use serde_json::Value as Json;
use std::sync::Arc;

/// A list; adding two copies nothing.
#[derive(Clone, Debug)]
pub enum List<'a> {
    /// Made by an expression.
    Shared(Arc<[Value<'a>]>),
    /// From JSON.
    Json(&'a [Json], Option<&'a Shape>),
    /// One after the other, and the length of both.
    Sum(Arc<(List<'a>, List<'a>)>, usize),
}

impl<'a> List<'a> {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Shared(items) => items.len(),
            Self::Json(items, _) => items.len(),
            Self::Sum(_, length) => *length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `at`.
    pub fn get(&self, at: usize) -> Option<Value<'a>> {
        match self {
            Self::Shared(items) => items.get(at).cloned(),
            Self::Json(items, shape) => items
                .get(at)
                .map(|item| Value::json(item, Self::item_shape(*shape))),
            Self::Sum(both, _) => match at.checked_sub(both.0.len()) {
                None => both.0.get(at),
                Some(rest) => both.1.get(rest),
            },
        }
    }

    fn item_shape(shape: Option<&'a Shape>) -> Option<&'a Shape> {
        match &shape?.kind {
            Kind::List(item, _) => Some(item),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// The way in which the schema says that it is compared and added.
    pub(crate) fn kind(&self) -> &ListKind {
        match self {
            Self::Json(_, Some(shape)) => match &shape.kind {
                Kind::List(_, kind) => kind,
                _ => &ListKind::Atomic,
            },
            _ => &ListKind::Atomic,
        }
    }

    /// This list and `other`.
    pub(crate) fn plus(self, other: List<'a>) -> List<'a> {
        let length = self.len().saturating_add(other.len());
        if length <= 64 {
            return Self::Shared(self.iter().chain(other.iter()).collect());
        }
        Self::Sum(Arc::new((self, other)), length)
    }

    pub(crate) fn concatenated(self, other: List<'a>) -> List<'a> {
        if other.is_empty() {
            return self;
        }
        self.plus(other)
    }
}
