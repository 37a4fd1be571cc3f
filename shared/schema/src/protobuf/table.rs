//! The table of protobuf facts: text made by `cargo xtask schema` from upstream's definitions, read once.

use std::{collections::HashMap, sync::OnceLock};

use crate::older;

const TEXT: &str = include_str!("../../tables/protobuf.txt");
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// A message of the table: a copyable handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessageRef(u16);

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    String,
    Bytes,
    Bool,
    Int32,
    Int64,
    Double,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// JSON text.
    Raw,
    Message(MessageRef),
    List(Box<Shape>),
    Map(Box<Shape>),
    /// A list that is a message of its own on the wire.
    Wrapped(Box<Shape>),
}

#[derive(Debug)]
pub(super) struct Field {
    pub number: u32,
    /// Name in JSON.
    pub name: &'static str,
    /// Whether its members are members of the object around it in JSON.
    pub inline: bool,
    /// Whether a zero is as good as none: upstream's Go cannot tell them apart, and writes none.
    pub omits_zero: bool,
    pub shape: Shape,
}

/// A field by the name of a member in JSON.
#[derive(Debug)]
pub(super) struct Member {
    name: &'static str,
    /// Numbers of the inline messages that it stands in, the outermost first.
    pub inside: Vec<u32>,
    pub number: u32,
    pub shape: Shape,
}

#[derive(Debug)]
pub(super) struct Message {
    #[cfg_attr(not(test), expect(dead_code, reason = "tests compare the tables by it"))]
    pub name: &'static str,
    /// Whether its JSON is that of the field that is set.
    pub either: bool,
    fields: Vec<Field>,
    /// By name.
    members: Vec<Member>,
}

impl Message {
    pub fn field(&self, number: u32) -> Option<&Field> {
        let at = self
            .fields
            .binary_search_by_key(&number, |field| field.number)
            .ok()?;
        self.fields.get(at)
    }

    /// The field that a member of a JSON object is, also if it stands in a message that is inline.
    pub fn member(&self, name: &str) -> Option<&Member> {
        let at = self
            .members
            .binary_search_by(|member| member.name.cmp(name))
            .ok()?;
        self.members.get(at)
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }
}

#[derive(Default)]
struct Table {
    messages: Vec<Message>,
    by_name: HashMap<&'static str, MessageRef>,
}

impl MessageRef {
    pub fn get(self) -> &'static Message {
        &table().messages[usize::from(self.0)]
    }
}

/// The message of a kind. Options of meta/v1 come in the version of any group, also of those that are not built in.
pub(super) fn of_kind(api_version: &str, kind: &str) -> Option<MessageRef> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if (group, version) == ("meta.k8s.io", "v1")
        && let Some(message) = named(&format!("{META}{kind}"))
    {
        return Some(message);
    }
    let options = || crate::type_of("", "v1", kind).filter(|ty| ty.name().starts_with(META));
    let ty = crate::type_of(group, version, kind).or_else(options)?;
    named(ty.name())
}

/// The message of a kind, also in a version that is only found in a store.
pub(super) fn of_stored(api_version: &str, kind: &str) -> Option<MessageRef> {
    match older::message(api_version, kind) {
        Some(Ok(name)) => named(name),
        Some(Err(modern)) => of_kind(modern, kind),
        None => of_kind(api_version, kind),
    }
}

/// The message of a type of the other table.
pub(super) fn named(name: &str) -> Option<MessageRef> {
    table().by_name.get(name).copied()
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(read)
}

/// The lines of the table, and of messages of older versions after them.
fn lines() -> impl Iterator<Item = &'static str> {
    TEXT.lines().skip(2).chain(older::MESSAGES.lines())
}

/// Names first, so that a field may refer to a message further down.
fn read() -> Table {
    let mut table = Table::default();
    for line in lines() {
        let (first, rest) = line.trim_start().split_once(' ').unwrap_or_default();
        if line.starts_with(' ') {
            continue;
        }
        let handle = MessageRef(u16::try_from(table.messages.len()).unwrap_or(u16::MAX));
        table.by_name.insert(rest, handle);
        table.messages.push(Message {
            name: rest,
            either: first == "either",
            fields: Vec::new(),
            members: Vec::new(),
        });
    }
    let mut at = 0;
    for line in lines() {
        let Some(line) = line.strip_prefix(' ') else {
            at += 1;
            continue;
        };
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let (number, name, kind) = (word(), word(), word());
        let field = Field {
            number: number.parse().unwrap_or_default(),
            name: name.trim_end_matches('?'),
            inline: name == "~",
            omits_zero: name.ends_with('?'),
            shape: shape(kind, &table.by_name),
        };
        table.messages[at - 1].fields.push(field);
    }
    for at in 0..table.messages.len() {
        let mut members = Vec::new();
        gather(&table.messages, &table.messages[at], &[], &mut members);
        members.sort_by_key(|member| member.name);
        table.messages[at].members = members;
    }
    table
}

/// The members of `message`, those of inline messages among them.
fn gather(messages: &[Message], message: &Message, inside: &[u32], members: &mut Vec<Member>) {
    for field in &message.fields {
        match &field.shape {
            Shape::Message(inner) if field.inline => {
                let inside = [inside, &[field.number]].concat();
                gather(messages, &messages[usize::from(inner.0)], &inside, members);
            }
            shape => members.push(Member {
                name: field.name,
                inside: inside.to_owned(),
                number: field.number,
                shape: shape.clone(),
            }),
        }
    }
}

fn shape(word: &str, by_name: &HashMap<&str, MessageRef>) -> Shape {
    if let Some(element) = word.strip_prefix("[]") {
        return Shape::List(Box::new(shape(element, by_name)));
    }
    if let Some(element) = word.strip_prefix("{}") {
        return Shape::Map(Box::new(shape(element, by_name)));
    }
    if let Some(list) = word.strip_prefix('=') {
        return Shape::Wrapped(Box::new(shape(list, by_name)));
    }
    match word {
        "string" => Shape::String,
        "bytes" => Shape::Bytes,
        "bool" => Shape::Bool,
        "int32" => Shape::Int32,
        "int64" => Shape::Int64,
        "double" => Shape::Double,
        "time" => Shape::Time,
        "microtime" => Shape::MicroTime,
        "quantity" => Shape::Quantity,
        "int-or-string" => Shape::IntOrString,
        name => by_name
            .get(name)
            .map_or(Shape::Raw, |handle| Shape::Message(*handle)),
    }
}

#[cfg(test)]
pub(super) fn all() -> &'static [Message] {
    let older = older::MESSAGES.lines().filter(|line| !line.starts_with(' '));
    let all = &table().messages;
    &all[..all.len() - older.count()]
}

#[cfg(test)]
pub(super) fn text() -> &'static str {
    TEXT
}
