//! Reading SQLite's file format: the rows of a table, from the file and the write-ahead log beside it. Nothing is written,
//! no SQL is run, and no number in the file is trusted.

mod pages;
mod record;

use crate::Error;
use pages::Pages;
use record::{Cursor, varint};
use std::{collections::BTreeSet, path::Path};

pub use record::Value;

const INTERIOR: u8 = 5;
const LEAF: u8 = 13;
/// How deep a tree may be; SQLite's own limit.
const DEPTH: usize = 20;

/// A database that was read.
#[derive(Debug)]
pub struct Database {
    pages: Pages,
}

/// A row: its number, and its values.
pub type Row = (i64, Vec<Value>);

/// A table: the names of its columns in order, which of them is another name of the row's number, and its first page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<String>,
    /// The column that is the row's number.
    pub number: Option<usize>,
    root: u32,
}

fn damaged(why: impl Into<String>) -> Error {
    Error::Damaged(format!("the SQLite database is damaged: {}", why.into()))
}

impl Database {
    /// Reads the database at `path`, as its last finished transaction left it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            pages: Pages::open(path)?,
        })
    }

    /// The table of this name.
    pub fn table(&self, name: &str) -> Result<Table, Error> {
        for (_, row) in self.rows(1)? {
            let [
                Value::Text(kind),
                Value::Text(called),
                _,
                Value::Integer(root),
                Value::Text(sql),
            ] = &row[..]
            else {
                continue;
            };
            if kind == "table" && called.eq_ignore_ascii_case(name) {
                let root = u32::try_from(*root).map_err(|_| damaged("a table has no page"))?;
                return columns(sql, root)
                    .ok_or_else(|| damaged(format!("table {name} is of no usual kind")));
            }
        }
        Err(Error::Damaged(format!(
            "there is no table {name} in the database"
        )))
    }

    /// All rows of a table, in the order of their numbers.
    pub fn rows_of(&self, table: &Table) -> Result<Vec<Row>, Error> {
        let mut rows = self.rows(table.root)?;
        for (number, values) in &mut rows {
            // A column that was added later is not in older rows.
            values.resize(table.columns.len().max(values.len()), Value::Null);
            if let Some(at) = table.number {
                values[at] = Value::Integer(*number);
            }
        }
        Ok(rows)
    }

    fn rows(&self, root: u32) -> Result<Vec<Row>, Error> {
        let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
        self.walk(root, 0, &mut seen, &mut rows)?;
        Ok(rows)
    }

    fn walk(
        &self,
        id: u32,
        depth: usize,
        seen: &mut BTreeSet<u32>,
        rows: &mut Vec<Row>,
    ) -> Result<(), Error> {
        if depth > DEPTH || !seen.insert(id) {
            return Err(damaged(format!("page {id} is in a tree twice")));
        }
        let page = self.pages.page(id)?;
        // The first page begins with the head of the file.
        let start = if id == 1 { 100 } else { 0 };
        let head = page
            .get(start..start + 12)
            .ok_or_else(|| damaged("a page is too small"))?;
        let cells = usize::from(u16::from_be_bytes([head[3], head[4]]));
        let is_leaf = match head[0] {
            LEAF => true,
            INTERIOR => false,
            kind => return Err(damaged(format!("page {id} is no page of a table ({kind})"))),
        };
        let pointers = start + if is_leaf { 8 } else { 12 };
        for at in 0..cells {
            let at = pointers + 2 * at;
            let pointer = page.get(at..at + 2).ok_or_else(|| damaged("a page is cut off"))?;
            let cell = page.get(usize::from(u16::from_be_bytes([pointer[0], pointer[1]]))..);
            let cell = cell.ok_or_else(|| damaged("a cell is outside of its page"))?;
            match is_leaf {
                true => rows.push(self.row(cell)?),
                false => self.walk(be32(cell)?, depth + 1, seen, rows)?,
            }
        }
        match is_leaf {
            true => Ok(()),
            false => self.walk(be32(&head[8..])?, depth + 1, seen, rows),
        }
    }

    fn row(&self, cell: &[u8]) -> Result<Row, Error> {
        let cut = || damaged("a row is cut off");
        let (length, cell) = varint(cell).ok_or_else(cut)?;
        let (number, cell) = varint(cell).ok_or_else(cut)?;
        let length = usize::try_from(length).map_err(|_| cut())?;
        let payload = self.payload(cell, length)?;
        let values = Cursor::new(&payload).and_then(Cursor::values);
        Ok((number as i64, values.ok_or_else(cut)?))
    }

    /// The bytes of a row, of which those that have no room in the page are in a chain of others.
    fn payload(&self, cell: &[u8], length: usize) -> Result<Vec<u8>, Error> {
        let cut = || damaged("a row is cut off");
        if length > self.pages.bytes() {
            return Err(cut());
        }
        let usable = self.pages.usable();
        let most = usable - 35;
        if length <= most {
            return cell.get(..length).map(<[u8]>::to_vec).ok_or_else(cut);
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let here = least + (length - least) % (usable - 4);
        let here = if here <= most { here } else { least };
        let mut payload = cell.get(..here).ok_or_else(cut)?.to_vec();
        let mut next = be32(cell.get(here..).unwrap_or_default())?;
        while payload.len() < length {
            // Each page brings bytes, so that a chain in a circle ends as well.
            let page = self.pages.page(next)?;
            let some = (length - payload.len()).min(usable - 4);
            payload.extend_from_slice(page.get(4..4 + some).ok_or_else(cut)?);
            next = be32(page)?;
        }
        Ok(payload)
    }
}

fn be32(bytes: &[u8]) -> Result<u32, Error> {
    let bytes = bytes.get(..4).and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(u32::from_be_bytes)
        .ok_or_else(|| damaged("a page is cut off"))
}

/// The columns of `CREATE TABLE name (column type …, …)`.
fn columns(sql: &str, root: u32) -> Option<Table> {
    let (_, inner) = sql.split_once('(')?;
    let inner = inner.rsplit_once(')')?.0;
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for letter in inner.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut()?.push(letter);
    }
    let mut table = Table {
        columns: Vec::new(),
        number: None,
        root,
    };
    for part in parts {
        let words: Vec<String> = part.split_whitespace().map(str::to_ascii_lowercase).collect();
        let name = words.first()?.trim_matches(['"', '`', '[', ']', '\'']);
        if ["primary", "unique", "constraint", "check", "foreign"].contains(&name) {
            continue;
        }
        if words.get(1).is_some_and(|kind| kind == "integer")
            && part.to_ascii_lowercase().contains("primary key")
        {
            table.number = Some(table.columns.len());
        }
        table.columns.push(name.to_owned());
    }
    Some(table)
}
