//! Costs, by the rules of cel-go and Kubernetes.

use super::{Written, everything};
use crate::{Bindings, Budget, Environment, Estimate, Program, Shape, Value};
use serde_json::json;

#[test]
fn evaluation_costs_what_upstream_counts() {
    let x = json!({"a": 1, "list": [1, 2, 3], "long": "a".repeat(500), "map": {"k": "v"}});
    let table = [
        ("1 + 1", 1),
        ("'Hello'", 0),
        ("x", 1),
        ("x.a", 2),
        ("x['a']", 2),
        ("has(x.a)", 1),
        ("has(x.map.k)", 2),
        ("x.list[0]", 3),
        ("x.list.all(i, true)", 12),
        ("x.list.exists(i, i == 2)", 18),
        ("x.list.map(i, i)", 42),
        ("x.list.filter(i, i == 1)", 22),
        ("x.long.startsWith('a')", 52),
        ("x.long.matches('[0-9]')", 104),
        ("x.long.contains('a')", 52),
        ("x.long == 'abcdefghijk'", 4),
        ("string(x.long) + 'b'", 54),
        ("x.a == 1 ? x.a : x.list", 4),
        ("2 in x.list", 5),
        ("2 in [1, 2, 3]", 0),
        ("x.a in [1, 2, 3]", 2),
        ("quantity('1Gi').isGreaterThan(quantity('1G'))", 3),
        ("x.list.sum()", 5),
    ];
    let environment = everything();
    let mut wrong = Vec::new();
    for (source, wanted) in table {
        let program = Program::compile(source, &environment).unwrap();
        let mut budget = Budget::default();
        let bindings = Bindings::new().with("x", Value::json(&x, None));
        program.evaluate(&bindings, &mut budget).unwrap();
        if budget.spent() != wanted {
            wrong.push(format!("{source}: wanted {wanted}, got {}", budget.spent()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_schema_limits_what_a_rule_may_cost() {
    let schema = json!({"type": "object", "properties": {
        "list": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 5}},
        "open": {"type": "array", "items": {"type": "string"}},
        "name": {"type": "string", "maxLength": 10},
        "n": {"type": "integer"},
        "map": {"type": "object", "maxProperties": 3, "additionalProperties": {"type": "string", "maxLength": 4}},
    }});
    let shape = Shape::of(&Written::new(&schema), "self", true).unwrap();
    let environment = Environment::kubernetes().shaped("self", &shape);
    let table = [
        ("self.n == 5", 2, 2),
        // Twice the ident, the size of at most 40, and a tenth of the shorter one.
        ("self.name == 'abcde'", 3, 3),
        ("self.list.all(e, e.size() > 0)", 3, 3 + 10 * (2 + 1 + 3)),
        ("self.list.all(e, e.startsWith('a'))", 3, 3 + 10 * (2 + 1 + 2)),
        ("self.name.contains('a')", 2, 2 + 4),
        ("self.name.matches('[a-z]+')", 4, 2 + 5 * 2),
        ("self.map.all(k, self.map[k] == 'x')", 3, 3 + 3 * (2 + 1 + 5)),
        ("self.list.map(e, e)", 13, 13 + 10 * 13),
        ("has(self.name)", 1, 1),
    ];
    let mut wrong = Vec::new();
    for (source, min, max) in table {
        let cost = Program::compile(source, &environment).unwrap().cost();
        if cost != (Estimate { min, max }) {
            wrong.push(format!("{source}: wanted {min}..{max}, got {cost:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let cost = Program::compile("self.open.all(e, self.open.all(f, e == f))", &environment)
        .unwrap()
        .cost();
    assert!(cost.max > 100_000_000_000, "{cost:?}");
}
