//! Rules in CEL: what they refuse, and how a definition with them is judged.

use super::super::{Instance, Rules, Structural};
use serde_json::{Value, json};

/// An object with the schema `spec` under `spec`.
fn schema(spec: Value) -> Structural {
    let whole = json!({"type": "object", "properties": {"spec": spec}});
    Structural::parse(whole.to_string().as_bytes()).unwrap()
}

/// A schema with rules, from its other words.
fn with(mut words: Value, rules: Value) -> Value {
    words["x-kubernetes-validations"] = rules;
    words
}

fn instance(spec: &Value) -> Instance {
    let object = json!({"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "web"}, "spec": spec});
    Instance::parse(object.to_string().as_bytes()).unwrap()
}

/// What the rules say of `new` after `old`; warnings with a mark.
fn run(schema: &Structural, new: Value, old: Option<Value>) -> Vec<String> {
    let (new, old) = (instance(&new), old.map(|old| instance(&old)));
    let errors = new.check(schema, old.as_ref());
    let rules = Rules::of(schema).unwrap();
    let verdict = new.run(schema, &rules, old.as_ref(), &errors);
    let warnings = verdict
        .warnings
        .into_iter()
        .map(|text| format!("warning: {text}"));
    let errors = errors
        .into_iter()
        .chain(verdict.errors)
        .map(|error| error.to_string());
    errors.chain(warnings).collect()
}

/// What is wrong with a schema.
fn judged(spec: Value) -> Vec<String> {
    let errors = schema(spec).check("s", false);
    errors.iter().map(ToString::to_string).collect()
}

fn sizes() -> Value {
    let integer = json!({"type": "integer"});
    json!({"type": "object", "properties": {"min": integer, "max": integer, "replicas": integer}})
}

#[test]
fn rules_hold_at_every_level() {
    let text = json!({"type": "string", "x-kubernetes-validations": [{"rule": "self.startsWith('a')"}]});
    let schema = schema(with(
        json!({"type": "object", "properties": {
            "name": text, "list": {"type": "array", "items": text},
            "map": {"type": "object", "additionalProperties": text},
            "true": {"type": "string"}, "a.b": {"type": "string"}}}),
        json!([
            {"rule": "!has(self.__true__) || self.__true__ == self.a__dot__b", "message": " they differ "},
        ]),
    ));
    let new = json!({"name": "b", "list": ["a", "b"], "map": {"x": "a", "y": "b"}, "true": "1", "a.b": "2"});
    let why = "Invalid value: \"string\": failed rule: self.startsWith('a')";
    assert_eq!(
        run(&schema, new, None),
        [
            "spec: Invalid value: \"object\": they differ".to_owned(),
            format!("spec.list[1]: {why}"),
            format!("spec.map[y]: {why}"),
            format!("spec.name: {why}"),
        ]
    );
    assert_eq!(run(&schema, json!({"name": "a", "list": ["a"]}), None), [""; 0]);
}

#[test]
fn the_root_sees_its_name_and_nothing_else_of_its_metadata() {
    let root = |rule: &str| {
        let text = json!({"type": "object", "properties": {"spec": {"type": "object"}},
            "x-kubernetes-validations": [{"rule": rule}]});
        Structural::parse(text.to_string().as_bytes()).unwrap()
    };
    let schema = root("self.metadata.name.startsWith('db') && self.kind == 'X' && self.apiVersion == 'x/v1'");
    let why = "<nil>: Invalid value: \"object\": failed rule: self.metadata.name.startsWith('db') && self.kind == 'X' && \
               self.apiVersion == 'x/v1'";
    assert_eq!(run(&schema, json!({}), None), [why]);
    let errors = root("has(self.metadata.labels)").check("s", false);
    assert!(
        errors[0].to_string().contains("undefined field 'labels'"),
        "{errors:?}"
    );
}

#[test]
fn a_rule_says_what_it_was_told_to_say() {
    let rules = json!([
        {"rule": "self.min <= self.max", "messageExpression": "'%d is over %d'.format([self.min, self.max])"},
        {"rule": "self.replicas < 5", "message": "too many", "reason": "FieldValueForbidden", "fieldPath": ".replicas"},
        {"rule": "self.replicas < 6", "reason": "FieldValueRequired", "message": "six"},
        {"rule": "self.replicas < 7", "reason": "FieldValueDuplicate"},
        {"rule": "self.min / 0 == 1", "message": "by nothing"},
        {"rule": "self.max < 0", "messageExpression": "'two\\nlines'", "message": "positive"},
    ]);
    let found = run(
        &schema(with(sizes(), rules)),
        json!({"min": 3, "max": 2, "replicas": 9}),
        None,
    );
    assert_eq!(
        found,
        [
            "spec: Invalid value: \"object\": 3 is over 2",
            "spec.replicas: Forbidden: too many",
            "spec: Required value: six",
            "spec: Duplicate value: \"object\"",
            "spec: Invalid value: \"object\": division by zero evaluating rule: by nothing",
            "spec: Invalid value: \"object\": positive",
        ]
    );
}

#[test]
fn a_transition_is_judged_where_there_was_something_before() {
    let item = with(
        json!({"type": "object", "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
            "required": ["name"]}),
        json!([{"rule": "self.size >= oldSelf.size", "message": "may not shrink"}]),
    );
    let spec = json!({"type": "object", "properties": {
        "fixed": {"type": "string", "x-kubernetes-validations": [
            {"rule": "self == oldSelf", "message": "is immutable"}]},
        "once": {"type": "string", "x-kubernetes-validations": [
            {"rule": "!oldSelf.hasValue() || oldSelf.value() == self", "optionalOldSelf": true, "message": "only once"},
            {"rule": "oldSelf.hasValue() || self == 'first'", "optionalOldSelf": true, "message": "begins as first"}]},
        "disks": {"type": "array", "maxItems": 10, "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"], "items": item}}});
    assert_eq!(judged(spec.clone()), [""; 0]);
    let schema = schema(spec);
    let before =
        json!({"fixed": "a", "once": "first", "disks": [{"name": "a", "size": 1}, {"name": "b", "size": 5}]});
    assert_eq!(run(&schema, before.clone(), None), [""; 0]);
    assert_eq!(run(&schema, before.clone(), Some(json!({}))), [""; 0]);
    let after = json!({"fixed": "b", "once": "second", "disks": [{"name": "b", "size": 4}, {"name": "a", "size": 4}]});
    assert_eq!(
        run(&schema, after, Some(before)),
        [
            "spec.disks[0]: Invalid value: \"object\": may not shrink",
            "spec.fixed: Invalid value: \"string\": is immutable",
            "spec.once: Invalid value: \"string\": only once",
        ]
    );
    let other = run(&schema, json!({"once": "other"}), None);
    assert_eq!(other, ["spec.once: Invalid value: \"string\": begins as first"]);
}

#[test]
fn what_was_wrong_before_and_did_not_change_may_stay() {
    let schema = schema(with(
        json!({"type": "object", "properties": {
            "size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5"}]},
            "other": {"type": "integer"},
            "list": {"type": "array", "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5"}]}}}}),
        json!([]),
    ));
    let before = json!({"size": 9, "other": 1, "list": [7]});
    assert_eq!(
        run(
            &schema,
            json!({"size": 9, "other": 2, "list": [7]}),
            Some(before.clone())
        ),
        [
            "warning: spec.list[0]: Invalid value: \"integer\": failed rule: self < 5",
            "warning: spec.size: Invalid value: \"integer\": failed rule: self < 5",
        ]
    );
    let why = "Invalid value: \"integer\": failed rule: self < 5";
    assert_eq!(
        run(&schema, json!({"size": 8, "list": [7, 1]}), Some(before)),
        [format!("spec.list[0]: {why}"), format!("spec.size: {why}")]
    );
}

#[test]
fn an_object_of_the_wrong_form_is_not_put_to_the_rules() {
    let schema = schema(with(sizes(), json!([{"rule": "self.min <= self.max"}])));
    assert_eq!(
        run(&schema, json!({"min": "x", "max": 1}), None),
        [
            "spec.min: Invalid value: \"string\": spec.min in body must be of type integer: \"string\"",
            "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct \
             the existing errors to complete validation",
        ]
    );
}

#[test]
fn rules_end_when_they_have_cost_enough() {
    let list = json!({"type": "array", "items": {"type": "integer"}});
    let rule = json!({"rule": "self.list.all(a, self.list.all(b, a + b >= 0))"});
    let spec = with(
        json!({"type": "object", "properties": {"list": list}}),
        json!([rule, rule]),
    );
    let many: Vec<u32> = (0..2_000).collect();
    assert_eq!(
        run(&schema(spec), json!({ "list": many }), None),
        [
            "spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no further validation rules \
          will be run due to call cost exceeds limit for rule: self.list.all(a, self.list.all(b, a + b >= 0))"
        ]
    );
    let rules: Vec<Value> = (0..20)
        .map(|_| json!({"rule": "self.list.all(a, self.list.exists(b, a == b || b < 200))"}))
        .collect();
    let list = json!({"type": "array", "items": {"type": "integer"}});
    let spec = with(
        json!({"type": "object", "properties": {"list": list}}),
        json!(rules),
    );
    let many = vec![300; 60_000];
    let found = run(&schema(spec), json!({ "list": many }), None);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("running out of cost budget") || found[0].contains("cost limit exceeded"),
        "{found:?}"
    );
}

#[test]
fn a_definition_is_refused_for_a_rule_that_cannot_be() {
    let of = |rule: Value| judged(with(sizes(), json!([rule])));
    let place = "s.properties[spec].x-kubernetes-validations[0]";
    let whole = |rule: &str, message: &str| {
        format!(
            "{{\"Rule\":{rule:?},\"Message\":\"\",\"MessageExpression\":{message:?},\"Reason\":\"\",\"FieldPath\":\"\",\
             \"OptionalOldSelf\":null}}"
        )
    };
    assert_eq!(
        of(json!({"rule": "self.gone == 1"})),
        [format!(
            "{place}.rule: Invalid value: {}: compilation failed: ERROR: <input>:1:5: undefined field 'gone'\n | self.gone \
             == 1\n | ....^",
            whole("self.gone == 1", "")
        )]
    );
    assert_eq!(
        of(json!({"rule": "self.min"})),
        [format!(
            "{place}.rule: Invalid value: {}: cel expression must evaluate to a bool",
            whole("self.min", "")
        )]
    );
    assert_eq!(
        of(json!({"rule": "true", "messageExpression": "1"})),
        [format!(
            "{place}.messageExpression: Invalid value: {}: messageExpression must evaluate to a string",
            whole("true", "1")
        )]
    );
    for (rule, wanted) in [
        (
            json!({"rule": " "}),
            "rule: Required value: rule is not specified",
        ),
        (
            json!({"rule": "true", "message": " "}),
            "message: Invalid value: \" \": message must be non-empty if specified",
        ),
        (
            json!({"rule": "true\n", "message": "a\nb"}),
            "message: Invalid value: \"a\\nb\": message must not contain line breaks",
        ),
        (
            json!({"rule": "true ||\nfalse"}),
            "message: Required value: message must be specified if rule contains line breaks",
        ),
        (
            json!({"rule": "true", "reason": "Odd"}),
            "reason: Unsupported value: \"Odd\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \
             \"FieldValueInvalid\", \"FieldValueRequired\"",
        ),
        (
            json!({"rule": "true", "fieldPath": ".gone"}),
            "fieldPath: Invalid value: \".gone\": fieldPath must be a valid path",
        ),
        (
            json!({"rule": "true", "optionalOldSelf": true}),
            "optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
        ),
    ] {
        assert_eq!(of(rule), [format!("{place}.{wanted}")]);
    }
    let item = with(json!({"type": "integer"}), json!([{"rule": "self >= oldSelf"}]));
    assert_eq!(
        judged(json!({"type": "array", "maxItems": 5, "items": item})),
        [
            "s.properties[spec].items.x-kubernetes-validations[0].rule: Invalid value: \"self >= oldSelf\": oldSelf cannot be \
          used on the uncorrelatable portion of the schema within s.properties[spec]"
        ]
    );
}

#[test]
fn a_definition_is_refused_for_rules_that_may_cost_too_much() {
    let list = |size: Value| {
        let mut list = json!({"type": "array", "items": {"type": "string", "maxLength": 63}});
        if !size.is_null() {
            list["maxItems"] = size;
        }
        with(list, json!([{"rule": "self.all(x, x.contains('gpu'))"}]))
    };
    let hint = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings \
                are declared)";
    let place = "s.properties[spec].x-kubernetes-validations[0].rule";
    assert_eq!(judged(list(json!(333_333))), [""; 0]);
    assert_eq!(
        judged(list(json!(333_400))),
        [format!(
            "{place}: Forbidden: estimated rule cost exceeds budget by factor of 1.000200x {hint}"
        )]
    );
    let unbounded = json!({"type": "array", "items": {"type": "string"},
        "x-kubernetes-validations": [{"rule": "self.all(x, x.contains('gpu'))"}]});
    assert_eq!(
        judged(unbounded),
        [
            format!(
                "{place}: Forbidden: estimated rule cost exceeds budget by factor of more than 100x {hint}"
            ),
            format!(
                "{place}: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            ),
            format!(
                "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget \
                 by factor of more than 100x {hint}"
            ),
        ]
    );
    // A rule below a list counts as often as the list may have elements.
    let below = |items: Value| {
        let item = with(
            json!({"type": "string", "maxLength": 1000}),
            json!([{"rule": "self.contains('x')"}]),
        );
        json!({"type": "array", "maxItems": items, "items": item})
    };
    assert_eq!(judged(below(json!(1_000))), [""; 0]);
    assert_eq!(judged(below(json!(1_000_000))).len(), 3);
}

#[test]
fn defaults_keep_the_rules() {
    let mut spec = with(sizes(), json!([{"rule": "self.min <= self.max"}]));
    spec["default"] = json!({"min": 0, "max": 5});
    assert_eq!(judged(spec.clone()), [""; 0]);
    spec["default"] = json!({"min": 6, "max": 5});
    assert_eq!(
        judged(spec.clone()),
        ["s.properties[spec].default: Invalid value: \"object\": failed rule: self.min <= self.max"]
    );
    spec["default"] = json!({});
    assert_eq!(
        judged(spec),
        [
            "s.properties[spec].default: Invalid value: \"object\": no such key: min evaluating rule: self.min <= self.max"
        ]
    );
}
