//! Rules as a definition has them: whether they compile, compare only what can be compared, and cost little enough.

use super::super::{Rule, Structural};
use super::{Compiled, Rules, SELF_TYPE, compile, run::Ratchet};
use api::field::{self, Error};
use cel::Shape;
use std::cmp::Reverse;

/// Most that one rule may be estimated to cost for an object.
const RULE_LIMIT: u64 = 10_000_000;
/// Most that all rules of a schema may.
const SCHEMA_LIMIT: u64 = 100_000_000;
const WORD: &str = "x-kubernetes-validations";

/// Where a schema stands.
#[derive(Clone)]
struct Place {
    path: String,
    /// How many such values an object may have; none: nothing limits them.
    times: Option<u64>,
    resource_root: bool,
    /// The list above whose elements cannot be told from one another.
    loose: Option<String>,
}

#[derive(Default)]
struct Judge {
    errors: Vec<Error>,
    total: u64,
    costly: Vec<(u64, String)>,
}

/// What is wrong with the rules of a schema that is otherwise in order.
pub(in crate::structural) fn check(schema: &Structural, path: &str) -> Vec<Error> {
    let mut judge = Judge::default();
    let root = Place {
        path: path.to_owned(),
        times: Some(1),
        resource_root: true,
        loose: None,
    };
    judge.node(schema, &root);
    judge.defaults(schema, path, true);
    if judge.total > SCHEMA_LIMIT {
        judge.costly.sort_by_key(|(cost, _)| Reverse(*cost));
        for (_, path) in judge.costly.iter().take(4) {
            let why =
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            judge.errors.push(Error::forbidden(path, why));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let why = too_much(what, judge.total, SCHEMA_LIMIT);
        judge.errors.push(Error::forbidden(path, why));
    }
    judge.errors
}

impl Judge {
    fn node(&mut self, schema: &Structural, place: &Place) {
        let at = |name: &str| field::child(&place.path, name);
        let times = place.times.zip(factor(schema));
        let below = |path: String, schema: &Structural| Place {
            path,
            times: times.map(|(times, factor)| times.saturating_mul(factor)),
            resource_root: schema.embedded,
            loose: place.loose.clone(),
        };
        if let Some(additional) = schema.additional() {
            self.node(additional, &below(at("additionalProperties"), additional));
        }
        for (name, property) in &schema.properties {
            self.node(property, &below(field::key(&at("properties"), name), property));
        }
        if let Some(items) = schema.items() {
            let mut inner = below(at("items"), items);
            if schema.list_type() != "map" {
                inner.loose.get_or_insert_with(|| place.path.clone());
            }
            self.node(items, &inner);
        }
        self.rules(schema, place);
    }

    fn rules(&mut self, schema: &Structural, place: &Place) {
        if schema.validations.is_empty() {
            return;
        }
        let path = field::child(&place.path, WORD);
        let Some(shape) = Shape::of(schema, SELF_TYPE, place.resource_root) else {
            self.errors.push(Error {
                kind: field::ErrorType::Internal,
                field: path,
                value: String::new(),
                detail: "internal error: failed to construct type information for x-kubernetes-validations rules: \
                    unable to convert structural schema to CEL declarations"
                    .to_owned(),
            });
            return;
        };
        let times = place.times.unwrap_or_else(|| shape.most_in_a_request());
        for (index, compiled) in compile(schema, &shape).iter().enumerate() {
            self.rule(compiled, times, place, &field::index(&path, index));
        }
    }

    fn rule(&mut self, compiled: &Compiled, times: u64, place: &Place, path: &str) {
        let at = |name: &str| field::child(path, name);
        let cost = compiled.program.as_ref().map_or(0, |program| program.cost().max);
        self.costs("estimated rule cost", cost.saturating_mul(times), at("rule"));
        if let Err(why) = &compiled.program {
            self.errors.push(invalid(at("rule"), &compiled.rule, why));
        }
        match &compiled.message {
            None => {}
            Some(Err(why)) => {
                self.errors
                    .push(invalid(at("messageExpression"), &compiled.rule, why));
            }
            Some(Ok(message)) => {
                let what = "estimated messageExpression cost";
                self.costs(what, message.cost().max, at("messageExpression"));
            }
        }
        if compiled.transition {
            if let Some(loose) = &place.loose {
                let why = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {loose}"
                );
                self.errors
                    .push(Error::invalid(at("rule"), &compiled.rule.rule, why));
            }
        } else if let Some(optional) = compiled
            .rule
            .optional_old_self
            .filter(|_| compiled.program.is_ok())
        {
            let why = "may not be set if oldSelf is not used in rule";
            self.errors
                .push(Error::invalid(at("optionalOldSelf"), optional, why));
        }
    }

    fn costs(&mut self, what: &str, cost: u64, path: String) {
        if cost > RULE_LIMIT {
            let why = too_much(what, cost, RULE_LIMIT);
            self.errors.push(Error::forbidden(&path, why));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_LIMIT / 100 {
            self.costly.push((cost, path));
        }
    }

    /// Defaults keep the rules, as they are written.
    fn defaults(&mut self, schema: &Structural, path: &str, resource_root: bool) {
        if let Some(default) = &schema.default
            && self.errors.is_empty()
            && let Some(root) = super::node(schema, resource_root)
        {
            let mut value = default.clone();
            super::super::value::normalize(&mut value);
            let (place, rules) = (field::child(path, "default"), Rules { root });
            // As what stays, and as what comes.
            for old in [Some(&value), None] {
                let verdict = rules.run(schema, &place, &value, old, Ratchet::Off);
                if !verdict.errors.is_empty() {
                    self.errors.extend(verdict.errors);
                    break;
                }
            }
        }
        let at = |name: &str| field::child(path, name);
        if let Some(items) = schema.items() {
            self.defaults(items, &at("items"), items.embedded);
        }
        if let Some(additional) = schema.additional() {
            self.defaults(additional, &at("additionalProperties"), additional.embedded);
        }
        for (name, property) in &schema.properties {
            self.defaults(property, &field::key(&at("properties"), name), property.embedded);
        }
    }
}

/// How many values below one value there may be; none: nothing limits them.
fn factor(schema: &Structural) -> Option<u64> {
    let size = |limit: Option<i64>| limit.map(|limit| u64::try_from(limit).unwrap_or(0));
    match schema.type_name() {
        "object" if schema.additional_properties.is_some() => size(schema.max_properties),
        "array" => size(schema.max_items),
        _ => Some(1),
    }
}

fn too_much(what: &str, cost: u64, limit: u64) -> String {
    let times = cost as f64 / limit as f64;
    let factor = if times > 100.0 {
        "more than 100x".to_owned()
    } else if times < 1.5 {
        format!("{times:.6}x")
    } else {
        format!("{times:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

/// The whole rule is the value at fault, as upstream has it.
fn invalid(path: String, rule: &Rule, why: &str) -> Error {
    Error::invalid(path, rule, why)
}
