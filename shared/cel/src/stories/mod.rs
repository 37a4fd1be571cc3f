//! Tables of expressions: what they are, what is wrong with them, what they cost.

mod costs;
mod errors;
mod kubernetes;
mod language;
mod limits;

use crate::{Bindings, Budget, Environment, EvalError, Issue, Library, Program, Schema, Type};
use serde_json::{Value as Json, json};

/// Every library, and `x` that may be anything.
fn everything() -> Environment {
    let more = [
        Library::Math,
        Library::Encoders,
        Library::RegexExtended,
        Library::Bindings,
        Library::Mutation,
    ];
    let environment = more
        .into_iter()
        .fold(Environment::kubernetes(), Environment::with);
    environment.variable("x", Type::Dyn)
}

/// The value of `source`, as it prints; or its error.
fn value(source: &str) -> String {
    value_of(
        source,
        &json!({"a": 1, "list": [1, 2, 3], "text": "hi", "map": {"k": "v"}, "none": null}),
    )
}

fn value_of(source: &str, x: &Json) -> String {
    let program = match Program::compile(source, &everything()) {
        Ok(program) => program,
        Err(issues) => return Issue::join(&issues),
    };
    let bindings = Bindings::new().with("x", crate::Value::json(x, None));
    match program.evaluate(&bindings, &mut Budget::default()) {
        Ok(value) => format!("{value:?}"),
        Err(EvalError::Failed(message)) => format!("error: {message}"),
        Err(error) => format!("stopped: {error}"),
    }
}

fn holds(table: &[(&str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(source, wanted)| {
            let got = value(source);
            (got != *wanted).then(|| format!("{source}\n  wanted {wanted}\n  got    {got}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A schema as JSON has it.
struct Written<'j>(
    &'j Json,
    Vec<String>,
    Vec<String>,
    Vec<(&'j str, Written<'j>)>,
    Option<Box<Written<'j>>>,
    Option<Box<Written<'j>>>,
);

impl<'j> Written<'j> {
    fn new(json: &'j Json) -> Self {
        let texts = |name: &str| {
            let list = json[name].as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter()
                .filter_map(|text| text.as_str().map(String::from))
                .collect()
        };
        let members = json["properties"].as_object().into_iter().flatten();
        let properties = members
            .map(|(name, inner)| (name.as_str(), Written::new(inner)))
            .collect();
        let inner = |name: &str| json.get(name).map(|inner| Box::new(Written::new(inner)));
        Self(
            json,
            texts("required"),
            texts("x-kubernetes-list-map-keys"),
            properties,
            inner("items"),
            inner("additionalProperties"),
        )
    }
}

impl Schema for Written<'_> {
    fn type_name(&self) -> &str {
        self.0["type"].as_str().unwrap_or_default()
    }

    fn format(&self) -> &str {
        self.0["format"].as_str().unwrap_or_default()
    }

    fn int_or_string(&self) -> bool {
        self.0["x-kubernetes-int-or-string"] == true
    }

    fn properties(&self) -> Vec<(&str, &dyn Schema)> {
        self.3
            .iter()
            .map(|(name, inner)| (*name, inner as &dyn Schema))
            .collect()
    }

    fn additional(&self) -> Option<&dyn Schema> {
        self.5.as_deref().map(|inner| inner as &dyn Schema)
    }

    fn items(&self) -> Option<&dyn Schema> {
        self.4.as_deref().map(|inner| inner as &dyn Schema)
    }

    fn required(&self) -> &[String] {
        &self.1
    }

    fn max_length(&self) -> Option<i64> {
        self.0["maxLength"].as_i64()
    }

    fn max_items(&self) -> Option<i64> {
        self.0["maxItems"].as_i64()
    }

    fn max_properties(&self) -> Option<i64> {
        self.0["maxProperties"].as_i64()
    }

    fn list_type(&self) -> &str {
        self.0["x-kubernetes-list-type"].as_str().unwrap_or("atomic")
    }

    fn list_map_keys(&self) -> &[String] {
        &self.2
    }
}
