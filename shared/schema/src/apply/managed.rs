//! `metadata.managedFields`: who owns which fields.

use super::{
    fields_v1,
    raw::{Kind, Raw},
    set::FieldSet,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// How a manager came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By applying them.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// A manager and its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Name; empty when it is not known.
    pub name: String,
    /// How.
    pub operation: Operation,
    /// The version that the fields are of.
    pub version: String,
    /// The subresource that it wrote; empty for none.
    pub subresource: String,
    /// When it last did, to the second.
    pub time: Option<Timestamp>,
    /// What it owns.
    pub fields: FieldSet,
}

impl Manager {
    /// Whether both are one manager. An applier is the same in all versions.
    pub fn is(&self, other: &Self) -> bool {
        (&self.name, self.operation, &self.subresource) == (&other.name, other.operation, &other.subresource)
            && (self.operation == Operation::Apply || self.version == other.version)
    }

    fn key(&self) -> (Operation, i64, &str, &str, &str) {
        let seconds = self.time.map_or(0, Timestamp::as_second);
        (
            self.operation,
            seconds,
            &self.name,
            &self.version,
            &self.subresource,
        )
    }

    /// As upstream names it in a conflict.
    pub(super) fn print(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.version));
        }
        text
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Wire<'a> {
    #[serde(borrow)]
    manager: Option<Cow<'a, str>>,
    #[serde(borrow)]
    operation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subresource: Option<Cow<'a, str>>,
    time: Option<Timestamp>,
    #[serde(borrow)]
    fields_type: Option<Cow<'a, str>>,
    #[serde(rename = "fieldsV1", borrow)]
    fields: Option<&'a RawValue>,
}

/// Reads `metadata.managedFields`.
///
/// # Errors
/// An entry that is none, in upstream's words.
pub fn read(json: &[u8]) -> Result<Vec<Manager>, String> {
    let list = Raw::new(json);
    if list.is_null() {
        return Ok(Vec::new());
    }
    if list.kind() != Kind::List {
        return Err("managedFields is not a list".to_owned());
    }
    let mut managers: Vec<Manager> = Vec::new();
    for (at, entry) in list.elements().into_iter().enumerate() {
        let manager = read_one(at, entry)?;
        match managers.iter_mut().find(|known| known.is(&manager)) {
            Some(known) => *known = manager,
            None => managers.push(manager),
        }
    }
    Ok(managers)
}

fn read_one(at: usize, entry: Raw<'_>) -> Result<Manager, String> {
    let wire: Wire<'_> = serde_json::from_slice(entry.text()).map_err(|error| error.to_string())?;
    let text = |text: Option<Cow<'_, str>>| text.unwrap_or_default().into_owned();
    let operation = match wire.operation.as_deref() {
        Some("Apply") => Operation::Apply,
        Some("Update") => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    let version = text(wire.api_version);
    if version.is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match wire.fields_type.as_deref().unwrap_or_default() {
        "FieldsV1" => {}
        "" => return Err(format!("missing fieldsType in managed fields entry {at}")),
        other => {
            return Err(format!(
                "invalid fieldsType {other:?} in managed fields entry {at}"
            ));
        }
    }
    let fields = match wire.fields {
        Some(fields) if fields.get() != "null" => fields_v1::read(Raw::new(fields.get().as_bytes())),
        _ => Ok(FieldSet::default()),
    };
    let fields = fields.map_err(|error| format!("error decoding set: {error}"))?;
    Ok(Manager {
        name: text(wire.manager),
        operation,
        version,
        subresource: text(wire.subresource),
        time: wire.time,
        fields,
    })
}

/// `metadata.managedFields`, in upstream's order; empty when nobody owns anything.
pub fn write(managers: &mut [Manager]) -> Vec<u8> {
    if managers.is_empty() {
        return Vec::new();
    }
    managers.sort_by(|a, b| a.key().cmp(&b.key()));
    let mut out = Vec::with_capacity(512);
    for manager in managers.iter() {
        out.push(if out.is_empty() { b'[' } else { b',' });
        write_one(manager, &mut out);
    }
    out.push(b']');
    out
}

fn write_one(manager: &Manager, out: &mut Vec<u8>) {
    let text = |name: &str, value: &str, out: &mut Vec<u8>| {
        if !value.is_empty() {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(serde_json::Value::from(value).to_string().as_bytes());
        }
    };
    text(r#"{"apiVersion":"#, &manager.version, out);
    out.extend_from_slice(br#","fieldsType":"FieldsV1","fieldsV1":"#);
    fields_v1::write(&manager.fields, out);
    text(r#","manager":"#, &manager.name, out);
    text(r#","operation":"#, manager.operation.name(), out);
    text(r#","subresource":"#, &manager.subresource, out);
    let time = manager
        .time
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    text(r#","time":"#, &time.unwrap_or_default(), out);
    out.push(b'}');
}

/// Whether the managed fields that a client sends say that all are to be forgotten: an empty list, or one empty entry.
pub fn is_reset(json: &[u8]) -> bool {
    let list = Raw::new(json);
    let empty = |entry: &Raw<'_>| entry.members().iter().all(|(_, value)| value.is_null());
    list.kind() == Kind::List
        && match list.elements().as_slice() {
            [] => true,
            [one] => empty(one),
            _ => false,
        }
}

/// Whether both are the same but for the times.
pub fn same_but_times(old: &[u8], new: &[u8]) -> bool {
    let timeless = |json: &[u8]| {
        let mut managers = read(json).ok()?;
        managers.iter_mut().for_each(|manager| manager.time = None);
        Some(write(&mut managers))
    };
    old == new || timeless(old).is_some_and(|old| timeless(new) == Some(old))
}
