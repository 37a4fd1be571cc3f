//! Stories of structural schemas.

use super::{Instance, Structural};

fn schema(text: &str) -> Structural {
    Structural::parse(text.as_bytes()).unwrap()
}

/// The object in shape, then the fields that were dropped.
fn shaped(of: &str, object: &str) -> String {
    let shaped = Instance::parse(object.as_bytes())
        .unwrap()
        .shaped(Some(&schema(of)), false)
        .unwrap();
    let text = String::from_utf8(shaped.instance.to_json()).unwrap();
    if shaped.unknown.is_empty() {
        text
    } else {
        format!("{text} {}", shaped.unknown.join(" "))
    }
}

/// What is wrong with an object.
fn wrong(of: &str, object: &str, old: Option<&str>) -> Vec<String> {
    let parse = |text: &str| Instance::parse(text.as_bytes()).unwrap();
    let errors = parse(object).check(&schema(of), old.map(parse).as_ref());
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn fields_without_a_name_are_pruned() {
    let spec = |inner: &str| format!(r#"{{"type":"object","properties":{{"spec":{inner}}}}}"#);
    let map = spec(
        r#"{"type":"object","properties":{"a":{"type":"string"},"m":{"type":"object","additionalProperties":{"type":"string"}}}}"#,
    );
    assert_eq!(
        shaped(
            &map,
            r#"{"apiVersion":"g/v1","kind":"K","metadata":{"name":"n","odd":1},"spec":{"a":"x","b":1,"m":{"k":"v"}},"more":[]}"#
        ),
        r#"{"apiVersion":"g/v1","kind":"K","metadata":{"name":"n"},"spec":{"a":"x","m":{"k":"v"}}} metadata.odd more spec.b"#
    );
    let kept = spec(
        r#"{"type":"object","x-kubernetes-preserve-unknown-fields":true,"properties":{"a":{"type":"object","properties":{"b":{"type":"string"}}}}}"#,
    );
    assert_eq!(
        shaped(&kept, r#"{"spec":{"a":{"b":"x","c":1},"d":{"e":1}}}"#),
        r#"{"spec":{"a":{"b":"x"},"d":{"e":1}}} spec.a.c"#
    );
    let embedded = spec(
        r#"{"type":"object","x-kubernetes-embedded-resource":true,"properties":{"spec":{"type":"object"}}}"#,
    );
    assert_eq!(
        shaped(
            &embedded,
            r#"{"spec":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","odd":1},"spec":{"x":1},"status":{}}}"#
        ),
        r#"{"spec":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{}}} spec.metadata.odd spec.spec.x spec.status"#
    );
    let list = spec(r#"{"type":"array","items":{"type":"object","properties":{"a":{"type":"integer"}}}}"#);
    assert_eq!(
        shaped(&list, r#"{"spec":[{"a":1.0,"b":2}]}"#),
        r#"{"spec":[{"a":1}]} spec[0].b"#
    );
}

#[test]
fn defaults_fill_what_is_left_out() {
    let of = r#"{"type":"object","properties":{"spec":{"type":"object","default":{},"properties":{
        "size":{"type":"integer","default":1},
        "name":{"type":"string","nullable":true,"default":"x"},
        "other":{"type":"string"},
        "list":{"type":"array","items":{"type":"object","properties":{"p":{"type":"string","default":"TCP"}}}},
        "map":{"type":"object","additionalProperties":{"type":"object","properties":{"v":{"type":"integer","default":7}}}}}}}}"#;
    assert_eq!(shaped(of, "{}"), r#"{"spec":{"name":"x","size":1}}"#);
    assert_eq!(
        shaped(
            of,
            r#"{"spec":{"size":null,"name":null,"other":null,"list":[{}],"map":{"a":{}}}}"#
        ),
        r#"{"spec":{"list":[{"p":"TCP"}],"map":{"a":{"v":7}},"name":null,"size":1}}"#
    );
}

#[test]
fn values_are_what_their_schema_says() {
    let check = |of: &str, value: &str| {
        let of = format!(r#"{{"type":"object","properties":{{"spec":{of}}}}}"#);
        wrong(&of, &format!(r#"{{"spec":{value}}}"#), None).join(" | ")
    };
    for (of, value, expected) in [
        (
            r#"{"type":"integer"}"#,
            r#""x""#,
            r#"spec: Invalid value: "string": spec in body must be of type integer: "string""#,
        ),
        (r#"{"type":"integer"}"#, "2.0", ""),
        (
            r#"{"type":"integer"}"#,
            "2.5",
            r#"spec: Invalid value: "number": spec in body must be of type integer: "number""#,
        ),
        (
            r#"{"type":"string"}"#,
            "null",
            r#"spec: Invalid value: "null": spec in body must be of type string: "null""#,
        ),
        (r#"{"type":"string","nullable":true}"#, "null", ""),
        (
            r#"{"x-kubernetes-int-or-string":true}"#,
            "true",
            r#"spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean""#,
        ),
        (
            r#"{"type":"integer","maximum":10}"#,
            "15",
            "spec: Invalid value: 15: spec in body should be less than or equal to 10",
        ),
        (
            r#"{"type":"integer","minimum":1,"exclusiveMinimum":true}"#,
            "1",
            "spec: Invalid value: 1: spec in body should be greater than 1",
        ),
        (
            r#"{"type":"number","multipleOf":0.1}"#,
            "0.25",
            "spec: Invalid value: 0.25: spec in body should be a multiple of 0.1",
        ),
        (
            r#"{"type":"integer","format":"int32"}"#,
            "4294967296",
            r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec"#,
        ),
        (
            r#"{"type":"string","pattern":"^a+$"}"#,
            r#""b""#,
            r#"spec: Invalid value: "b": spec in body should match '^a+$'"#,
        ),
        (
            r#"{"type":"string","maxLength":2}"#,
            r#""abc""#,
            "spec: Too long: may not be more than 2 bytes",
        ),
        (
            r#"{"type":"string","minLength":2}"#,
            r#""é""#,
            r#"spec: Invalid value: "é": spec in body should be at least 2 chars long"#,
        ),
        (
            r#"{"type":"string","enum":["a","b"]}"#,
            r#""c""#,
            r#"spec: Unsupported value: "c": supported values: "a", "b""#,
        ),
        (
            r#"{"type":"string","format":"ipv4"}"#,
            r#""x""#,
            r#"spec: Invalid value: "x": spec in body must be of type ipv4: "x""#,
        ),
        (
            r#"{"type":"array","items":{"type":"string"},"maxItems":1}"#,
            r#"["a","b"]"#,
            "spec: Too many: 2: must have at most 1 item",
        ),
        (
            r#"{"type":"array","items":{"type":"string"},"minItems":1}"#,
            "[]",
            "spec: Invalid value: 0: spec in body should have at least 1 items",
        ),
        (
            r#"{"type":"object","required":["a"],"properties":{"a":{"type":"string"}}}"#,
            "{}",
            "spec.a: Required value",
        ),
        (
            r#"{"type":"object","maxProperties":1,"additionalProperties":{"type":"string"}}"#,
            r#"{"a":"1","b":"2"}"#,
            "spec: Too many: 2: must have at most 1 item",
        ),
        (
            r#"{"type":"object","additionalProperties":{"type":"string"}}"#,
            r#"{"a":1}"#,
            r#"spec.a: Invalid value: "integer": spec.a in body must be of type string: "integer""#,
        ),
        (
            r#"{"type":"integer","anyOf":[{"minimum":5},{"multipleOf":2}]}"#,
            "3",
            r#"<nil>: Invalid value: "": "spec" must validate at least one schema (anyOf) | spec: Invalid value: 3: spec in body should be greater than or equal to 5"#,
        ),
        (
            r#"{"type":"integer","oneOf":[{"minimum":5},{"multipleOf":2}]}"#,
            "6",
            r#"<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
        ),
        (
            r#"{"type":"integer","allOf":[{"minimum":5},{"multipleOf":2}]}"#,
            "7",
            r#"spec: Invalid value: 7: spec in body should be a multiple of 2 | <nil>: Invalid value: "": "spec" must validate all the schemas (allOf)"#,
        ),
        (
            r#"{"type":"integer","not":{"enum":[3]}}"#,
            "3",
            r#"<nil>: Invalid value: "": "spec" must not validate the schema (not)"#,
        ),
        (
            r#"{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}}"#,
            r#"["a","b","a","a"]"#,
            r#"spec[2]: Duplicate value: "a""#,
        ),
        (
            r#"{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["n"],"items":{"type":"object","properties":{"n":{"type":"string"}}}}"#,
            r#"[{"n":"a"},{"n":"b"},{"n":"a"}]"#,
            r#"spec[2]: Duplicate value: {"n":"a"}"#,
        ),
        (
            r#"{"type":"object","x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true}"#,
            r#"{"kind":""}"#,
            r#"spec.apiVersion: Required value | spec.kind: Invalid value: "": must not be empty"#,
        ),
    ] {
        assert_eq!(check(of, value), expected, "{of} {value}");
    }
}

#[test]
fn old_documents_say_nothing_of_what_may_be_anything() {
    let schema = br#"{"type":"object","properties":{"spec":{"type":"object","description":"any","x-kubernetes-preserve-unknown-fields":true,
        "properties":{"a":{"type":"string"}}}}}"#;
    let meta = serde_json::json!({});
    let shown = super::Published::new("List", Some(schema), false, Vec::new()).schema(&meta, true);
    let spec = serde_json::json!({"description": "any", "x-kubernetes-preserve-unknown-fields": true});
    assert_eq!(shown["properties"]["spec"], spec);
}

#[test]
fn what_was_wrong_and_did_not_change_may_stay() {
    let of = r#"{"type":"object","properties":{"spec":{"type":"object","properties":{
        "size":{"type":"integer","maximum":3},
        "list":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["n"],"items":{"type":"object","properties":{
            "n":{"type":"string"},"v":{"type":"integer","maximum":3}}}}}}}}"#;
    let old = r#"{"spec":{"size":5,"list":[{"n":"a","v":9},{"n":"b","v":1}]}}"#;
    let same = r#"{"spec":{"size":5,"list":[{"n":"b","v":2},{"n":"a","v":9}]}}"#;
    assert_eq!(wrong(of, same, Some(old)), Vec::<String>::new());
    let worse = r#"{"spec":{"size":6,"list":[{"n":"b","v":4}]}}"#;
    assert_eq!(wrong(of, worse, Some(old)).len(), 2);
}

#[test]
fn what_is_not_structural_is_told() {
    let rules = |of: &str| -> Vec<String> {
        let errors = schema(of).check("schema", false);
        errors.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        rules(r#"{"type":"object","properties":{"spec":{"type":"object"}}}"#),
        Vec::<String>::new()
    );
    for (of, expected) in [
        ("{}", "schema.type: Required value: must not be empty at the root"),
        (
            r#"{"type":"string"}"#,
            r#"schema.type: Invalid value: "string": must be object at the root"#,
        ),
        (
            r#"{"type":"object","properties":{"a":{}}}"#,
            "schema.properties[a].type: Required value: must not be empty for specified object fields",
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"array"}}}"#,
            "schema.properties[a].items: Required value: must be specified",
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"string","anyOf":[{"type":"string"}]}}}"#,
            "schema.properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            r#"{"type":"object","anyOf":[{"properties":{"b":{"minimum":1}}}]}"#,
            "schema.properties[b]: Required value: because it is defined in schema.anyOf[0].properties[b]",
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"array","x-kubernetes-list-type":"map","items":{"type":"object","properties":{"k":{"type":"string"}},"required":["k"]}}}}"#,
            "schema.properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"integer","default":"x"}}}"#,
            r#"schema.properties[a].default: Invalid value: "string": schema.properties[a].default in body must be of type integer: "string""#,
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"object","default":{"b":1},"properties":{}}}}"#,
            r#"schema.properties[a].default: Invalid value: {"b":1}: must not have unknown fields"#,
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"string","pattern":"("}}}"#,
            "must be a valid regular expression, but isn't",
        ),
        (
            r#"{"type":"object","properties":{"a":{"$ref":"x","type":"string"}}}"#,
            "schema.properties[a].$ref: Forbidden: $ref is not supported",
        ),
        (
            r#"{"type":"object","properties":{"metadata":{"type":"object","properties":{"labels":{"type":"object"}}}}}"#,
            "schema.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        ),
    ] {
        let told = rules(of);
        assert!(
            told.iter().any(|error| error.contains(expected)),
            "{of}: {told:#?}"
        );
    }
}
