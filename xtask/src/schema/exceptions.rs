//! Where the sources of the table differ or are silent, and why: a committed list.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};

use super::table::{Field, Merging, Type, merging_words};

/// The list: of a type's field what is to be in the table, and which exceptions were needed.
pub struct Exceptions {
    facts: BTreeMap<(String, String), Facts>,
    used: BTreeSet<(String, String)>,
}

/// What the table is to say of a field; nothing: what the document says.
struct Facts {
    merging: Merging,
    written: Option<bool>,
}

impl Exceptions {
    /// Reads lines `reason WHY` and, below, lines ` TYPE FIELD WORD...`.
    pub fn read(text: &str) -> Result<Self> {
        let (mut facts, mut reason) = (BTreeMap::new(), false);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(' ').context("a line of one word")? {
                ("reason", _) => reason = true,
                ("", line) => {
                    ensure!(reason, "{line}: no reason before it");
                    let (field, fact) = read_line(line).with_context(|| line.to_owned())?;
                    ensure!(facts.insert(field, fact).is_none(), "{line}: a second time");
                }
                _ => bail!("unknown line {line:?}"),
            }
        }
        Ok(Self {
            facts,
            used: BTreeSet::new(),
        })
    }

    /// Whether a difference at this field has a reason.
    pub fn explains(&mut self, ty: &str, field: &str) -> bool {
        let key = (ty.to_owned(), field.to_owned());
        let known = self.facts.contains_key(&key);
        if known {
            self.used.insert(key);
        }
        known
    }

    /// Puts what is listed for this field into it; whether anything is.
    pub fn apply(&mut self, ty: &str, name: &str, field: &mut Field) -> bool {
        let explained = self.explains(ty, name);
        if let Some(facts) = self.facts.get(&(ty.to_owned(), name.to_owned())) {
            if !facts.merging.is_empty() {
                field.merging.clone_from(&facts.merging);
            }
            field.written = facts.written.unwrap_or(field.written);
        }
        explained
    }

    /// Puts what is listed for the whole of a type, as the field `-`, into it.
    pub fn apply_to_type(&mut self, name: &str, ty: &mut Type) {
        let facts = self.facts.get(&(name.to_owned(), "-".to_owned()));
        if let Some(map) = facts.and_then(|facts| facts.merging.get("map")) {
            ty.map.clone_from(map);
            self.explains(name, "-");
        }
    }

    /// Exceptions that nothing needed.
    pub fn unused(&self) -> impl Iterator<Item = &(String, String)> {
        self.facts.keys().filter(|key| !self.used.contains(*key))
    }
}

fn read_line(line: &str) -> Result<((String, String), Facts)> {
    let mut words = line.split(' ');
    let (ty, field) = words.next().zip(words.next()).context("no field")?;
    let (marks, words): (Vec<&str>, Vec<&str>) = words.partition(|word| !word.contains('='));
    let written = match marks[..] {
        [] => None,
        ["written"] => Some(true),
        ["omitted"] => Some(false),
        _ => bail!("unknown word"),
    };
    let facts = Facts {
        merging: merging_words(words.into_iter())?,
        written,
    };
    Ok(((ty.to_owned(), field.to_owned()), facts))
}
