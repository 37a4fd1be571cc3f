use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{prune, type_of};

fn deployment() -> TypeRef {
    type_of("apps", "v1", "Deployment").unwrap()
}

fn error(json: &str) -> String {
    check(json.as_bytes(), deployment()).unwrap_err().to_string()
}

fn found(json: &str) -> Vec<String> {
    check(json.as_bytes(), deployment())
        .unwrap()
        .0
        .iter()
        .map(Finding::to_string)
        .collect()
}

#[test]
fn unknown_and_duplicate_fields_come_in_the_order_of_the_text() {
    let json = r#"{"kind":"Deployment","metadata":{"name":"a","name":"b","labels":{"x":"1","x":"2"}},"foo":{"bar":1,"bar":2},
        "spec":{"template":{"spec":{"containers":[{"name":"a"},{"image":1e3x}]}}}}"#.replace("1e3x", "\"i\",\"foo\":[{}]");
    let want = [
        r#"duplicate field "metadata.name""#,
        r#"duplicate field "metadata.labels.x""#,
        r#"unknown field "foo""#,
        r#"unknown field "spec.template.spec.containers[1].foo""#,
    ];
    assert_eq!(found(&json), want);
    let findings = check(json.as_bytes(), deployment()).unwrap();
    assert_eq!(
        findings.strict_error().unwrap(),
        format!("strict decoding error: {}", want.join(", "))
    );
    assert_eq!(
        findings.unknown(),
        ["foo", "spec.template.spec.containers[1].foo"]
    );
    assert_eq!(findings.duplicate().len(), 2);
}

#[test]
fn names_are_case_sensitive_and_findings_come_once_and_at_most_a_hundred() {
    assert_eq!(
        found(r#"{"Spec":{},"a\"b":1,"Spec":1}"#),
        [r#"unknown field "Spec""#, r#"unknown field "a\"b""#]
    );
    let many: Vec<String> = (0..200).map(|i| format!("\"x{i}\":1")).collect();
    assert_eq!(found(&format!("{{{}}}", many.join(","))).len(), 100);
}

#[test]
fn values_of_a_wrong_type_are_gos_errors() {
    for (json, want) in [
        (
            r#"{"spec":{"replicas":"3"}}"#,
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            r#"{"spec":{"replicas":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            r#"{"spec":{"replicas":3000000000}}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":{}}}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":["x"]}}}}"#,
            "json: cannot unmarshal string into Go struct field PodSpec.spec.template.spec.containers of type v1.Container",
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":[{"env":[{"value":5}]}]}}}}"#,
            "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
        ),
        (
            r#"{"metadata":{"labels":{"a":true}}}"#,
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            r#"{"metadata":[]}"#,
            "json: cannot unmarshal array into Go struct field Deployment.metadata of type v1.ObjectMeta",
        ),
        (
            "[]",
            "json: cannot unmarshal array into Go value of type v1.Deployment",
        ),
        (
            r#"{"metadata":{"creationTimestamp":"soon"}}"#,
            r#"parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006""#,
        ),
        (
            r#"{"spec":{"paused":1,"template":{"spec":{"overhead":{"cpu":"1 core"}}}}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            r#"{"spec":{"strategy":{"rollingUpdate":{"maxSurge":1.5}}}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field \
             RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32",
        ),
    ] {
        assert_eq!(error(json), want, "{json}");
    }
    let secret = type_of("", "v1", "Secret").unwrap();
    let wrong = check(br#"{"data":{"a":"aGk=","b":"?"}}"#, secret).unwrap_err();
    assert_eq!(wrong.to_string(), "illegal base64 data at input byte 0");
    assert!(check(br#"{"data":{"a":"aGk=","b":null,"c":""}}"#, secret).is_ok());
}

#[test]
fn text_that_is_no_json_is_gos_error_before_any_other() {
    for (json, want) in [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        (r#"{"spec":{"replicas":"3"}"#, "unexpected end of JSON input"),
        (
            "kind: Pod",
            "invalid character 'k' looking for beginning of value",
        ),
        (
            "{a",
            "invalid character 'a' looking for beginning of object key string",
        ),
        (r#"{"a" 1}"#, "invalid character '1' after object key"),
        (
            r#"{"a":1 "b"}"#,
            r#"invalid character '"' after object key:value pair"#,
        ),
        (
            r#"{"a":1,}"#,
            "invalid character '}' looking for beginning of object key string",
        ),
        (
            r#"{"a":[1,]}"#,
            "invalid character ']' looking for beginning of value",
        ),
        (r#"{"a":[1 2]}"#, "invalid character '2' after array element"),
        (
            r#"{"a":tru}"#,
            "invalid character '}' in literal true (expecting 'e')",
        ),
        (r#"{"a":-}"#, "invalid character '}' in numeric literal"),
        (
            r#"{"a":1.}"#,
            "invalid character '}' after decimal point in numeric literal",
        ),
        (
            r#"{"a":1e}"#,
            "invalid character '}' in exponent of numeric literal",
        ),
        (r#"{"a":01}"#, "invalid character '1' after object key:value pair"),
        ("{\"a\":\"\n\"}", r"invalid character '\n' in string literal"),
        (r#"{"a":"\x"}"#, "invalid character 'x' in string escape code"),
        (
            r#"{"a":"\u12g4"}"#,
            r"invalid character 'g' in \u hexadecimal character escape",
        ),
        (r#"{"a":"\ud800"}"#, "invalid surrogate pair in string literal"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("'", r"invalid character '\'' looking for beginning of value"),
    ] {
        assert_eq!(error(json), want, "{json}");
    }
    assert_eq!(
        check(b"{\"a\":\"\xff\"}", deployment()).unwrap_err().to_string(),
        "invalid UTF-8 at byte 6"
    );
}

#[test]
fn depth_is_bounded_and_free_below() {
    let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(found(&nested(MAX_DEPTH - 1)), [r#"unknown field "x""#]);
    assert_eq!(
        error(&nested(MAX_DEPTH)),
        "invalid character '[' exceeded max depth"
    );
    let crd = type_of("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
    let schema = r#"{"not":"#.repeat(9_000);
    let json = format!(r#"{{"spec":{{"versions":[{{"schema":{{"openAPIV3Schema":{schema}{{}}"#);
    let json = json + &"}".repeat(9_000) + "}}]}}";
    assert!(check(json.as_bytes(), crd).unwrap().0.is_empty());
}

#[test]
fn untyped_text_has_duplicates_only() {
    let findings = check_untyped(br#"{"a":{"b":[{"c":1},{"c":2,"c":3}]},"d":null}"#).unwrap();
    assert_eq!(findings.0, [Finding::Duplicate("a.b[1].c".to_owned())]);
    assert!(check_untyped(br#"{"a":1e999}"#).is_err());
}

/// Unknown fields by a walk over a DOM: what the streaming walk must find too.
fn unknown(value: &Value, shape: Shape, path: &str, found: &mut Vec<String>) {
    match (shape, value) {
        (Shape::Struct(ty), Value::Object(members)) => {
            for (key, value) in members {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match ty.field(key) {
                    Some((_, field)) => unknown(value, field.shape, &path, found),
                    None => found.push(path),
                }
            }
        }
        (Shape::Map(element), Value::Object(members)) => {
            members
                .iter()
                .for_each(|(key, value)| unknown(value, element.get(), &format!("{path}.{key}"), found));
        }
        (Shape::List(element), Value::Array(items)) => {
            let items = items.iter().enumerate();
            items.for_each(|(i, value)| unknown(value, element.get(), &format!("{path}[{i}]"), found));
        }
        _ => {}
    }
}

/// Values that fit a shape, now and then with a field too many.
fn fitting(shape: Shape, depth: u32) -> BoxedStrategy<Value> {
    match shape {
        Shape::Struct(ty) if depth > 0 => {
            let some = proptest::sample::subsequence(
                ty.fields().iter().collect::<Vec<_>>(),
                0..=ty.fields().len().min(4),
            );
            let members = some.prop_flat_map(move |fields| {
                let members: Vec<_> = fields
                    .into_iter()
                    .map(|f| (Just(f.name.to_owned()), fitting(f.shape, depth - 1)))
                    .collect();
                (members, proptest::option::weighted(0.2, "[a-z\"\\n]{1,4}"))
            });
            members
                .prop_map(|(members, odd)| {
                    let odd = odd.map(|name| (name, json!({"odd": [1]})));
                    Value::Object(members.into_iter().chain(odd).collect())
                })
                .boxed()
        }
        Shape::Struct(_) => Just(json!({})).boxed(),
        Shape::List(element) => {
            proptest::collection::vec(fitting(element.get(), depth.saturating_sub(1)), 0..3)
                .prop_map(Value::Array)
                .boxed()
        }
        Shape::Map(element) => {
            let value = fitting(element.get(), depth.saturating_sub(1));
            proptest::collection::btree_map("[a-z./]{1,5}", value, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
                .boxed()
        }
        Shape::Int32 | Shape::Int64 | Shape::IntOrString => any::<i32>().prop_map(Value::from).boxed(),
        Shape::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Float => any::<i16>().prop_map(|n| json!(f64::from(n) / 4.0)).boxed(),
        Shape::Quantity => Just(json!("100m")).boxed(),
        Shape::Time => Just(json!("2024-01-02T03:04:05Z")).boxed(),
        Shape::MicroTime => Just(json!("2024-01-02T03:04:05.000001Z")).boxed(),
        Shape::Bytes => Just(json!("aGk=")).boxed(),
        Shape::String => ".{0,6}".prop_map(Value::from).boxed(),
        Shape::Raw => Just(json!({"any": [1, {"x": null}]})).boxed(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = check(&bytes, deployment());
        let _ = prune(&bytes, deployment());
        let _ = crate::yaml_to_json(&bytes);
        let _ = crate::strategic_merge(b"{}", &bytes, deployment());
    }

    #[test]
    fn anything_like_json_is_answered(text in r#"[\[\]{}",:a1\\ue.\-tn]{0,60}"#) {
        let read = serde_json::from_str::<Value>(&text).is_ok();
        prop_assert_eq!(matches!(check_untyped(text.as_bytes()), Err(TypeError::Syntax(_))), !read, "{}", text);
    }

    #[test]
    fn the_walk_agrees_with_a_dom_walk(value in fitting(Shape::Struct(deployment()), 8)) {
        let mut want = Vec::new();
        unknown(&value, Shape::Struct(deployment()), "", &mut want);
        let text = value.to_string();
        let findings = check(text.as_bytes(), deployment()).unwrap();
        prop_assert_eq!(findings.unknown(), want);
        let pruned = prune(text.as_bytes(), deployment()).unwrap();
        prop_assert_eq!(check(&pruned, deployment()).unwrap(), Findings::default());
        prop_assert_eq!(prune(&pruned, deployment()).unwrap(), pruned);
    }

    #[test]
    fn strategic_merge_reaches_a_fixpoint(doc in fitting(Shape::Struct(deployment()), 8), patch in fitting(Shape::Struct(deployment()), 8)) {
        let doc = prune(doc.to_string().as_bytes(), deployment()).unwrap();
        let patch = prune(patch.to_string().as_bytes(), deployment()).unwrap();
        // A list that comes whole may hold elements of one key, or of none: these settle, or are refused, when it is merged.
        let apply = |doc: &[u8]| crate::strategic_merge(doc, &patch, deployment());
        if let Ok(twice) = apply(&doc).and_then(|once| apply(&once)) {
            let thrice = apply(&twice).unwrap();
            prop_assert_eq!(String::from_utf8(twice), String::from_utf8(thrice));
        }
    }
}
