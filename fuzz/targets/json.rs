//! Bodies in JSON: what they say they are, and their walk along the types of built-in kinds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = schema::type_meta(body);
    let any = schema::check_untyped(body);
    // Who takes more than a strict reader lets through what later fails; who takes less refuses what upstream takes.
    if any.is_ok() && body.len() < 100 {
        assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok());
    }
    for kind in ["Pod", "ConfigMap", "Service", "Event"] {
        let ty = schema::type_of("", "v1", kind).expect("a built-in kind");
        let strict = schema::check(body, ty);
        if strict.is_ok() {
            assert!(!matches!(any, Err(schema::TypeError::Syntax(_))));
            let _ = schema::prune(body, ty);
            let _ = schema::canonical(body, ty);
        }
    }
});
