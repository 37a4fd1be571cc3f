//! Bodies in YAML, and answers in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    if let Ok(json) = schema::yaml_to_json(body) {
        let _: serde::de::IgnoredAny = serde_json::from_slice(&json).expect("JSON");
    }
    if let Ok(value) = serde_json::from_slice::<Value>(body)
        && value.is_object()
    {
        let json = value.to_string();
        let yaml = schema::json_to_yaml(json.as_bytes()).expect("JSON becomes YAML");
        let back = schema::yaml_to_json(yaml.as_bytes()).expect("our own YAML");
        let back: Value = serde_json::from_slice(&back).expect("JSON");
        // A number may lose its last bit.
        let floats = json.contains(['.', 'e', 'E']);
        assert!(floats || back == value, "{json}\n{yaml}");
    }
});
