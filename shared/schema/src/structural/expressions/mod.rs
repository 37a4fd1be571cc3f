//! The rules of `x-kubernetes-validations`: compiled once with their schema, judged as a definition, run on objects.

mod definition;
mod field_path;
mod run;
#[cfg(test)]
mod stories;
mod typed;

use super::{Rule, Structural};
use cel::{Environment, Issue, Program, Schema, Shape, Type};
use std::{collections::BTreeMap, sync::Arc};

pub(super) use definition::check;
pub(super) use field_path::normalized as field_path;
pub(super) use run::Ratchet;
pub use run::Verdict;
pub use typed::cel_shape;

/// How errors call the type of `self`.
const SELF_TYPE: &str = "selfType";

impl Schema for Structural {
    fn type_name(&self) -> &str {
        self.type_name()
    }

    fn format(&self) -> &str {
        &self.format
    }

    fn int_or_string(&self) -> bool {
        self.int_or_string
    }

    fn embedded(&self) -> bool {
        self.embedded
    }

    fn properties(&self) -> Vec<(&str, &dyn Schema)> {
        let properties = self.properties.iter();
        properties
            .map(|(name, schema)| (name.as_str(), schema as &dyn Schema))
            .collect()
    }

    fn additional(&self) -> Option<&dyn Schema> {
        self.additional().map(|schema| schema as &dyn Schema)
    }

    fn items(&self) -> Option<&dyn Schema> {
        self.items().map(|schema| schema as &dyn Schema)
    }

    fn required(&self) -> &[String] {
        &self.required
    }

    fn has_default(&self) -> bool {
        self.default.is_some()
    }

    fn max_length(&self) -> Option<i64> {
        self.max_length
    }

    fn max_items(&self) -> Option<i64> {
        self.max_items
    }

    fn max_properties(&self) -> Option<i64> {
        self.max_properties
    }

    fn longest_choice(&self) -> Option<usize> {
        let texts = self.choices.iter().filter_map(|choice| choice.as_str());
        texts
            .map(str::len)
            .max()
            .or((!self.choices.is_empty()).then_some(0))
    }

    fn list_type(&self) -> &str {
        self.list_type()
    }

    fn list_map_keys(&self) -> &[String] {
        &self.list_map_keys
    }
}

/// The rules of a schema, compiled.
#[derive(Debug)]
pub struct Rules {
    root: Node,
}

/// The rules of one schema, and of those below it that have any.
#[derive(Debug, Default)]
struct Node {
    rules: Vec<Compiled>,
    shape: Option<Arc<Shape>>,
    items: Option<Box<Node>>,
    properties: BTreeMap<String, Node>,
    additional: Option<Box<Node>>,
}

#[derive(Debug)]
struct Compiled {
    rule: Rule,
    /// The expression, or why there is none.
    program: Result<Program, String>,
    /// The expression that says what to say; none also if it does not compile.
    message: Option<Result<Program, String>>,
    /// It compares with what was before.
    transition: bool,
    /// The field at fault, from here; empty: this one.
    field: String,
}

impl Rules {
    /// Compiles the rules of the schema of a resource; none when it has none.
    pub fn of(schema: &Structural) -> Option<Self> {
        let root = node(schema, true)?;
        Some(Self { root })
    }
}

fn node(schema: &Structural, resource_root: bool) -> Option<Node> {
    let below = |schema: &Structural| node(schema, schema.embedded);
    let mut made = Node {
        items: schema.items().and_then(below).map(Box::new),
        additional: schema.additional().and_then(below).map(Box::new),
        properties: schema
            .properties
            .iter()
            .filter_map(|(name, schema)| Some((name.clone(), below(schema)?)))
            .collect(),
        ..Node::default()
    };
    if !schema.validations.is_empty()
        && let Some(shape) = Shape::of(schema, SELF_TYPE, resource_root)
    {
        made.rules = compile(schema, &shape);
        made.shape = Some(shape);
    }
    let empty = made.rules.is_empty() && made.items.is_none() && made.additional.is_none();
    (!empty || !made.properties.is_empty()).then_some(made)
}

/// Compiles the rules of one schema.
fn compile(schema: &Structural, shape: &Arc<Shape>) -> Vec<Compiled> {
    let plain = Environment::kubernetes()
        .shaped("self", shape)
        .shaped("oldSelf", shape);
    let optional = plain.clone().variable("oldSelf", Type::optional(shape.of_type()));
    let rules = schema.validations.iter();
    rules
        .map(|rule| {
            let environment = if rule.optional_old_self == Some(true) {
                &optional
            } else {
                &plain
            };
            compile_rule(schema, rule, environment)
        })
        .collect()
}

fn compile_rule(schema: &Structural, rule: &Rule, environment: &Environment) -> Compiled {
    let program = Program::compile(&rule.rule, environment)
        .map_err(|issues| format!("compilation failed: {}", Issue::join(&issues)))
        .and_then(|program| match program.result_type() {
            Type::Bool => Ok(program),
            _ => Err("cel expression must evaluate to a bool".to_owned()),
        });
    let message = (!rule.message_expression.is_empty() && program.is_ok()).then(|| {
        let program = Program::compile(&rule.message_expression, environment)
            .map_err(|issues| format!("messageExpression compilation failed: {}", Issue::join(&issues)))?;
        match program.result_type() {
            Type::String => Ok(program),
            _ => Err("messageExpression must evaluate to a string".to_owned()),
        }
    });
    Compiled {
        transition: program
            .as_ref()
            .is_ok_and(|program| program.used().contains("oldSelf")),
        field: field_path::normalized(&rule.field_path, schema).unwrap_or_default(),
        rule: rule.clone(),
        program,
        message,
    }
}
