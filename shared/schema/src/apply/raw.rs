//! JSON values as slices of their text: looked into one level at a time, copied whole where nothing changes.

use api::scan;
use serde_json::Value;
use std::borrow::Cow;

/// The text of one JSON value, without white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a>(&'a [u8]);

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    String,
    List,
    Map,
}

pub(super) const NULL: Raw<'static> = Raw(b"null");
pub(super) const EMPTY: Raw<'static> = Raw(b"{}");

impl<'a> Raw<'a> {
    pub fn new(json: &'a [u8]) -> Self {
        Self(json.trim_ascii())
    }

    pub fn text(self) -> &'a [u8] {
        self.0
    }

    pub fn kind(self) -> Kind {
        match self.0.first() {
            Some(b'{') => Kind::Map,
            Some(b'[') => Kind::List,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            None | Some(b'n') => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// Null, or a list or map without anything in it.
    pub fn is_empty(self) -> bool {
        match self.kind() {
            Kind::Null => true,
            Kind::Map | Kind::List => self.0[1..].trim_ascii_start().len() == 1,
            _ => false,
        }
    }

    /// The members of a map, by name; of a name that comes twice the last. Nothing for any other value.
    pub fn members(self) -> Vec<(Cow<'a, str>, Raw<'a>)> {
        let found = scan::members(self.0, 0).map_while(Result::ok);
        let mut members: Vec<_> = found.map(|(name, range)| (name, Raw(&self.0[range]))).collect();
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            members.reverse();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.dedup_by(|a, b| a.0 == b.0);
        }
        members
    }

    pub fn member(self, name: &str) -> Option<Raw<'a>> {
        let found = scan::members(self.0, 0).map_while(Result::ok);
        found
            .filter(|(n, _)| n == name)
            .last()
            .map(|(_, range)| Raw(&self.0[range]))
    }

    /// The elements of a list; nothing for any other value.
    pub fn elements(self) -> Vec<Raw<'a>> {
        let found = scan::elements(self.0, 0).unwrap_or_default();
        found.into_iter().map(|range| Raw(&self.0[range])).collect()
    }

    /// The text of a string.
    pub fn string(self) -> Option<Cow<'a, str>> {
        scan::text(self.0, 0..self.0.len()).ok()
    }

    pub fn value(self) -> Value {
        serde_json::from_slice(self.0).unwrap_or_default()
    }

    /// Whether both mean the same.
    pub fn same(self, other: Self) -> bool {
        if self.0 == other.0 {
            return true;
        }
        match (self.kind(), other.kind()) {
            (Kind::Map, Kind::Map) => {
                let (a, b) = (self.members(), other.members());
                a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && a.1.same(b.1))
            }
            (Kind::List, Kind::List) => {
                let (a, b) = (self.elements(), other.elements());
                a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.same(*b))
            }
            (Kind::Number, Kind::Number) => match (self.value(), other.value()) {
                (a, b) if a == b => true,
                (a, b) => a.as_f64().is_some() && a.as_f64() == b.as_f64(),
            },
            (Kind::String, Kind::String) => self.string() == other.string(),
            _ => false,
        }
    }
}

/// Both sides of two sorted lists, by key.
pub(super) fn zip<'x, K: Ord, V>(
    left: &'x [(K, V)],
    right: &'x [(K, V)],
) -> impl Iterator<Item = (&'x K, Option<&'x V>, Option<&'x V>)> {
    let (mut i, mut j) = (0, 0);
    std::iter::from_fn(move || {
        let order = match (left.get(i), right.get(j)) {
            (None, None) => return None,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(l), Some(r)) => l.0.cmp(&r.0),
        };
        let l = order.is_le().then(|| &left[i]);
        let r = order.is_ge().then(|| &right[j]);
        i += usize::from(l.is_some());
        j += usize::from(r.is_some());
        l.or(r).map(|both| (&both.0, l.map(|l| &l.1), r.map(|r| &r.1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_level_by_level() {
        let value = Raw::new(br#" {"b":[1,{"x":"a\n"}],"a":null,"b":{}} "#);
        let names: Vec<_> = value
            .members()
            .iter()
            .map(|(n, v)| format!("{n}={}", v.is_empty()))
            .collect();
        assert_eq!(names, ["a=true", "b=true"]);
        assert_eq!(Raw::new(br#"["a\n"]"#).elements()[0].string().unwrap(), "a\n");
    }

    #[test]
    fn equal_values_may_be_written_in_several_ways() {
        let same = |a: &str, b: &str| Raw::new(a.as_bytes()).same(Raw::new(b.as_bytes()));
        assert!(same(r#"{"a":1,"b":[2.0]}"#, r#"{ "b":[2], "a":1 }"#));
        assert!(same(r#""é""#, r#""\u00e9""#));
        assert!(!same("1", "\"1\"") && !same("null", "{}") && !same("[1,2]", "[2,1]"));
    }
}
