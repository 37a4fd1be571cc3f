//! The table of fields, and what of it a published OpenAPI v2 document says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Types by name.
#[derive(Default)]
pub struct Table(pub BTreeMap<String, Type>);

/// A type.
#[derive(Default)]
pub struct Type {
    /// `GROUP/VERSION KIND`.
    pub kinds: BTreeSet<String>,
    /// How the whole of it is merged.
    pub map: String,
    /// Fields by name.
    pub fields: BTreeMap<String, Field>,
}

/// A field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Whether the published schema requires it.
    pub required: bool,
    /// Whether upstream writes it even when empty.
    pub written: bool,
    /// A scalar's word, `[]` or `{}` before the shape of the elements, or the name of a type.
    pub shape: String,
    /// How it is merged, as `key=value` words.
    pub merging: Merging,
}

/// How a list or map is merged, by word: `patch`, `key`, `list`, `keys`, `map`.
pub type Merging = BTreeMap<String, String>;

/// The words of merging, as the table orders them.
pub const WORDS: [&str; 5] = ["patch", "key", "list", "map", "keys"];

impl Field {
    /// The mark behind its name.
    fn mark(&self) -> &'static str {
        match (self.required, self.written) {
            (true, true) => "!",
            (true, false) => "?",
            (false, true) => "+",
            (false, false) => "",
        }
    }
}

impl Table {
    /// The text that the crate `schema` reads.
    pub fn text(&self) -> Result<String> {
        let mut body = String::new();
        for (name, ty) in &self.0 {
            writeln!(body, "type {name}")?;
            for kind in &ty.kinds {
                writeln!(body, "kind {kind}")?;
            }
            if !ty.map.is_empty() {
                writeln!(body, "map {}", ty.map)?;
            }
            for (name, field) in &ty.fields {
                write!(body, " {name}{} {}", field.mark(), field.shape)?;
                for (word, value) in WORDS
                    .iter()
                    .filter_map(|word| Some((word, field.merging.get(*word)?)))
                {
                    write!(body, " {word}={value}")?;
                }
                body.push('\n');
            }
        }
        let types = self.0.len();
        let fields: usize = self.0.values().map(|ty| ty.fields.len()).sum();
        let kinds: usize = self.0.values().map(|ty| ty.kinds.len()).sum();
        Ok(format!(
            "fields 1\ntypes={types} fields={fields} kinds={kinds}\n{body}"
        ))
    }

    /// Reads its text.
    pub fn read(text: &str) -> Result<Self> {
        let (mut table, mut ty) = (Self::default(), &mut Type::default());
        for line in text.lines().skip(2) {
            match line.split_once(' ').context("a line of one word")? {
                ("type", name) => ty = table.0.entry(name.to_owned()).or_default(),
                ("kind", kind) => _ = ty.kinds.insert(kind.to_owned()),
                ("map", map) => map.clone_into(&mut ty.map),
                ("", line) => {
                    let (name, field) = read_field(line)?;
                    ty.fields.insert(name, field);
                }
                _ => bail!("unknown line {line:?}"),
            }
        }
        Ok(table)
    }

    /// What the document says.
    pub fn of_document(document: &Value) -> Result<Self> {
        let definitions = document["definitions"].as_object().context("no definitions")?;
        let structs = definitions
            .iter()
            .filter(|(name, definition)| is_struct(name, definition));
        let types = structs.map(|(name, definition)| (name.clone(), type_of(definition)));
        Ok(Self(types.collect()))
    }
}

fn read_field(line: &str) -> Result<(String, Field)> {
    let mut words = line.split(' ');
    let marked = words.next().unwrap_or_default();
    let name = marked.trim_end_matches(['!', '?', '+']);
    let mark = &marked[name.len()..];
    let field = Field {
        required: matches!(mark, "!" | "?"),
        written: matches!(mark, "!" | "+"),
        shape: words.next().context("a field without a shape")?.to_owned(),
        merging: merging_words(words)?,
    };
    Ok((name.to_owned(), field))
}

/// Reads `key=value` words.
pub fn merging_words<'a>(words: impl Iterator<Item = &'a str>) -> Result<Merging> {
    let pair = |word: &'a str| {
        let (key, value) = word
            .split_once('=')
            .with_context(|| format!("no value in {word:?}"))?;
        anyhow::ensure!(WORDS.contains(&key), "unknown word {word:?}");
        Ok((key.to_owned(), value.to_owned()))
    };
    words.map(pair).collect()
}

fn type_of(definition: &Value) -> Type {
    let required: Vec<&str> = texts(&definition["required"]).collect();
    let field = |(name, property): (&String, &Value)| {
        let required = required.contains(&name.as_str());
        let field = Field {
            required,
            written: required,
            shape: field_shape(property),
            merging: merging(property),
        };
        (name.clone(), field)
    };
    Type {
        kinds: elements(&definition["x-kubernetes-group-version-kind"])
            .map(kind)
            .collect(),
        map: definition["x-kubernetes-map-type"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        fields: definition["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(field)
            .collect(),
    }
}

/// `GROUP/VERSION KIND`.
fn kind(gvk: &Value) -> String {
    let part = |key: &str| gvk[key].as_str().unwrap_or_default();
    let slash = if part("group").is_empty() { "" } else { "/" };
    format!("{}{slash}{} {}", part("group"), part("version"), part("kind"))
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    elements(list).filter_map(Value::as_str)
}

/// The `x-kubernetes-*` extensions of a field.
fn merging(property: &Value) -> Merging {
    let words = [
        ("patch", "x-kubernetes-patch-strategy"),
        ("key", "x-kubernetes-patch-merge-key"),
        ("list", "x-kubernetes-list-type"),
        ("map", "x-kubernetes-map-type"),
    ];
    let keys: Vec<&str> = texts(&property["x-kubernetes-list-map-keys"]).collect();
    let keys = (!keys.is_empty()).then(|| ("keys".to_owned(), keys.join(",")));
    let value =
        |(word, extension): (&str, &str)| Some((word.to_owned(), property[extension].as_str()?.to_owned()));
    words.into_iter().filter_map(value).chain(keys).collect()
}

fn field_shape(property: &Value) -> String {
    if let Some(reference) = property["$ref"].as_str() {
        let name = reference.trim_start_matches("#/definitions/");
        return match name.rsplit('.').next() {
            Some("Quantity") => "quantity".into(),
            Some("Time") => "time".into(),
            Some("MicroTime") => "microtime".into(),
            Some("IntOrString") => "int-or-string".into(),
            _ => name.into(),
        };
    }
    match property["type"].as_str() {
        Some("array") => format!("[]{}", field_shape(&property["items"])),
        Some("object") if property["additionalProperties"].is_object() => {
            format!("{{}}{}", field_shape(&property["additionalProperties"]))
        }
        _ => scalar(property).into(),
    }
}

/// What an inline schema is: a scalar's word, or `raw` for anything.
fn scalar(schema: &Value) -> &'static str {
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("string"), Some("byte")) => "bytes",
        (Some("string"), _) => "string",
        (Some("integer"), Some("int64")) => "int64",
        (Some("integer"), _) => "int32",
        (Some("number"), _) => "float",
        (Some("boolean"), _) => "bool",
        _ => "raw",
    }
}

/// Whether the named definition is a struct; some without fields are, and some hold text that a decoder of their own reads.
fn is_struct(name: &str, definition: &Value) -> bool {
    let raw = [".RawExtension", ".FieldsV1", ".Patch"]
        .iter()
        .any(|end| name.ends_with(end));
    definition["type"] == "object" && !raw
}
