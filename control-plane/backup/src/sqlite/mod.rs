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

/// A row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its number.
    pub number: i64,
    /// Its values.
    pub values: Vec<Value>,
    /// Where it is.
    pub place: Place,
}

/// Where a row is: a page, and which cell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    page: u32,
    cell: u16,
}

type Visit<'a> = dyn FnMut(Row) -> Result<(), Error> + 'a;

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
        let mut found = None;
        self.rows(1, &mut |row| {
            let [
                Value::Text(kind),
                Value::Text(called),
                _,
                Value::Integer(root),
                Value::Text(sql),
            ] = &row.values[..]
            else {
                return Ok(());
            };
            if kind == "table" && called.eq_ignore_ascii_case(name) {
                let root = u32::try_from(*root).map_err(|_| damaged("a table has no page"))?;
                let table = columns(sql, root);
                found = Some(table.ok_or_else(|| damaged(format!("table {name} is of no usual kind")))?);
            }
            Ok(())
        })?;
        found.ok_or_else(|| Error::Damaged(format!("there is no table {name} in the database")))
    }

    /// Shows all rows of a table, in the order of their numbers.
    pub fn rows_of(&self, table: &Table, visit: &mut Visit<'_>) -> Result<(), Error> {
        self.rows(table.root, &mut |row| visit(table.complete(row)))
    }

    /// A row of a table, again.
    pub fn row_of(&self, table: &Table, place: Place) -> Result<Row, Error> {
        let page = self.pages.page(place.page)?;
        let cell = head(&page, place.page)?.cell(&page, place.cell)?;
        Ok(table.complete(self.row(cell, place)?))
    }

    /// An error if somebody wrote to the database since it was opened, so that what was read may be of different times.
    pub fn check_unchanged(&self) -> Result<(), Error> {
        self.pages.check_unchanged()
    }

    fn rows(&self, root: u32, visit: &mut Visit<'_>) -> Result<(), Error> {
        self.walk(root, 0, &mut BTreeSet::new(), visit)
    }

    fn walk(
        &self,
        id: u32,
        depth: usize,
        seen: &mut BTreeSet<u32>,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        if depth > DEPTH || !seen.insert(id) {
            return Err(damaged(format!("page {id} is in a tree twice")));
        }
        let page = self.pages.page(id)?;
        let head = head(&page, id)?;
        for cell in 0..head.cells {
            let found = head.cell(&page, cell)?;
            match head.last {
                None => visit(self.row(found, Place { page: id, cell })?)?,
                Some(_) => self.walk(be32(found)?, depth + 1, seen, visit)?,
            }
        }
        match head.last {
            None => Ok(()),
            Some(last) => self.walk(last, depth + 1, seen, visit),
        }
    }

    fn row(&self, cell: &[u8], place: Place) -> Result<Row, Error> {
        let cut = || damaged("a row is cut off");
        let (length, cell) = varint(cell).ok_or_else(cut)?;
        let (number, cell) = varint(cell).ok_or_else(cut)?;
        let length = usize::try_from(length).map_err(|_| cut())?;
        let payload = self.payload(cell, length)?;
        let values = Cursor::new(&payload).and_then(Cursor::values);
        Ok(Row {
            number: number as i64,
            values: values.ok_or_else(cut)?,
            place,
        })
    }

    /// The bytes of a row, of which those that have no room in the page are in a chain of others.
    fn payload(&self, cell: &[u8], length: usize) -> Result<Vec<u8>, Error> {
        let cut = || damaged("a row is cut off");
        if length as u64 > self.pages.bytes() {
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
            next = be32(&page)?;
        }
        Ok(payload)
    }
}

/// The head of a page of a table.
struct Head {
    cells: u16,
    /// Where the places of the cells begin.
    pointers: usize,
    /// The last page below; a leaf has none.
    last: Option<u32>,
}

fn head(page: &[u8], id: u32) -> Result<Head, Error> {
    // The first page begins with the head of the file.
    let start = if id == 1 { 100 } else { 0 };
    let head = page
        .get(start..start + 12)
        .ok_or_else(|| damaged("a page is too small"))?;
    let (last, length) = match head[0] {
        LEAF => (None, 8),
        INTERIOR => (Some(be32(&head[8..])?), 12),
        kind => return Err(damaged(format!("page {id} is no page of a table ({kind})"))),
    };
    Ok(Head {
        cells: u16::from_be_bytes([head[3], head[4]]),
        pointers: start + length,
        last,
    })
}

impl Head {
    /// What begins with a cell.
    fn cell<'a>(&self, page: &'a [u8], cell: u16) -> Result<&'a [u8], Error> {
        let at = self.pointers + 2 * usize::from(cell);
        let pointer = page.get(at..at + 2).ok_or_else(|| damaged("a page is cut off"))?;
        let cell = page.get(usize::from(u16::from_be_bytes([pointer[0], pointer[1]]))..);
        cell.ok_or_else(|| damaged("a cell is outside of its page"))
    }
}

impl Table {
    /// A row with all of its columns.
    fn complete(&self, mut row: Row) -> Row {
        let values = &mut row.values;
        // A column that was added later is not in older rows.
        values.resize(self.columns.len().max(values.len()), Value::Null);
        if let Some(at) = self.number {
            values[at] = Value::Integer(row.number);
        }
        row
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
