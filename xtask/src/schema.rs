//! `cargo xtask schema`: makes the tables of field facts: from a published OpenAPI v2 document names, types, list and merge
//! keys; from upstream's protobuf files their numbers. Facts only, no prose.
#![expect(
    clippy::disallowed_types,
    reason = "reads a published document once, at development time"
)]

mod protobuf;

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/schema/tables/fields.txt");
const PROTOBUF: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../shared/schema/tables/protobuf.txt"
);

/// Command-line options of `cargo xtask schema`.
#[derive(clap::Args)]
pub struct Options {
    /// The OpenAPI v2 document, as JSON.
    #[arg(long, value_name = "FILE", required_unless_present = "protobuf")]
    openapi: Option<PathBuf>,
    /// A directory with upstream's modules api, apimachinery, apiextensions-apiserver and kube-aggregator.
    #[arg(long, value_name = "DIR")]
    protobuf: Option<PathBuf>,
    /// Only compare: fail if a committed table differs.
    #[arg(long)]
    check: bool,
}

/// Writes (or with `--check` compares) the tables; whether they are as wanted.
pub fn run(options: &Options) -> Result<bool> {
    let mut current = true;
    if let Some(file) = &options.openapi {
        let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let document: Value = serde_json::from_slice(&text).context("the document is not JSON")?;
        current &= keep(TABLE, &table(&document)?, options.check)?;
    }
    if let Some(directory) = &options.protobuf {
        let fields = fs::read_to_string(TABLE).context("reading the table of fields")?;
        current &= keep(PROTOBUF, &protobuf::table(directory, &fields)?, options.check)?;
    }
    Ok(current)
}

/// Writes or compares one table; whether it is as wanted.
fn keep(path: &str, table: &str, check: bool) -> Result<bool> {
    if check {
        let same = fs::read_to_string(path).is_ok_and(|committed| committed == table);
        println!(
            "{}",
            if same {
                "the table is current"
            } else {
                "the table differs: run cargo xtask schema"
            }
        );
        return Ok(same);
    }
    fs::write(path, table).context("writing the table")?;
    println!("{}", table.lines().nth(1).unwrap_or_default());
    Ok(true)
}

/// The table of `document`, in the format that the crate `schema` reads.
fn table(document: &Value) -> Result<String> {
    let definitions = document["definitions"].as_object().context("no definitions")?;
    let sorted: BTreeMap<&String, &Value> = definitions.iter().collect();
    let (mut types, mut fields, mut kinds, mut body) = (0, 0, 0, String::new());
    for (name, definition) in sorted {
        if !is_struct(name, definition) {
            continue;
        }
        types += 1;
        writeln!(body, "type {name}")?;
        for gvk in definition["x-kubernetes-group-version-kind"]
            .as_array()
            .into_iter()
            .flatten()
        {
            kinds += 1;
            let part = |key: &str| gvk[key].as_str().unwrap_or_default();
            let slash = if part("group").is_empty() { "" } else { "/" };
            writeln!(
                body,
                "kind {}{slash}{} {}",
                part("group"),
                part("version"),
                part("kind")
            )?;
        }
        if let Some(map) = definition["x-kubernetes-map-type"].as_str() {
            writeln!(body, "map {map}")?;
        }
        let required: Vec<&str> = definition["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let properties: BTreeMap<&String, &Value> = definition["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .collect();
        for (field, property) in properties {
            fields += 1;
            let mark = if required.contains(&field.as_str()) {
                "!"
            } else {
                ""
            };
            writeln!(
                body,
                " {field}{mark} {}{}",
                field_shape(property, definitions),
                merging(property)
            )?;
        }
    }
    Ok(format!(
        "fields 1\ntypes={types} fields={fields} kinds={kinds}\n{body}"
    ))
}

/// How lists and maps at a field are merged: the `x-kubernetes-*` extensions as `key=value` words.
fn merging(property: &Value) -> String {
    let mut words = String::new();
    for (word, extension) in [
        ("patch", "x-kubernetes-patch-strategy"),
        ("key", "x-kubernetes-patch-merge-key"),
        ("list", "x-kubernetes-list-type"),
        ("map", "x-kubernetes-map-type"),
    ] {
        if let Some(value) = property[extension].as_str() {
            words.push_str(&format!(" {word}={value}"));
        }
    }
    let keys: Vec<&str> = property["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !keys.is_empty() {
        words.push_str(&format!(" keys={}", keys.join(",")));
    }
    words
}

/// The shape of a field: a scalar's word, `[]` or `{}` before the shape of the elements, or the name of a type.
fn field_shape(property: &Value, definitions: &serde_json::Map<String, Value>) -> String {
    if let Some(reference) = property["$ref"].as_str() {
        let name = reference.trim_start_matches("#/definitions/");
        return match name.rsplit('.').next() {
            Some("Quantity") => "quantity".into(),
            Some("Time") => "time".into(),
            Some("MicroTime") => "microtime".into(),
            Some("IntOrString") => "int-or-string".into(),
            _ if definitions
                .get(name)
                .is_some_and(|definition| is_struct(name, definition)) =>
            {
                name.into()
            }
            _ => "raw".into(),
        };
    }
    match property["type"].as_str() {
        Some("array") => format!("[]{}", field_shape(&property["items"], definitions)),
        Some("object") if property["additionalProperties"].is_object() => {
            format!(
                "{{}}{}",
                field_shape(&property["additionalProperties"], definitions)
            )
        }
        _ => shape(property).into(),
    }
}

/// What an inline schema is: a scalar's word, or `raw` for anything.
fn shape(schema: &Value) -> &'static str {
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
