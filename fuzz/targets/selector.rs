//! Selectors of labels and fields, as text.
#![no_main]

use api::{FieldSelector, LabelSelector};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(selector) = LabelSelector::parse(text) {
        selector.matches(|key| (key == "app").then_some("web"));
        let shown = selector.to_string();
        let again = LabelSelector::parse(&shown).expect("our own text");
        assert_eq!(again.to_string(), shown);
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        selector.matches(|_| "x");
    }
});
