//! A custom resource as a document.

use super::{
    Rules, Structural, Verdict, defaults,
    expressions::Ratchet,
    lists, metadata,
    prune::{Dropped, prune},
    validate,
    value::{at, normalize},
};
use crate::{
    document::{read, write},
    syntax::SyntaxError,
};
use api::field::{self, Error, ErrorType};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A custom resource, or any object without a type of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance(Value);

/// An object in shape, and what was dropped for it.
#[derive(Clone, Debug)]
pub struct StrictInstance {
    /// The object.
    pub instance: Instance,
    /// Paths of the fields that its schema does not name, sorted.
    pub unknown: Vec<String>,
}

impl Instance {
    /// Reads an object.
    ///
    /// # Errors
    /// Text that is not JSON, or no object.
    pub fn parse(json: &[u8]) -> Result<Self, SyntaxError> {
        let mut value = read(json)?;
        if !value.is_object() {
            let kind = crate::document::go_kind(&value);
            let why =
                format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}");
            return Err(SyntaxError(why));
        }
        normalize(&mut value);
        Ok(Self(value))
    }

    /// Fills defaults, drops nulls that stand for nothing, brings metadata in shape and drops what `schema` does not
    /// name; with `preserve` (and without a schema) the rest stays.
    ///
    /// # Errors
    /// Metadata that cannot be read.
    pub fn shaped(mut self, schema: Option<&Structural>, preserve: bool) -> Result<StrictInstance, String> {
        if let Some(schema) = schema {
            defaults::fill(&mut self.0, schema);
            defaults::drop_nulls(&mut self.0, Some(schema));
        }
        let mut unknown = Vec::new();
        metadata::coerce(&mut self.0, schema, "", true, &mut unknown)?;
        if !preserve {
            let mut dropped = Dropped::default();
            prune(&mut self.0, schema, true, &mut dropped);
            unknown.extend(dropped.paths);
        }
        unknown.sort();
        Ok(StrictInstance {
            instance: self,
            unknown,
        })
    }

    /// Drops what `schema` does not name.
    pub fn pruned(mut self, schema: Option<&Structural>) -> Self {
        prune(&mut self.0, schema, true, &mut Dropped::default());
        self
    }

    /// The text.
    pub fn to_json(&self) -> Vec<u8> {
        write(&self.0)
    }

    fn members(&mut self) -> Option<&mut Map<String, Value>> {
        self.0.as_object_mut()
    }

    /// A member, decoded; its type's default when it is not there.
    ///
    /// # Errors
    /// The decoder's words.
    pub fn member<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(T::default()),
            Some(value) => serde_json::from_value(value.clone()).map_err(|error| error.to_string()),
        }
    }

    /// Sets a member to the value of `json`.
    ///
    /// # Errors
    /// Text that is not JSON.
    pub fn set(&mut self, name: &str, json: &[u8]) -> Result<(), SyntaxError> {
        let value = read(json)?;
        if let Some(members) = self.members() {
            members.insert(name.to_owned(), value);
        }
        Ok(())
    }

    /// Sets a member to a text.
    pub fn set_text(&mut self, name: &str, text: &str) {
        if let Some(members) = self.members() {
            members.insert(name.to_owned(), text.into());
        }
    }

    /// Takes a member away.
    pub fn remove(&mut self, name: &str) {
        if let Some(members) = self.members() {
            members.remove(name);
        }
    }

    /// Gives the member the value that it has in `other`, or takes it away.
    pub fn copy(&mut self, name: &str, other: &Self) {
        let value = other.0.get(name).cloned();
        if let Some(members) = self.members() {
            match value {
                Some(value) => members.insert(name.to_owned(), value),
                None => members.remove(name),
            };
        }
    }

    /// A text member.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether all but the member `name` is the same.
    pub fn same_but(&self, name: &str, other: &Self) -> bool {
        let rest = |instance: &'_ Self| -> Vec<(String, Value)> {
            let members = instance.0.as_object().into_iter().flatten();
            members
                .filter(|(key, _)| *key != name)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        rest(self) == rest(other)
    }

    /// The whole number at a dotted path; none when there is nothing.
    ///
    /// # Errors
    /// What is there instead, in upstream's words.
    pub fn integer(&self, path: &str) -> Result<Option<i64>, String> {
        match at(&self.0, path) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| odd(path, value, "int64")),
        }
    }

    /// The text at a dotted path; none when there is nothing.
    ///
    /// # Errors
    /// What is there instead, in upstream's words.
    pub fn string(&self, path: &str) -> Result<Option<&str>, String> {
        match at(&self.0, path) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| odd(path, value, "string")),
        }
    }

    /// Whether it is what `schema` says. What is as in `old` may stay as it is.
    pub fn check(&self, schema: &Structural, old: Option<&Self>) -> Vec<Error> {
        let mut errors = validate::check("", &self.0, old.map(|old| &old.0), schema);
        metadata::check_embedded("", &self.0, schema, &mut errors);
        let lists = |instance: &Self| {
            let mut errors = Vec::new();
            lists::check("", schema, &instance.0, &mut errors);
            errors
        };
        // What was not unique before may stay so.
        if old.is_none_or(|old| lists(old).is_empty()) {
            errors.extend(lists(self));
        }
        errors
    }

    /// The same of the member `name` alone.
    pub fn check_member(&self, name: &str, schema: &Structural, old: Option<&Self>) -> Vec<Error> {
        let (Some(value), Some(schema)) = (self.0.get(name), schema.property(name)) else {
            return Vec::new();
        };
        let of = |instance: &Self| instance.0.get(name).cloned();
        let before = old.and_then(of);
        let mut errors = validate::check(name, value, before.as_ref(), schema);
        metadata::check_embedded(name, value, schema, &mut errors);
        let lists = |value: &Value| {
            let mut errors = Vec::new();
            lists::check(name, schema, value, &mut errors);
            errors
        };
        if before.as_ref().is_none_or(|old| lists(old).is_empty()) {
            errors.extend(lists(value));
        }
        errors
    }

    /// Runs the rules in CEL of `schema`, compiled, unless the form of the object itself is wrong by `errors` already; `old`
    /// is what it was before.
    pub fn run(&self, schema: &Structural, rules: &Rules, old: Option<&Self>, errors: &[Error]) -> Verdict {
        let blocking = |error: &Error| {
            matches!(
                error.kind,
                ErrorType::NotSupported
                    | ErrorType::Required
                    | ErrorType::TooLong
                    | ErrorType::TooMany
                    | ErrorType::TypeInvalid
            )
        };
        if errors.iter().any(blocking) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing \
                       errors to complete validation";
            return Verdict {
                errors: vec![Error::invalid("<nil>", (), why)],
                warnings: Vec::new(),
            };
        }
        rules.run(schema, "", &self.0, old.map(|old| &old.0), Ratchet::On)
    }

    /// The value itself.
    pub fn value(&self) -> &Value {
        &self.0
    }
}

fn odd(path: &str, value: &Value, wanted: &str) -> String {
    let path = field::child("", path.trim_start_matches('.'));
    let (text, ty) = (crate::document::go_print(value), crate::document::go_type(value));
    format!(".{path} accessor error: {text} is of the type {ty}, expected {wanted}")
}
