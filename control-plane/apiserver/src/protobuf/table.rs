//! The table of protobuf facts: for each type the numbers and kinds of its fields. Made from the tags of the published
//! Go types.

use std::{collections::HashMap, sync::OnceLock};

const TEXT: &str = include_str!("../../tables/protobuf.txt");

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A signed number.
    Int,
    /// `true` or `false`.
    Bool,
    /// A floating-point number.
    Float,
    /// Bytes, base64 in JSON.
    Bytes,
    /// A quantity.
    Quantity,
    /// A time, to the second.
    Time,
    /// A time, to the microsecond.
    MicroTime,
    /// A number or text.
    IntOrString,
    /// A duration, `1h0m0s` in JSON.
    Duration,
    /// JSON in a message of its own: `RawExtension`, `FieldsV1`.
    Raw,
    /// A list of text in a message of its own: `ExtraValue`.
    Texts,
    /// A message, by its number in the table.
    Message(usize),
    /// Several.
    List(Box<Kind>),
    /// From text to one kind.
    Map(Box<Kind>),
}

/// A field.
#[derive(Debug)]
pub struct Field {
    /// Number on the wire.
    pub number: u64,
    /// Name in JSON.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// JSON shows it also when it is zero or empty.
    pub always: bool,
    /// Its fields stand among those of the type itself.
    pub inline: bool,
}

/// The table.
#[derive(Default)]
pub struct Table {
    types: Vec<Vec<Field>>,
    kinds: HashMap<(&'static str, &'static str), usize>,
}

/// The one table, read at first use.
pub fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(read)
}

impl Table {
    /// The type of a kind, by `group/version` and kind.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<usize> {
        // Options of a delete are of every group.
        let api_version = if kind == "DeleteOptions" {
            "v1"
        } else {
            api_version
        };
        self.kinds.get(&(api_version, kind)).copied()
    }

    /// The fields of a type.
    pub fn fields(&self, index: usize) -> &[Field] {
        self.types.get(index).map_or(&[], Vec::as_slice)
    }
}

fn read() -> Table {
    let names = TEXT.lines().filter_map(|line| line.strip_prefix("type "));
    let names: HashMap<&str, usize> = names.enumerate().map(|(index, name)| (name, index)).collect();
    let mut table = Table::default();
    for line in TEXT.lines().skip(1) {
        if line.starts_with("type ") {
            table.types.push(Vec::new());
        } else if let Some((api_version, kind)) =
            line.strip_prefix("kind ").and_then(|rest| rest.split_once(' '))
        {
            table.kinds.insert((api_version, kind), table.types.len() - 1);
        } else if let (Some(field), Some(of)) = (field(line, &names), table.types.last_mut()) {
            of.push(field);
        }
    }
    table
}

fn field(line: &'static str, names: &HashMap<&str, usize>) -> Option<Field> {
    let mut words = line.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let name = words.next()?;
    let text = words.next()?;
    let (inline, always) = (text.starts_with('~'), text.starts_with('!'));
    let kind = kind(text.trim_start_matches(['~', '!']), names)?;
    Some(Field {
        number,
        name,
        kind,
        always,
        inline,
    })
}

fn kind(text: &str, names: &HashMap<&str, usize>) -> Option<Kind> {
    if let Some(rest) = text.strip_prefix("[]") {
        return Some(Kind::List(Box::new(kind(rest, names)?)));
    }
    if let Some(rest) = text.strip_prefix("{}") {
        return Some(Kind::Map(Box::new(kind(rest, names)?)));
    }
    if let Some(name) = text.strip_prefix('@') {
        return names.get(name).map(|&index| Kind::Message(index));
    }
    Some(match text {
        "s" => Kind::Text,
        "i" => Kind::Int,
        "b" => Kind::Bool,
        "d" => Kind::Float,
        "y" => Kind::Bytes,
        "q" => Kind::Quantity,
        "t" => Kind::Time,
        "u" => Kind::MicroTime,
        "o" => Kind::IntOrString,
        "D" => Kind::Duration,
        "r" | "f" => Kind::Raw,
        "x" => Kind::Texts,
        _ => return None,
    })
}
