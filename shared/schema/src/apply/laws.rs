//! Laws that hold for any objects.

use super::{
    Manager, Node, Versions, Writer, apply,
    compare::compare,
    fields::fields,
    fields_v1,
    merge::merge,
    raw::Raw,
    read_managed,
    set::{FieldSet, Scalar, Step},
    update, write_managed,
};
use crate::structural::Structural;
use proptest::{collection, option, prelude::*};
use serde_json::{Value, json};

fn schema() -> Structural {
    let text = json!({"type":"object","properties":{"spec":{"type":"object","properties":{
        "a":{"type":"integer"},
        "list":{"type":"array","items":{"type":"integer"}},
        "set":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"integer"}},
        "map":{"type":"object","additionalProperties":{"type":"integer"}},
        "any":{"type":"object","x-kubernetes-preserve-unknown-fields":true},
        "items":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{
            "type":"object","properties":{"k":{"type":"integer"},"v":{"type":"integer"},"w":{"type":"integer"}}}}
    }}}});
    Structural::parse(text.to_string().as_bytes()).unwrap()
}

fn small() -> impl Strategy<Value = i64> {
    0..4i64
}

fn map() -> impl Strategy<Value = Value> {
    collection::btree_map("[p-s]", small(), 1..3).prop_map(|map| json!(map))
}

fn unique() -> impl Strategy<Value = Vec<i64>> {
    collection::btree_set(small(), 1..4)
        .prop_map(|set| set.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

fn items() -> impl Strategy<Value = Value> {
    let item = (option::of(small()), option::of(small()));
    (unique(), collection::vec(item, 4)).prop_map(|(keys, rest)| {
        let item = |(k, (v, w)): (i64, (Option<i64>, Option<i64>))| {
            let mut item = json!({"k": k});
            v.inspect(|v| item["v"] = json!(v));
            w.inspect(|w| item["w"] = json!(w));
            item
        };
        Value::Array(keys.into_iter().zip(rest).map(item).collect())
    })
}

fn object() -> impl Strategy<Value = String> {
    let parts = (
        small().prop_map(|n| Some(Value::from(n))),
        option::of(collection::vec(small(), 0..3).prop_map(|list| json!(list))),
        option::of(unique().prop_map(|set| json!(set))),
        option::of(map()),
        option::of(map()),
        option::of(items()),
    );
    parts.prop_map(|(a, list, set, map, any, items)| {
        let named = [
            ("a", a),
            ("any", any),
            ("items", items),
            ("list", list),
            ("map", map),
            ("set", set),
        ];
        let spec: serde_json::Map<_, _> = named
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        json!({"apiVersion":"test.io/v1","kind":"Widget","metadata":{"name":"x"},"spec":spec}).to_string()
    })
}

fn with<T>(schema: &Structural, now: i64, act: impl FnOnce(Versions<'_>, Writer<'_>) -> T) -> T {
    let versions = Versions {
        node: &|_| Some(Node::Object(Some(schema))),
        convert: &|json, _, _| Ok(json.to_vec()),
    };
    let reset = FieldSet::default();
    let writer = Writer {
        name: "a",
        version: "test.io/v1",
        subresource: "",
        now: jiff::Timestamp::from_second(now).unwrap(),
        reset: &reset,
    };
    act(versions, writer)
}

fn forced(
    schema: &Structural,
    now: i64,
    name: &str,
    live: Option<&str>,
    managed: &str,
    config: &str,
) -> (String, String) {
    with(schema, now, |versions, writer| {
        let writer = Writer { name, ..writer };
        let (live, managed) = (live.map(str::as_bytes), managed.as_bytes());
        let done = apply(versions, writer, "Widget", live, managed, config.as_bytes(), true).unwrap();
        (
            String::from_utf8(done.json).unwrap(),
            String::from_utf8(done.managed).unwrap(),
        )
    })
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(first in object(), other in object(), config in object()) {
        let schema = schema();
        let (live, managed) = forced(&schema, 1, "b", None, "", &first);
        let managed = with(&schema, 2, |versions, writer| {
            let writer = Writer { name: "c", ..writer };
            let managed = update(versions, writer, Some(live.as_bytes()), other.as_bytes(), managed.as_bytes(), b"");
            String::from_utf8(managed.unwrap()).unwrap()
        });
        let once = forced(&schema, 3, "a", Some(&other), &managed, &config);
        let twice = forced(&schema, 4, "a", Some(&once.0), &once.1, &config);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn what_is_applied_is_there_and_owned(live in object(), config in object()) {
        let (schema, node) = (schema(), |schema| Node::Object(Some(schema)));
        let (merged, managed) = forced(&schema, 1, "a", Some(&live), "", &config);
        let again = merge(node(&schema), Raw::new(merged.as_bytes()), Raw::new(config.as_bytes()));
        prop_assert!(Raw::new(&again).same(Raw::new(merged.as_bytes())));
        let wanted = fields(node(&schema), Raw::new(config.as_bytes()));
        let there = fields(node(&schema), Raw::new(merged.as_bytes()));
        prop_assert!(wanted.difference(&there).is_empty());
        let spec = |set: &FieldSet| set.get(&Step::Field("spec".into())).map(|entry| entry.below.clone()).unwrap_or_default();
        let managers = read_managed(managed.as_bytes()).unwrap();
        let mine = managers.iter().find(|manager| manager.name == "a").map(|manager| spec(&manager.fields));
        prop_assert_eq!(mine.unwrap_or_default(), spec(&wanted));
    }

    #[test]
    fn who_applies_nothing_leaves_what_others_own(first in object(), config in object()) {
        let schema = schema();
        let (live, managed) = forced(&schema, 1, "b", None, "", &first);
        let (both, managed) = forced(&schema, 2, "a", Some(&live), &managed, &config);
        let nothing = r#"{"apiVersion":"test.io/v1","kind":"Widget","metadata":{"name":"x"}}"#;
        let (left, managed) = forced(&schema, 3, "a", Some(&both), &managed, nothing);
        let managers = read_managed(managed.as_bytes()).unwrap();
        prop_assert!(managers.iter().all(|manager| manager.name == "b"));
        let there = fields(Node::Object(Some(&schema)), Raw::new(left.as_bytes()));
        for Manager { fields, .. } in &managers {
            prop_assert!(fields.difference(&there).is_empty());
        }
    }

    #[test]
    fn a_comparison_is_the_difference_of_the_fields(old in object(), new in object()) {
        let schema = schema();
        let node = Node::Object(Some(&schema));
        let (old, new) = (Raw::new(old.as_bytes()), Raw::new(new.as_bytes()));
        let change = compare(node, old, new);
        let (before, after) = (fields(node, old), fields(node, new));
        prop_assert!(after.difference(&before).difference(&change.set).is_empty());
        prop_assert!(change.removed.intersection(&after).is_empty());
        prop_assert!(compare(node, new, new).is_empty());
    }

    #[test]
    fn sets_are_sets(a in object(), b in object()) {
        let schema = schema();
        let set = |json: &str| fields(Node::Object(Some(&schema)), Raw::new(json.as_bytes()));
        let (a, b) = (set(&a), set(&b));
        let both = a.union(&b);
        prop_assert_eq!(&both, &b.union(&a));
        prop_assert_eq!(both.difference(&b).union(&b), both.clone());
        prop_assert_eq!(a.intersection(&b), a.difference(&a.difference(&b)));
        prop_assert_eq!(a.union(&a), a.clone());
        let mut less = both.clone();
        less.subtract(&a);
        prop_assert_eq!(less, both.difference(&a));
        prop_assert!(a.difference(&both).is_empty());
        for path in a.paths() {
            prop_assert!(both.has(&path));
        }
        let mut text = Vec::new();
        fields_v1::write(&both, &mut text);
        prop_assert_eq!(fields_v1::read(Raw::new(&text)).unwrap(), both);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}", steps in collection::vec("[fkvi.]:[a-z{}\":0-9]{0,6}", 0..4)) {
        let _ = read_managed(text.as_bytes());
        let nested = steps.iter().rev().fold("{}".to_owned(), |inner, step| format!("{{{}:{inner}}}", Value::from(step.as_str())));
        if let Ok(set) = fields_v1::read(Raw::new(nested.as_bytes())) {
            let mut text = Vec::new();
            fields_v1::write(&set, &mut text);
            prop_assert_eq!(fields_v1::read(Raw::new(&text)).unwrap(), set);
        }
        let _ = write_managed(&mut []);
    }
}

#[test]
fn scalars_are_in_upstreams_order() {
    let read = |json: &str| Scalar::read(Raw::new(json.as_bytes()));
    let sorted = [
        "-1", "1.0", "1.5", "2", "\"\"", "\"a\"", "false", "true", "[1]", "null",
    ];
    for pair in sorted.windows(2) {
        assert!(read(pair[0]) < read(pair[1]), "{pair:?}");
    }
    assert_eq!(read("1"), read("1.0"));
}
