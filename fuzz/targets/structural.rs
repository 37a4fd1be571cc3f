//! Schemas of custom resources, and objects along them: a schema and an object, with a NUL between.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::{Instance, JsonPath, Structural};

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let (text, object) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if let Ok(text) = std::str::from_utf8(object) {
        let _ = JsonPath::parse(text);
    }
    let Ok(structural) = Structural::parse(text) else {
        return;
    };
    let errors = structural.structural_errors("openAPIV3Schema");
    let _ = structural.check("openAPIV3Schema", false);
    if let (true, Ok(instance)) = (errors.is_empty(), Instance::parse(object)) {
        let _ = instance.check(&structural, None);
        let _ = instance.pruned(Some(&structural)).to_json();
    }
});
