//! Structural schemas: the types of custom resources, as their definitions give them, and what follows from them:
//! pruning, defaults, validation, publication.

mod columns;
mod defaults;
mod expressions;
mod formats;
mod instance;
mod lists;
mod metadata;
mod parse;
mod pattern;
mod prune;
mod published;
mod rules;
#[cfg(test)]
mod tests;
mod validate;
mod value;

pub use columns::JsonPath;
pub use expressions::{Rules, Verdict, cel_shape};
pub use instance::{Instance, StrictInstance};
pub use published::Published;

use parse::{additional, integer, items, nonempty, present};
use pattern::Pattern;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A rule of `x-kubernetes-validations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "PascalCase"), default)]
pub struct Rule {
    /// The expression.
    pub rule: String,
    /// What to say when it is false.
    pub message: String,
    /// The expression that says it.
    pub message_expression: String,
    /// The reason of the cause; empty: `FieldValueInvalid`.
    pub reason: String,
    /// The field that is at fault, from here.
    pub field_path: String,
    /// Whether `oldSelf` is an optional.
    pub optional_old_self: Option<bool>,
}

/// What the properties that a schema does not name may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Additional {
    /// Anything, or nothing.
    Any(bool),
    /// This.
    Schema(Box<Structural>),
}

/// What the elements of a list are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Items {
    One(Box<Structural>),
    /// One each: not structural.
    Each(usize),
}

/// A schema as a definition has it (`JSONSchemaProps`). Parsing takes any; [`Structural::check`] says what is not
/// structural, and all else relies on that.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Structural {
    /// There is an `id`, and so on.
    #[serde(deserialize_with = "present")]
    pub(crate) id: bool,
    #[serde(rename = "$ref", deserialize_with = "present")]
    pub(crate) reference: bool,
    /// There is a description.
    #[serde(deserialize_with = "nonempty")]
    pub(crate) description: bool,
    #[serde(deserialize_with = "nonempty")]
    pub(crate) title: bool,
    #[serde(rename = "type")]
    pub(crate) ty: String,
    pub(crate) format: String,
    pub(crate) default: Option<Value>,
    pub(crate) nullable: bool,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_maximum: bool,
    pub(crate) minimum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    #[serde(deserialize_with = "integer")]
    pub(crate) max_length: Option<i64>,
    #[serde(deserialize_with = "integer")]
    pub(crate) min_length: Option<i64>,
    pub(crate) pattern: Pattern,
    #[serde(deserialize_with = "integer")]
    pub(crate) max_items: Option<i64>,
    #[serde(deserialize_with = "integer")]
    pub(crate) min_items: Option<i64>,
    pub(crate) unique_items: bool,
    pub(crate) multiple_of: Option<f64>,
    #[serde(rename = "enum")]
    pub(crate) choices: Vec<Value>,
    #[serde(deserialize_with = "integer")]
    pub(crate) max_properties: Option<i64>,
    #[serde(deserialize_with = "integer")]
    pub(crate) min_properties: Option<i64>,
    pub(crate) required: Vec<String>,
    #[serde(deserialize_with = "items")]
    pub(crate) items: Option<Items>,
    pub(crate) all_of: Vec<Structural>,
    pub(crate) one_of: Vec<Structural>,
    pub(crate) any_of: Vec<Structural>,
    pub(crate) not: Option<Box<Structural>>,
    pub(crate) properties: BTreeMap<String, Structural>,
    #[serde(deserialize_with = "additional")]
    pub(crate) additional_properties: Option<Additional>,
    #[serde(deserialize_with = "present")]
    pub(crate) pattern_properties: bool,
    #[serde(deserialize_with = "present")]
    pub(crate) dependencies: bool,
    #[serde(deserialize_with = "present")]
    pub(crate) additional_items: bool,
    #[serde(deserialize_with = "present")]
    pub(crate) definitions: bool,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    pub(crate) preserve_unknown: Option<bool>,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    pub(crate) embedded: bool,
    #[serde(rename = "x-kubernetes-int-or-string")]
    pub(crate) int_or_string: bool,
    #[serde(rename = "x-kubernetes-list-type")]
    pub(crate) list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub(crate) list_map_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    pub(crate) map_type: Option<String>,
    #[serde(rename = "x-kubernetes-validations")]
    pub(crate) validations: Vec<Rule>,
}

impl Structural {
    /// Reads an `openAPIV3Schema`.
    ///
    /// # Errors
    /// Text that is not one, in a decoder's words.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }

    /// The type: `object`, `array`, `string`, …; empty when it is not said.
    pub fn type_name(&self) -> &str {
        &self.ty
    }

    /// The schema of the property `name`: its own, else that of additional properties.
    pub fn property(&self, name: &str) -> Option<&Structural> {
        self.properties.get(name).or_else(|| self.additional())
    }

    /// The properties with names, sorted.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &Structural)> {
        self.properties
            .iter()
            .map(|(name, schema)| (name.as_str(), schema))
    }

    /// The schema of properties without a name of their own.
    pub fn additional(&self) -> Option<&Structural> {
        match &self.additional_properties {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        }
    }

    /// What properties without a name of their own may be.
    pub fn additional_properties(&self) -> Option<&Additional> {
        self.additional_properties.as_ref()
    }

    /// The schema of the elements.
    pub fn items(&self) -> Option<&Structural> {
        match &self.items {
            Some(Items::One(schema)) => Some(schema),
            _ => None,
        }
    }

    /// `atomic`, `set` or `map`; what is not said is atomic.
    pub fn list_type(&self) -> &str {
        self.list_type.as_deref().unwrap_or("atomic")
    }

    /// The keys of a list that is a map.
    pub fn list_map_keys(&self) -> &[String] {
        &self.list_map_keys
    }

    /// `granular` or `atomic`; what is not said is granular.
    pub fn map_type(&self) -> &str {
        self.map_type.as_deref().unwrap_or("granular")
    }

    /// The default.
    pub fn default_value(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// Fields that no schema names stay.
    pub fn preserve_unknown(&self) -> bool {
        self.preserve_unknown == Some(true)
    }

    /// A number or a text.
    pub fn int_or_string(&self) -> bool {
        self.int_or_string
    }

    /// An object of some kind.
    pub fn embedded(&self) -> bool {
        self.embedded
    }

    /// May be null.
    pub fn nullable(&self) -> bool {
        self.nullable
    }

    /// The rules in CEL.
    pub fn rules(&self) -> &[Rule] {
        &self.validations
    }
}
