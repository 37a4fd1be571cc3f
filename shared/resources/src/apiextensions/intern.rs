//! Rows of custom resources. They live as long as the process, like those of built-in ones, so that all that works on
//! rows works on them; one is made for each distinct shape, and how many there may be is bounded.

use super::{Names, write::write};
use crate::{Row, SCALE, STATUS, Subresource, Version, cells};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// Distinct shapes in the life of a process, at most.
const MOST: usize = 50_000;
/// Distinct texts, at most.
const MOST_TEXTS: usize = 1_000_000;

#[derive(Default)]
struct Interned {
    rows: BTreeMap<String, &'static Row>,
    texts: BTreeSet<&'static str>,
}

static INTERNED: Mutex<Option<Interned>> = Mutex::new(None);

/// What a row is made of.
#[derive(Debug)]
pub(super) struct Shape<'a> {
    pub group: &'a str,
    pub namespaced: bool,
    /// Served versions, the preferred one first.
    pub versions: Vec<&'a str>,
    pub hub: &'a str,
    pub status: bool,
    pub scale: bool,
    pub fields: Vec<String>,
    pub names: &'a Names,
}

fn with<T>(f: impl FnOnce(&mut Interned) -> T) -> T {
    let mut interned = INTERNED.lock().unwrap_or_else(PoisonError::into_inner);
    f(interned.get_or_insert_default())
}

/// `text`, for good; none when there is no room.
pub(super) fn text(text: &str) -> Option<&'static str> {
    with(|interned| interned.text(text))
}

/// Whether there is room for one more row.
pub fn room() -> bool {
    with(|interned| interned.rows.len() < MOST && interned.texts.len() < MOST_TEXTS)
}

/// The row of a shape; none when there is no room.
pub(super) fn row(shape: &Shape<'_>) -> Option<&'static Row> {
    let key = format!("{shape:?}");
    with(|interned| {
        if let Some(row) = interned.rows.get(&key) {
            return Some(*row);
        }
        if interned.rows.len() >= MOST {
            return None;
        }
        let row: &'static Row = Box::leak(Box::new(interned.row(shape)?));
        interned.rows.insert(key, row);
        Some(row)
    })
}

impl Interned {
    fn text(&mut self, text: &str) -> Option<&'static str> {
        if let Some(known) = self.texts.get(text) {
            return Some(known);
        }
        if self.texts.len() >= MOST_TEXTS {
            return None;
        }
        let text: &'static str = text.to_owned().leak();
        self.texts.insert(text);
        Some(text)
    }

    fn texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> Option<&'static [&'static str]> {
        let texts: Option<Vec<&'static str>> = texts.into_iter().map(|text| self.text(text)).collect();
        Some(texts?.leak())
    }

    fn row(&mut self, shape: &Shape<'_>) -> Option<Row> {
        let names = shape.names;
        let versions = self.texts(shape.versions.iter().copied())?;
        let versions: Vec<Version> = versions.iter().map(|name| Version::same(name)).collect();
        let parts = [(shape.status, STATUS), (shape.scale, SCALE)];
        let subresources: Vec<Subresource> = parts
            .into_iter()
            .filter(|(there, _)| *there)
            .map(|(_, part)| part)
            .collect();
        let (group, plural) = (self.text(shape.group)?, self.text(&names.plural)?);
        let (kind, singular) = (self.text(&names.kind)?, self.text(&names.singular)?);
        Some(Row {
            short_names: self.texts(names.short_names.iter().map(String::as_str))?,
            categories: self.texts(names.categories.iter().map(String::as_str))?,
            namespaced: shape.namespaced,
            versions: versions.leak(),
            hub: self.text(shape.hub)?,
            prefix: self.text(&format!("/registry/{group}/{plural}"))?,
            subresources: subresources.leak(),
            fields: self.texts(shape.fields.iter().map(String::as_str))?,
            columns: &[cells::NAME, cells::AGE],
            ..Row::usual(group, kind, plural, singular, write)
        })
    }
}
