//! Compares the published OpenAPI v2 document with one that the server answers: what is in one only, and what is said otherwise.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// A place in paths or definitions by which differences are counted, with the first that has it.
type Differences = BTreeMap<String, (usize, String)>;

/// Prints how the documents differ; whether they are the same.
pub fn compare(published: &Value, served: &Value) -> bool {
    let paths = part("paths", published, served);
    let definitions = part("definitions", published, served);
    paths && definitions
}

fn part(name: &str, published: &Value, served: &Value) -> bool {
    let (ours, theirs) = (&served[name], &published[name]);
    let names = |document: &Value| -> BTreeSet<String> { members(document).keys().cloned().collect() };
    let (our_names, their_names) = (names(ours), names(theirs));
    for missing in their_names.difference(&our_names) {
        println!("{name}: not served: {missing}");
    }
    for extra in our_names.difference(&their_names) {
        println!("{name}: served only: {extra}");
    }
    let (mut found, mut count) = (Differences::new(), 0);
    for both in their_names.intersection(&our_names) {
        let wanted = plain(&theirs[both], published);
        let mut differences = BTreeSet::new();
        walk("", &wanted, &plain(&ours[both], served), &mut differences);
        count += usize::from(!differences.is_empty());
        for difference in differences {
            found.entry(difference).or_insert_with(|| (0, both.clone())).0 += 1;
        }
    }
    for (difference, (times, first)) in &found {
        println!("{name}: {times} times {difference}, first in {first}");
    }
    println!(
        "{name}: {} published, {} served, {} not served, {} served only, {count} differ",
        their_names.len(),
        our_names.len(),
        their_names.difference(&our_names).count(),
        our_names.difference(&their_names).count()
    );
    count == 0 && our_names == their_names
}

fn members(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Without prose; with parameters in the place of references to them and by name, and lists of names without order.
fn plain(value: &Value, document: &Value) -> Value {
    match value {
        Value::Object(inside) => {
            let shared = inside.get("$ref").and_then(Value::as_str);
            if let Some(name) = shared.and_then(|shared| shared.strip_prefix("#/parameters/")) {
                return plain(&document["parameters"][name], document);
            }
            let kept = inside
                .iter()
                .filter(|(name, value)| *name != "description" || !value.is_string());
            Value::Object(
                kept.map(|(name, value)| (name.clone(), plain(value, document)))
                    .collect(),
            )
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| plain(item, document)).collect();
            let named = items
                .iter()
                .all(|item| item["name"].is_string() && item["in"].is_string());
            if named && !items.is_empty() {
                let by_name = items.into_iter().map(|item| {
                    let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
                    (format!("{} {}", text("in"), text("name")), item)
                });
                return Value::Object(by_name.collect());
            }
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        other => other.clone(),
    }
}

fn walk(place: &str, published: &Value, served: &Value, found: &mut BTreeSet<String>) {
    match (published, served) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (name, value) in theirs {
                match ours.get(name) {
                    Some(other) => walk(&format!("{place}/{name}"), value, other, found),
                    None => _ = found.insert(format!("{place}/{name} is missing")),
                }
            }
            for name in ours.keys().filter(|name| !theirs.contains_key(*name)) {
                found.insert(format!("{place}/{name} is extra"));
            }
        }
        (theirs, ours) if theirs != ours => {
            _ = found.insert(format!("{place} is {ours}, published {theirs}"))
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prose_order_and_shared_parameters_make_no_difference() {
        let published = json!({
            "parameters": {"p-1": {"in": "query", "name": "p", "type": "string"}},
            "paths": {"/a": {"get": {"description": "x", "parameters": [{"$ref": "#/parameters/p-1"}]}}},
            "definitions": {"D": {"required": ["b", "a"], "properties": {"description": {"type": "string"}}}},
        });
        let mut served = json!({
            "paths": {"/a": {"get": {"parameters": [{"in": "query", "name": "p", "type": "string"}]}}},
            "definitions": {"D": {"required": ["a", "b"], "properties": {"description": {"type": "string"}}}},
        });
        assert!(compare(&published, &served));
        served["definitions"]["D"]["required"] = json!(["a"]);
        assert!(!compare(&published, &served));
    }
}
