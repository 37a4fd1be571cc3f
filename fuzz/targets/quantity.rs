//! Quantities and times.
#![no_main]

use api::Quantity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(quantity) = text.parse::<Quantity>() {
        let shown = quantity.to_string();
        let again: Quantity = shown.parse().expect("our own text");
        assert_eq!(again.to_string(), shown, "{text}");
    }
    let quoted = serde_json::to_string(text).expect("text");
    let event = schema::type_of("", "v1", "Event").expect("a built-in kind");
    for field in ["lastTimestamp", "eventTime"] {
        let body = format!("{{\"{field}\":{quoted}}}");
        if schema::check(body.as_bytes(), event).is_ok() {
            let body = format!("{{\"apiVersion\":\"v1\",\"kind\":\"Event\",{}", &body[1..]);
            let packed = schema::json_to_protobuf(body.as_bytes()).expect("a time that was taken");
            schema::protobuf_to_json(&packed).expect("a time that was written");
        }
    }
});
