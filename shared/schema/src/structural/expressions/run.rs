//! Running the rules on an object.

use super::super::{Structural, lists::key_of};
use super::{Compiled, Node, Rules};
use api::field::{self, Error};
use cel::{Bindings, Budget, EvalError, MAX_MESSAGE_BYTES, RUNTIME_BUDGET, Value as Cel};
use serde_json::{Map, Value};
use std::cell::OnceCell;

const NO_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// What rules say of an object.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Why it is refused.
    pub errors: Vec<Error>,
    /// What is wrong as it was before.
    pub warnings: Vec<String>,
}

/// Whether what did not change may stay wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::structural) enum Ratchet {
    On,
    Off,
}

/// A value and what it was before.
struct Pair<'v> {
    new: &'v Value,
    old: &'v Value,
    same: OnceCell<bool>,
}

impl<'v> Pair<'v> {
    fn new(new: &'v Value, old: &'v Value) -> Self {
        let same = OnceCell::new();
        Self { new, old, same }
    }

    fn same(&self) -> bool {
        *self.same.get_or_init(|| self.new == self.old)
    }
}

/// What is known of a value's past: for ratcheting.
#[derive(Clone, Copy, Default)]
struct Past<'f, 'v> {
    current: Option<&'f Pair<'v>>,
    /// Of the nearest value above that has one.
    above: Option<&'f Pair<'v>>,
}

impl Past<'_, '_> {
    /// Nothing changed here, so what is wrong may stay.
    fn unchanged(&self) -> bool {
        self.current.or(self.above).is_some_and(Pair::same)
    }
}

struct Run {
    budget: Budget,
    /// No more rules are run.
    over: bool,
    verdict: Verdict,
}

/// Where a value stands, and its schema.
struct Place<'p> {
    path: &'p str,
    node: &'p Node,
    schema: &'p Structural,
}

impl Rules {
    /// Runs the rules on an object, `schema` being that of which they were compiled; `old` is what it was before.
    pub(in crate::structural) fn run(
        &self,
        schema: &Structural,
        path: &str,
        value: &Value,
        old: Option<&Value>,
        ratchet: Ratchet,
    ) -> Verdict {
        let mut run = Run {
            budget: Budget::new(RUNTIME_BUDGET),
            over: false,
            verdict: Verdict::default(),
        };
        let place = Place {
            path,
            node: &self.root,
            schema,
        };
        let pair = old
            .filter(|_| ratchet == Ratchet::On)
            .map(|old| Pair::new(value, old));
        let past = Past {
            current: pair.as_ref(),
            above: None,
        };
        run.node(&place, value, old, past);
        run.verdict
    }
}

impl Run {
    fn node(&mut self, place: &Place<'_>, value: &Value, old: Option<&Value>, past: Past<'_, '_>) {
        let old = old.filter(|old| !old.is_null());
        if value.is_null() {
            return;
        }
        self.rules(place, value, old, past);
        match value {
            Value::Array(items) => self.items(place, items, old, past),
            Value::Object(members) => self.members(place, members, old, past),
            _ => {}
        }
    }

    fn items(&mut self, place: &Place<'_>, items: &[Value], old: Option<&Value>, past: Past<'_, '_>) {
        let (Some(node), Some(schema)) = (&place.node.items, place.schema.items()) else {
            return;
        };
        let map = place.schema.list_type() == "map";
        let olds = old
            .and_then(Value::as_array)
            .filter(|_| map)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let keys: Vec<Value> = olds.iter().map(|old| key_of(place.schema, old)).collect();
        for (index, item) in items.iter().enumerate() {
            if self.over {
                return;
            }
            let before = if olds.is_empty() {
                None
            } else {
                let key = key_of(place.schema, item);
                keys.iter().position(|known| *known == key).map(|at| &olds[at])
            };
            let inner = Place {
                path: &field::index(place.path, index),
                node,
                schema,
            };
            let pair = before.map(|before| Pair::new(item, before));
            self.node(&inner, item, before, past.below(pair.as_ref()));
        }
    }

    fn members(
        &mut self,
        place: &Place<'_>,
        members: &Map<String, Value>,
        old: Option<&Value>,
        past: Past<'_, '_>,
    ) {
        for (name, value) in members {
            if self.over {
                return;
            }
            let named = place
                .node
                .properties
                .get(name)
                .zip(place.schema.properties.get(name));
            let other = place.node.additional.as_deref().zip(place.schema.additional());
            let (path, (node, schema)) = match (named, other) {
                (Some(named), _) => (field::child(place.path, name), named),
                (None, Some(other)) => (field::key(place.path, name), other),
                (None, None) => continue,
            };
            let before = old.and_then(|old| old.get(name));
            let inner = Place {
                path: &path,
                node,
                schema,
            };
            let pair = before.map(|before| Pair::new(value, before));
            // A change of the version shows in neither.
            let hidden = past.above.is_none() && matches!(name.as_str(), "apiVersion" | "kind");
            let past = if hidden {
                Past::default()
            } else {
                past.below(pair.as_ref())
            };
            self.node(&inner, value, before, past);
        }
    }

    fn rules(&mut self, place: &Place<'_>, value: &Value, old: Option<&Value>, past: Past<'_, '_>) {
        let Some(shape) = &place.node.shape else { return };
        let mut plain = Bindings::new().with("self", Cel::json(value, Some(shape)));
        let mut optional = plain.clone();
        let before = old.map(|old| Cel::json(old, Some(shape)));
        optional.set("oldSelf", before.clone().map_or(Cel::Optional(None), Cel::some));
        if let Some(before) = before {
            plain.set("oldSelf", before);
        }
        for compiled in &place.node.rules {
            if self.over {
                return;
            }
            let takes_none = compiled.rule.optional_old_self == Some(true);
            if compiled.transition && old.is_none() && !takes_none {
                continue;
            }
            let bindings = if takes_none { &optional } else { &plain };
            self.rule(place, compiled, bindings, past);
        }
    }

    fn rule<'a>(
        &mut self,
        place: &Place<'_>,
        compiled: &'a Compiled,
        bindings: &Bindings<'a>,
        past: Past<'_, '_>,
    ) {
        let ty = place.schema.type_name();
        let words = text(compiled);
        let program = match &compiled.program {
            Ok(program) => program,
            Err(why) => return self.fail(place.path, ty, format!("rule compile error: {why}")),
        };
        match program.evaluate(bindings, &mut self.budget) {
            Ok(value) if value.as_bool() == Some(true) => {}
            Ok(_) => self.broken(place, compiled, bindings, past),
            Err(EvalError::Failed(why)) if why.starts_with("no such overload") => {
                let why = format!(
                    "'{why}': call arguments did not match a supported operator, function or macro signature for \
                     rule: {words}"
                );
                self.fail(place.path, ty, why);
            }
            Err(EvalError::Failed(why)) => {
                self.fail(place.path, ty, format!("{why} evaluating rule: {words}"));
            }
            Err(EvalError::BudgetExhausted) => {
                self.over = true;
                self.fail(place.path, ty, NO_BUDGET.to_owned());
            }
            Err(error @ EvalError::CostLimit) => {
                self.over = true;
                let why = format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {words}"
                );
                self.fail(place.path, ty, why);
            }
        }
    }

    fn fail(&mut self, path: &str, ty: &str, why: String) {
        self.verdict.errors.push(Error::invalid(shown(path), ty, why));
    }

    /// A rule that does not hold.
    fn broken<'a>(
        &mut self,
        place: &Place<'_>,
        compiled: &'a Compiled,
        bindings: &Bindings<'a>,
        past: Past<'_, '_>,
    ) {
        let (rule, ty) = (&compiled.rule, place.schema.type_name());
        let path = if compiled.field.is_empty() {
            shown(place.path)
        } else {
            field::child(place.path, &compiled.field)
        };
        let error = match self.message(compiled, bindings) {
            Err(why) => Error::invalid(path, ty, why),
            Ok(detail) => match rule.reason.as_str() {
                "FieldValueForbidden" => Error::forbidden(path, detail),
                "FieldValueRequired" => Error::required(path, detail),
                "FieldValueDuplicate" => Error::duplicate(path, ty),
                _ => Error::invalid(path, ty, detail),
            },
        };
        if !compiled.transition && past.unchanged() {
            self.verdict.warnings.push(error.to_string());
        } else {
            self.verdict.errors.push(error);
        }
    }

    /// What to say of a rule that does not hold; or why no more rules are run.
    fn message<'a>(&mut self, compiled: &'a Compiled, bindings: &Bindings<'a>) -> Result<String, String> {
        let rule = &compiled.rule;
        if let Some(Ok(program)) = &compiled.message {
            match program.evaluate(bindings, &mut self.budget) {
                Ok(value) => {
                    let made = value.as_str().unwrap_or_default().trim();
                    if !made.is_empty() && made.len() <= MAX_MESSAGE_BYTES && !made.contains('\n') {
                        return Ok(made.to_owned());
                    }
                }
                Err(EvalError::Failed(_)) => {}
                Err(EvalError::BudgetExhausted) => {
                    self.over = true;
                    return Err(
                        "messageExpression evaluation failed due to running out of cost budget, no further \
                        validation rules will be run"
                            .to_owned(),
                    );
                }
                Err(EvalError::CostLimit) => {
                    self.over = true;
                    return Err(format!(
                        "no further validation rules will be run due to call cost exceeds limit for \
                         messageExpression: {:?}",
                        rule.message_expression
                    ));
                }
            }
        }
        Ok(match rule.message.as_str() {
            "" => format!("failed rule: {}", rule.rule.trim()),
            message => message.trim().to_owned(),
        })
    }
}

impl<'f, 'v> Past<'f, 'v> {
    /// The past of a value below, which has `pair` of its own if it was there before.
    fn below(self, pair: Option<&'f Pair<'v>>) -> Past<'f, 'v> {
        match self.current {
            None => self,
            above => Past { current: pair, above },
        }
    }
}

/// The rule as errors name it.
fn text(compiled: &Compiled) -> &str {
    match compiled.rule.message.as_str() {
        "" => compiled.rule.rule.trim(),
        message => message.trim(),
    }
}

/// The object as a whole has no field.
fn shown(path: &str) -> String {
    if path.is_empty() { "<nil>" } else { path }.to_owned()
}
