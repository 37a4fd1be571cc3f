//! JSON objects of which only some members are looked at; the others stay text.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

/// The members of a JSON object.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    /// Of a text; none if it is no object.
    pub fn of(text: &RawValue) -> Self {
        serde_json::from_str(text.get()).unwrap_or_default()
    }

    /// A member; the default if it is not there or null.
    pub fn get<T: DeserializeOwned + Default>(&self, name: &str) -> T {
        let value = self.0.get(name).map(|text| text.get());
        value
            .and_then(|text| serde_json::from_str::<Option<T>>(text).ok().flatten())
            .unwrap_or_default()
    }

    /// Sets a member.
    pub fn set(&mut self, name: &str, value: &impl Serialize) {
        // Views serialize to maps with string keys; that cannot fail.
        if let Ok(text) = to_raw_value(value) {
            self.0.insert(name.to_owned(), text);
        }
    }

    /// The object as text.
    pub fn text(&self) -> Box<RawValue> {
        to_raw_value(self).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }
}

/// The text with the members of all its objects in order, so that equal values are equal texts.
pub(crate) fn canonical(text: &RawValue) -> String {
    if let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text.get()) {
        let name = |name: &str| serde_json::to_string(name).unwrap_or_default();
        let members: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("{}:{}", name(key), canonical(value)))
            .collect();
        format!("{{{}}}", members.join(","))
    } else if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text.get()) {
        let items: Vec<String> = items.into_iter().map(canonical).collect();
        format!("[{}]", items.join(","))
    } else if let Ok(string) = serde_json::from_str::<String>(text.get()) {
        serde_json::to_string(&string).unwrap_or_default()
    } else {
        text.get().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_equal_texts() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let one = canonical(&raw(r#"{"b": [1, {"y": null, "x": "\u0041"}], "a": true}"#));
        assert_eq!(one, r#"{"a":true,"b":[1,{"x":"A","y":null}]}"#);
        assert_ne!(one, canonical(&raw(r#"{"a": true, "b": []}"#)));
    }

    #[test]
    fn members_are_read_and_set_and_the_others_stay() {
        let mut fields = Fields::of(&RawValue::from_string(r#"{"x":[1],"y":{"z":null}}"#.into()).unwrap());
        let mut x: Vec<i32> = fields.get("x");
        x.push(2);
        fields.set("x", &x);
        assert_eq!(fields.get::<Vec<i32>>("absent"), [0; 0]);
        assert_eq!(fields.text().get(), r#"{"x":[1,2],"y":{"z":null}}"#);
    }
}
